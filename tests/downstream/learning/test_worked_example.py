"""The worked example of docs/feedback.md: its program, and then each command, which says what the page shows."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.examples.blocks import blocks
from tests.support import ROOT, environment, run_cli

PAGE = ROOT / "docs" / "feedback.md"


def test_from_the_first_event_to_a_better_choice(tmp_path: Path) -> None:
    run, *commands = [block.text.strip() for block in blocks(PAGE, "sh")]
    exported, ran_by = run.splitlines()
    assert ran_by == "python agents.py"
    # only what the page says is set, and where files go that would outlive the test
    variables = {
        **dict(each.split("=", 1) for each in shlex.split(exported)[1:]), "COLUMNS": "100",
        "XDG_STATE_HOME": str(tmp_path / "state"), "XDG_DATA_HOME": str(tmp_path / "data"),
    }  # fmt: skip
    [program] = blocks(PAGE, "python")
    (tmp_path / "agents.py").write_text(program.text, "utf-8")
    ran = subprocess.run(
        [sys.executable, "agents.py"], cwd=tmp_path, env=environment(PYTHONPATH=str(ROOT), **variables),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")

    shown = [block.text for block in blocks(PAGE, "text")]
    assert len(commands) == len(shown) == 5
    for command, lines in zip(commands, shown, strict=True):
        done = run_cli(*shlex.split(command)[1:], variables=variables, folder=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        for line in lines.splitlines():
            pattern = ".*".join(re.escape(part.strip()) for part in line.split("…"))
            assert re.search(pattern, done.stdout), f"{command}: {line}\n{done.stdout}"
        assert "metadata." not in done.stdout, "what the package notes itself is no property of an action"
