"""The command line itself: what it says of itself, and what it answers to arguments that it cannot use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import otel_feedback
from otel_feedback.cli.main import main
from tests.support import environment, run_cli, run_python


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main(["--version"])
    assert exited.value.code == 0
    assert capsys.readouterr().out == f"otel-feedback {otel_feedback.__version__}\n"


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(command in shown for command in ("demo", "topics", "doctor", "journal", "verify", "examples:"))
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demo", "--seconds", "soon"], "'soon' is not a number from 0.2 to 3600"),
        (["demo", "--seconds", "nan"], "'nan' is not a number"),
        (["demo", "--seconds", "0"], "'0' is not a number"),
        (["topics", "--partitions", "0"], "'0' is not a whole number of at least 1"),
        (["topics", "--replication-factor", "1.5"], "'1.5' is not a whole number"),
        (["journal"], "required: ACTION"),
        (["journal", "replay", "--timeout", "0"], "'0' is not a number of seconds"),
        (["journal", "replay", "--timeout", "nan"], "'nan' is not a number of seconds"),
        (["journal", "inspect", "--take", "there"], "unrecognized arguments: --take"),
        (["verify", "--since", "soon"], "'soon' is neither how long ago"),
        (["juggle"], "COMMAND: invalid choice: 'juggle' (choose from demo, "),
        (["docter"], "COMMAND: invalid choice: 'docter'; did you mean doctor?"),
        (["journal", "inspekt"], "ACTION: invalid choice: 'inspekt'; did you mean inspect?"),
        (["verify", "--sinse", "2h"], "unrecognized arguments: --sinse 2h; did you mean --since?"),
        (["verify", "--bootstrap-server=a:1", "--jsn"], "did you mean --json?"),
    ],
)
def test_arguments_that_cannot_be_used(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main(arguments)
    assert exited.value.code == 2
    assert message in capsys.readouterr().err


def test_ctrl_c_before_the_command_is_known_ends_it_without_a_word() -> None:
    program = """
import os, signal, sys
from otel_feedback.cli.main import main

class Interrupting:
    def find_spec(self, name, path, target=None):
        if name == "otel_feedback.cli.parser":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
sys.exit(main(["stats"]))
"""
    done = run_python(program)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_help_and_version_import_neither_rich_nor_kafka_nor_the_sdk() -> None:
    """Each command brings what it needs; asking what there is must not."""
    program = (
        "import sys\n"
        "from otel_feedback.cli.main import main\n"
        "main([])\n"
        "print([name for name in ('rich', 'kafka', 'opentelemetry.sdk', 'requests', 'dotenv') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_installed_script_and_the_module_are_the_same_command() -> None:
    done = run_cli("--version")
    assert (done.returncode, done.stdout) == (0, f"otel-feedback {otel_feedback.__version__}\n")


@pytest.mark.parametrize("command", [["demo"], ["doctor"], ["schema", "json"], ["journal", "inspect"]])
@pytest.mark.parametrize(("stdout", "why"), [("/dev/full", "No space left on device"), ("&-", "it is closed")])
def test_where_nothing_can_be_written_one_line_says_so(
    command: list[str], stdout: str, why: str, tmp_path: Path
) -> None:
    if stdout == "/dev/full" and not Path(stdout).exists():
        pytest.skip("there is no /dev/full here")
    (tmp_path / "journals").mkdir()
    line = f'exec "{sys.executable}" -m otel_feedback {" ".join(command)} >{stdout}'
    variables = environment(OTEL_FEEDBACK_JOURNAL_DIR=str(tmp_path / "journals"))
    done = subprocess.run(["/bin/sh", "-c", line], env=variables, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, f"error: nothing can be written to standard output: {why}\n")
