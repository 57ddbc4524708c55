"""In a forked child: its resource is another one, and an action's span has that, like every other."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.wire.ways import FALLBACKS
from tests.support import run_python

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")

PROGRAM = """
    import json, os, sys
    from pathlib import Path
    import otel_feedback as feedback
    from tests.conformance.wire.compare import decode, encode, look
    from tests.conformance.wire.making import Setting, make
    from tests.conformance.wire.ways import WAYS

    folder = Path({folder!r})

    def program(stage):
        with feedback.action("plan"):
            child = os.fork()
            if child == 0:
                with feedback.action("tool", tags=["x"]) as act:
                    stage.span.set_attribute("theirs", 1)
                with stage.tracer.start_as_current_span("theirs"):
                    pass
                told = [decode(encode(stage.ended)), [look(span) for span in stage.ended]]
                told += [[event.to_dict() for event in stage.events()], act.event.event_id == act.event_id]
                (folder / "child").write_text(json.dumps(told))
                stage.pipeline.force_flush(30)  # its log is that of its parent
                os._exit(0)
            _, code = os.waitpid(child, 0)
            stage.note("exit code of the child", code)
            stage.note("child", json.loads((folder / "child").read_text()))
            with feedback.action("after"):
                pass

    told = {{}}
    for name, way in WAYS.items():
        logs = folder / name
        logs.mkdir()
        told[name] = make(program, Setting(), way, logs).compared()
    print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = str(tmp_path_factory.mktemp("forked"))
    variables = {
        "OTEL_FEEDBACK_LOG_FILE": f"{folder}/log", "XDG_STATE_HOME": folder, "OTEL_TRACES_EXPORTER": "none",
        "PYTHONPATH": str(Path(__file__).parents[3]), "PYTHONWARNINGS": "ignore",
    }  # fmt: skip
    done = run_python(PROGRAM.format(folder=folder), variables)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("way", list(FALLBACKS))
def test_a_forked_child_makes_the_same_spans(way: str, told: dict[str, Any]) -> None:
    for part, value in told[way].items():
        assert told["sdk"][part] == value, part


def test_an_action_has_the_resource_of_the_childs_other_spans(told: dict[str, Any]) -> None:
    notes = dict(told["sdk"]["notes"])
    assert notes["exit code of the child"] == 0
    payload, looked, _, has_event = notes["child"]
    assert len(payload) == 1, "all spans of the child are of one resource"
    assert [len(scope["spans"]) for scope in payload[0]["scope_spans"]] == [1, 1]
    assert looked[0]["resource"] == looked[1]["resource"]
    assert has_event
