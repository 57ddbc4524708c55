"""A program that runs alerts on made-up observations: agent number n is wrong from n thirds of a second on, for a second.

Arguments: the folder of state, the moment at which agent 0 begins (seconds), and `drain` to have none that is wrong.
"""

from __future__ import annotations

import signal
import sys
from datetime import datetime
from pathlib import Path

from otel_feedback.downstream.alerts.observing import Key, Observation
from otel_feedback.downstream.alerts.reading import parse
from otel_feedback.downstream.alerts.running import Runner
from otel_feedback.downstream.alerts.state import Folder

RULES = """
[settings]
every = "1s"
recent = "1h"
[[channel]]
name = "hook"
url = "jsons://hooks.example/"
at_most = 100000
[[rule]]
name = "errors"
kind = "errors"
keep_firing_for = "0s"
by = ["agent"]
"""


def main() -> None:
    folder = Folder(Path(sys.argv[1]))
    begin_s, is_draining = float(sys.argv[2]), sys.argv[3:] == ["drain"]
    file = parse(RULES)

    def look(now: datetime) -> list[Observation]:
        at_s = now.timestamp() - begin_s
        number = int(at_s * 3)
        wrong = range(0) if is_draining else range(max(0, number - 3), number)
        values = [0.9 if each in wrong else 0.0 for each in range(number)]
        return [
            Observation(Key("errors", None, f"agent-{each}", None), now, value, value, 100)
            for each, value in enumerate(values)
        ]

    with folder.owned():
        runner = Runner(file, folder, look)
        signal.signal(signal.SIGTERM, lambda *_: runner.stop())
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        runner.run()


if __name__ == "__main__":
    main()
