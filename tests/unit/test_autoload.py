"""The hook of `opentelemetry-instrument`, called as it calls it: what it imports, what it says, what it leaves alone."""

from __future__ import annotations

import pytest

from tests.support import run_python

HOOK = """
    import logging, sys
    from importlib.metadata import entry_points

    before = set(sys.modules)
    [hook] = entry_points(group="opentelemetry_post_instrument", name="otel_feedback")
    hook.load()()
    ours = sorted(name for name in sys.modules if name.startswith(("otel_feedback", "opentelemetry")))
    print(" ".join(ours))
"""
TELL = """
    from otel_feedback import bootstrap
    print(bootstrap.is_configured())
"""


def test_the_hook_imports_itself_only_where_nothing_is_enabled() -> None:
    """It runs in every Python process below opentelemetry-instrument, wherever the package is installed."""
    done = run_python(HOOK)
    assert (done.stdout, done.stderr) == (
        "otel_feedback otel_feedback.sdk otel_feedback.sdk.autoload otel_feedback.version\n",
        "",
    )


@pytest.mark.parametrize("word", ["false", "0", "no", "OFF", " "])
def test_the_hook_configures_nothing_where_it_is_not_enabled(word: str) -> None:
    done = run_python(HOOK + TELL, {"OTEL_FEEDBACK_ENABLED": word})
    assert "bootstrap" not in done.stdout
    assert (done.stdout.splitlines()[-1], done.stderr) == ("False", "")


@pytest.mark.parametrize("word", ["true", "1", "yes", " On "])
def test_the_hook_configures_the_process_where_it_is_enabled(word: str) -> None:
    done = run_python(HOOK + TELL, {"OTEL_FEEDBACK_ENABLED": word, "OTEL_TRACES_EXPORTER": "none"})
    assert (done.stdout.splitlines()[-1], done.stderr) == ("True", "")


@pytest.mark.parametrize("switch", ["OTEL_FEEDBACK_DISABLED", "OTEL_SDK_DISABLED"])
def test_the_switches_that_turn_everything_off_go_before_it(switch: str) -> None:
    done = run_python(HOOK + TELL, {"OTEL_FEEDBACK_ENABLED": "true", switch: "true"})
    assert (done.stdout.splitlines()[-1], done.stderr) == ("False", "")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"OTEL_FEEDBACK_ENABLED": "maybe"}, "OTEL_FEEDBACK_ENABLED='maybe': expected true or false"),
        (
            {"OTEL_FEEDBACK_ENABLED": "true", "KAFKA_BATCH_SIZE": "many"},
            "KAFKA_BATCH_SIZE='many': expected a whole number from 1 to 10000",
        ),
    ],
)
def test_a_wrong_value_is_one_line_and_ends_nothing(variables: dict[str, str], said: str) -> None:
    done = run_python(HOOK + TELL, variables)
    assert done.stderr == f"no outcomes are recorded: {said}\n"
    assert done.stdout.splitlines()[-1] == "False"


def test_a_defect_of_ours_is_logged_and_ends_nothing() -> None:
    broken = "import sys; sys.modules['otel_feedback.bootstrap'] = None"
    done = run_python(f"    {broken}\n{HOOK}", {"OTEL_FEEDBACK_ENABLED": "true"})
    assert done.returncode == 0
    assert done.stderr.startswith("no outcomes are recorded\nTraceback")
