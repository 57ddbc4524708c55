"""Completion, asked of bash itself: commands, actions, options, choices, files."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from otel_feedback.cli.completion import FILES, script
from otel_feedback.cli.parser import make_parser

ASK = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 )); COMPREPLY=()
_otel_feedback
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_what_the_parser_knows(tmp_path: Path) -> None:
    written = tmp_path / "completion.bash"
    written.write_text(script("bash", make_parser()))
    (tmp_path / "outcomes.jsonl").touch()

    def completed(*words: str) -> list[str]:
        done = subprocess.run(
            ["bash", "-c", ASK, "ask", str(written), "otel-feedback", *words],
            cwd=tmp_path, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stderr == ""
        return done.stdout.split()

    assert {"demo", "tail", "stats", "failures", "trace", "sql", "journal", "completion"} <= set(completed(""))
    assert completed("fai") == ["failures"]
    assert completed("stats", "--st") == ["--status"]
    assert completed("stats", "--status", "f") == ["failure"]
    assert completed("stats", "--by", "te") == ["tenant"]
    assert completed("journal", "re") == ["replay"]
    assert completed("journal", "replay", "--q") == ["--quarantine"]
    assert completed("tail", "--agent", "x", "--from", "o") == ["outcomes.jsonl"]
    assert completed("slo", "--slo", "o") == completed("alerts", "check", "--rules", "o") == ["outcomes.jsonl"]
    assert completed("slo", "--te") == ["--tenant"]
    assert completed("completion", "z") == ["zsh"]


def test_every_option_that_takes_a_file_or_folder_completes_them() -> None:
    commands = make_parser().commands()
    for command in [*commands.values(), *(each for one in commands.values() for each in one.commands().values())]:
        for action in command._actions:  # pyright: ignore[reportPrivateUsage]
            if action.metavar in ("FILE", "PATH", "DIR"):
                assert {*action.option_strings, action.dest} & FILES, action.option_strings


def test_each_shell_gets_every_command() -> None:
    parser = make_parser()
    for shell, beginning in (("zsh", "#compdef otel-feedback\n"), ("fish", "complete -c otel-feedback -f\n")):
        text = script(shell, parser)
        assert text.startswith(beginning)
        assert all(name in text for name in parser.commands())
