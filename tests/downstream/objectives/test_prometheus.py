"""Burn rates as rules of Prometheus: promtool reads them, and evaluates them on an outage; what they cannot say is named."""

from __future__ import annotations

from pathlib import Path

from otel_feedback.downstream.alerts.prometheus.writing import write
from otel_feedback.downstream.alerts.rules import AlertFile, Options
from otel_feedback.downstream.objectives.alerting import rules_of
from otel_feedback.downstream.objectives.reading import parse
from tests.downstream.alerts.prometheus.test_rules import evaluate, outcomes, run

ANSWERS = '[[objective]]\nname = "answers"\nkind = "success"\ntarget = 0.995\n'
OTHERS = """
[[objective]]
name = "drafts"
kind = "success"
target = 0.95
[[objective]]
name = "fast"
kind = "latency"
threshold_ms = 900
target = 0.99
"""


def file_of(text: str) -> AlertFile:
    return AlertFile(Options(), (), tuple(rules_of(parse(text))))


def test_promtool_takes_them_and_what_they_cannot_say_is_named(tmp_path: Path, promtool: Path) -> None:
    written = write(file_of(ANSWERS + OTHERS), "slo.toml", "/secrets")
    path = tmp_path / "rules.yaml"
    path.write_text(written.rules)
    assert "SUCCESS" in run(promtool, "check", "rules", "--lint=all", "--lint-fatal", str(path))
    assert [line.split(" ")[1] for line in written.unsaid] == [
        "slo.drafts.budget", "slo.fast.burn-1h", "slo.fast.burn-6h", "slo.fast.burn-3d",
    ]  # fmt: skip
    assert written.rules.count("- alert:") == 3


def test_an_outage_of_ten_minutes_fires_and_is_over_soon_after_it(tmp_path: Path, promtool: Path) -> None:
    """Six actions a minute: none fails for two hours, then all for ten minutes, then none again."""
    given = outcomes("0x120 6+6x9 60x60", "0+6x120 720x10 726+6x60")
    planner = {"agent": "planner"}
    evaluate(
        tmp_path, promtool, file_of(ANSWERS), given, {"119m": [], "131m": [planner], "170m": []}, "slo.answers.burn-1h",
        "critical",
    )  # fmt: skip


def test_few_actions_burn_nothing(tmp_path: Path, promtool: Path) -> None:
    """Of an agent that acts every ten minutes one failure is a sixth of an hour."""
    given = outcomes("0x60 1x120", "0+0.1x180")
    evaluate(tmp_path, promtool, file_of(ANSWERS), given, {"65m": [], "100m": []}, "slo.answers.burn-1h", "critical")
