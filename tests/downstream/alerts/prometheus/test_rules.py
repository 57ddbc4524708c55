"""Rules for Prometheus: promtool reads them, and evaluates them on series."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from otel_feedback.downstream.alerts.prometheus.expressions import Unsaid, expressions_of
from otel_feedback.downstream.alerts.prometheus.writing import write
from otel_feedback.downstream.alerts.reading import parse, read
from otel_feedback.downstream.alerts.rules import KINDS, AlertFile

SECRETS = "/etc/alertmanager/secrets"


def run(tool: Path, *arguments: str) -> str:
    done = subprocess.run([str(tool), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_takes_the_rules_of_the_defaults_and_what_it_has_not_is_named(tmp_path: Path, promtool: Path) -> None:
    file = read(None)
    written = write(file, "defaults.toml", SECRETS)
    path = tmp_path / "rules.yaml"
    path.write_text(written.rules)
    assert "SUCCESS" in run(promtool, "check", "rules", "--lint=all", "--lint-fatal", str(path))
    not_there = {line.split(" ")[1] for line in written.unsaid if "is not in Prometheus" in line}
    assert not_there == {"stuck", "silent", "missing", "dead-letters"}
    alerts = {line.split('"')[1] for line in written.rules.splitlines() if "- alert:" in line}
    assert alerts == {rule.name for rule in file.rules} - not_there
    assert all(f"# {line}\n" in written.rules for line in written.unsaid)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_in_it_or_says_why_not(kind: str) -> None:
    file = rules(f'kind = "{kind}"' + ('\nabove = 1\nsql = "SELECT 1 AS value"' if kind == "sql" else ""))
    if kind in ("stuck", "silent", "missing", "dead_letters", "sql"):
        with pytest.raises(Unsaid, match=r"\w+ \w+"):
            expressions_of(file.rules[0], file.settings)
    else:
        assert expressions_of(file.rules[0], file.settings).alert


def rules(text: str) -> AlertFile:
    return parse(f'[[rule]]\nname = "it"\n{text}')


def series(name: str, values: str, **labels: str) -> dict[str, str]:
    given = {"agent": "planner", "action": "plan", "tenant": "acme", **labels}
    said = ", ".join(f"{label}={json.dumps(value)}" for label, value in given.items() if value)
    return {"series": f"{name}{{{said}}}", "values": values}


def outcomes(failures: str, successes: str, **labels: str) -> list[dict[str, str]]:
    return [
        series("agent_outcomes_total", values, status=status, **labels)
        for status, values in (("failure", failures), ("success", successes))
    ]


Firing = Mapping[str, Sequence[Mapping[str, str]]]


def evaluate(
    folder: Path, promtool: Path, file: AlertFile, given: list[dict[str, str]], firing: Firing, name: str = "it",
    severity: str = "warning",
) -> None:  # fmt: skip
    """Have promtool see that by time the alert of this name fires for these labels, and for no others."""
    (folder / "rules.yaml").write_text(write(file, "alerts.toml", SECRETS).rules)
    alerts: list[dict[str, Any]] = [
        {
            "eval_time": at, "alertname": name,
            "exp_alerts": [{"exp_labels": {"severity": severity, "rule": name, **each}} for each in labels],
        }
        for at, labels in firing.items()
    ]  # fmt: skip
    test = {
        "rule_files": ["rules.yaml"], "evaluation_interval": "1m", "fuzzy_compare": True,
        "tests": [{"interval": "1m", "input_series": given, "alert_rule_test": alerts}],
    }  # fmt: skip
    for case in alerts:
        for each in case["exp_alerts"]:
            each["exp_annotations"] = {}
    text = write(file, "alerts.toml", SECRETS).rules.splitlines()
    (folder / "rules.yaml").write_text("\n".join(_without_annotations(text)) + "\n")
    (folder / "test.yaml").write_text(json.dumps(test))
    run(promtool, "test", "rules", str(folder / "test.yaml"))


def _without_annotations(lines: list[str]) -> list[str]:
    """Return rules without texts: they have a test of their own."""
    return [line for line in lines if not line.lstrip().startswith(("annotations:", "summary:", "description:"))]


PLANNER = {"agent": "planner", "action": "plan", "tenant": "acme"}


def test_errors_open_after_for_and_keep_firing(tmp_path: Path, promtool: Path) -> None:
    file = rules('kind = "errors"\nabove = 0.1\nfor = "3m"\nkeep_firing_for = "10m"')
    # 20 a minute; from the 10th on half of them fail, from the 20th on none
    given = outcomes("0x10 10+10x9 100x60", "0+20x10 210+10x9 320+20x60")
    firing: Firing = {"9m": [], "12m": [], "18m": [PLANNER], "30m": [PLANNER], "45m": []}
    evaluate(tmp_path, promtool, file, given, firing)


def test_below_the_minimum_of_traffic_nothing_opens(tmp_path: Path, promtool: Path) -> None:
    few = outcomes("0+2x30", "0+1x30", agent="few")
    many = outcomes("0+20x30", "0+10x30", agent="many")
    file = rules('kind = "errors"\nabove = 0.1\nmin_count = 20\nby = ["agent"]')
    evaluate(tmp_path, promtool, file, [*few, *many], {"20m": [{"agent": "many"}]})


def test_what_chance_may_do_opens_nothing_unless_the_rule_says_so(tmp_path: Path, promtool: Path) -> None:
    given = outcomes("0+1x30", "0+7x30")  # 5 of 40 are 12.5 %
    evaluate(tmp_path, promtool, rules('kind = "errors"\nabove = 0.1'), given, {"20m": []})
    file = rules('kind = "errors"\nabove = 0.1\nby_chance = true')
    evaluate(tmp_path, promtool, file, given, {"20m": [PLANNER]})


def test_patterns_choose(tmp_path: Path, promtool: Path) -> None:
    given = [
        each
        for agent in ("refund-a", "refund-b", "refunds", "o'brien$", "o'brien")
        for each in outcomes("0+20x30", "0+1x30", agent=agent, job="bot")
    ]
    file = rules('kind = "errors"\nagent = ["refund-[!b]*", "o\'brien$"]\nservice = "b?t"\nby = ["agent"]')
    evaluate(tmp_path, promtool, file, given, {"20m": [{"agent": "refund-a"}, {"agent": "o'brien$"}]})
    file = rules('kind = "errors"\nagent = "refund-a"\nservice = "another"')
    evaluate(tmp_path, promtool, file, given, {"20m": []})


def test_latency_and_cost_are_compared_with_what_was_usual(tmp_path: Path, promtool: Path) -> None:
    def buckets(fast: str, slow: str) -> list[dict[str, str]]:
        return [
            series("agent_outcome_duration_seconds_bucket", values, le=le)
            for le, values in (("0.32", fast), ("2.56", slow), ("+Inf", slow))
        ]

    # an hour of 10 a minute within 0.32 s, then none
    given = [*buckets("0+10x60 600x30", "0+10x90"), series("agent_outcomes_total", "0+10x90", status="success")]
    file = rules('kind = "latency"\nrise = 3\nabove = 1000')
    evaluate(tmp_path, promtool, file, given, {"59m": [], "70m": [PLANNER]})
    given = [
        series("agent_outcome_cost_total", "0+0.1x480 48+1x120"),
        series("agent_outcomes_total", "0+1x600", status="success"),
    ]
    file = rules('kind = "cost"\nkeep_firing_for = "0s"')
    evaluate(tmp_path, promtool, file, given, {"475m": [], "540m": [{"tenant": "acme"}]})


def test_quality_that_drops(tmp_path: Path, promtool: Path) -> None:
    given = [
        series("agent_outcome_quality_sum", "0+8x60 480+4x60"),
        series("agent_outcome_quality_count", "0+10x120"),
    ]
    evaluate(
        tmp_path,
        promtool,
        rules('kind = "quality"'),
        given,
        {"59m": [], "70m": [{"agent": "planner", "tenant": "acme"}]},
    )


def test_losses_are_seen_from_the_first_one_on_and_not_for_ever(tmp_path: Path, promtool: Path) -> None:
    labels = {"job": "bot", "exporter": "kafka", "reason": "retention"}
    given = [
        series("otel_feedback_events_lost_total", "_x20 12x150", agent="", action="", tenant="", instance="a", **labels)
    ]
    file = rules('kind = "losing"\nkeep_firing_for = "0s"')
    evaluate(tmp_path, promtool, file, given, {"19m": [], "25m": [labels], "100m": []})


def test_what_waits_for_longer_than_that_is_behind(tmp_path: Path, promtool: Path) -> None:
    def pipeline(pending: str, delivered: str, job: str) -> list[dict[str, str]]:
        of = {"agent": "", "action": "", "tenant": "", "job": job, "exporter": "kafka"}
        return [
            series("otel_feedback_events_pending", pending, **of),
            series("otel_feedback_events_delivered_total", delivered, **of),
        ]

    given = [
        *pipeline("5x40", "0+600x40", "busy"),
        *pipeline("0+600x40", "0x40", "away"),
        *pipeline("0x10 3 0x30", "7x40", "idle"),
    ]
    file = rules('kind = "behind"')
    evaluate(
        tmp_path,
        promtool,
        file,
        given,
        {"11m": [{"job": "away", "exporter": "kafka"}], "30m": [{"job": "away", "exporter": "kafka"}]},
    )


def test_names_and_texts_are_data(tmp_path: Path, promtool: Path) -> None:
    """Whatever a rule's patterns are made of, it is one rule."""
    file = rules('kind = "errors"\ntenant = ["a\\"b\\\\c", "{{ x }}\\n#", "ü|*"]')
    path = tmp_path / "rules.yaml"
    path.write_text(write(file, "alerts.toml", SECRETS).rules)
    assert "3 rules found" in run(promtool, "check", "rules", str(path))
