"""A process that gives feedback until it is killed: each that give() returned is told on a pipe, `<feedback id> <score>`.

python -m tests.integration.feedback_child SERVERS TOPIC FIRST COUNT JOURNAL
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import otel_feedback as feedback


def main() -> None:
    servers, topic, first, count, journal = sys.argv[1:]
    feedback.configure(
        kafka_bootstrap_servers=servers, kafka_outcome_topic=f"{topic}-outcomes", kafka_feedback_topic=topic,
        journal_dir=Path(journal), journal_rescan_s=0.2, enable_outcome_logging=False, service_name="web",
        audit_interval_s=1,
    )  # fmt: skip
    for number in range(int(first), int(first) + int(count)):
        told = feedback.give(f"run-{number % 7}", score=number % 101 / 100, by=f"user-{number}")
        assert told is not None
        os.write(1, f"{told.feedback_id} {told.score}\n".encode())
        time.sleep(0.0002)
    time.sleep(600)


if __name__ == "__main__":
    main()
