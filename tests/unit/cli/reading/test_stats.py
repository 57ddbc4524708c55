"""`stats`: numbers that a plain recomputation has, too; against the period before; as table, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from otel_feedback import OutcomeEvent
from otel_feedback.cli.main import main
from tests.downstream.tables import made

COMPARED = ("executions", "failures", "error_rate", "p50_latency_ms", "p95_latency_ms", "tokens", "cost", "avg_quality")


def stats(capsys: pytest.CaptureFixture[str], log: Path, *arguments: str) -> str:
    assert main(["stats", "--from", str(log), *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def recomputed(events: list[OutcomeEvent]) -> dict[str, Any]:
    """Return what one group comes to: a window as long as all of them, of one agent."""
    import msgspec

    alike = [
        msgspec.structs.replace(event, agent_name="a", tenant_id="t", action_type="x", end_time=made.BEGIN)
        for event in events
    ]
    (window,) = made.windows(alike).values()
    return {name: window[name] for name in COMPARED}


def chosen(row: dict[str, Any]) -> dict[str, Any]:
    return {name: pytest.approx(row[name]) if isinstance(row[name], float) else row[name] for name in COMPARED}


@pytest.mark.parametrize(
    ("by", "key"),
    [
        ("agent", lambda e: (e.agent_name,)), ("tenant", lambda e: (e.tenant_id,)), ("status", lambda e: (e.status,)),
        ("tenant,workflow", lambda e: (e.tenant_id, e.workflow_id)), ("user", lambda e: (e.user_id,)),
    ],
)  # fmt: skip
def test_groups_are_what_a_recomputation_says(
    records: list[OutcomeEvent], log: Path, by: str, key: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    told = json.loads(stats(capsys, log, "--by", by, "--json"))
    groups: dict[Any, list[OutcomeEvent]] = {}
    for event in made.outcomes(records):
        groups.setdefault(key(event), []).append(event)
    found = {tuple(row[name] for name in by.split(",")): row for row in told["groups"]}
    assert found.keys() == groups.keys()
    for name, events in groups.items():
        assert recomputed(events) == chosen(found[name])
    assert recomputed(made.outcomes(records)) == chosen(told["total"])


def test_tags_and_windows_are_groups_too(
    records: list[OutcomeEvent], log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes = made.outcomes(records)
    told = json.loads(stats(capsys, log, "--by", "tag", "--json"))
    pending = sum(event.status == "pending" for event in outcomes)
    for row in told["groups"]:
        tagged = [event for event in outcomes if (row["tag"] in event.tags if row["tag"] else not event.tags)]
        assert row["executions"] + row["pending"] == len(tagged)
    assert told["total"]["executions"] == len(outcomes) - pending

    told = json.loads(stats(capsys, log, "--by", "window", "--window", "30m", "--json"))
    starts = [row["window"] for row in told["groups"]]
    assert starts == sorted(starts)
    assert starts[0] == "2026-03-02T09:00:00Z"
    assert sum(row["executions"] for row in told["groups"]) == told["total"]["executions"]


def test_since_compares_with_the_period_before(
    records: list[OutcomeEvent], log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noon = made.BEGIN + timedelta(hours=2)
    told = json.loads(stats(capsys, log, "--since", "2026-03-02T11:00Z", "--until", "2026-03-02T12:00Z", "--json"))
    outcomes = made.outcomes(records)
    now = [e for e in outcomes if noon <= (e.end_time or e.timestamp) < noon + timedelta(hours=1)]
    before = [e for e in outcomes if noon - timedelta(hours=1) <= (e.end_time or e.timestamp) < noon]
    assert recomputed(now) == chosen(told["total"])
    assert recomputed(before) == chosen(told["total"]["before"])
    text = stats(capsys, log, "--since", "2026-03-02T11:00Z", "--until", "2026-03-02T12:00Z")
    assert ", against as long before" in " ".join(text.split())
    everything = json.loads(stats(capsys, log, "--json"))
    assert "before" not in everything["total"]


def test_csv_has_every_group_and_the_numbers_of_json(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--by", "user,model", "--since", "2026-03-02T11:00Z"]
    rows = list(csv.DictReader(io.StringIO(stats(capsys, log, *arguments, "--csv"))))
    groups = json.loads(stats(capsys, log, *arguments, "--json"))["groups"]
    assert len(rows) == len(groups) > 100
    for row, group in zip(rows, groups, strict=True):
        assert (row["user"], row["model"]) == (group["user"], group["model"] or "")
        assert float(row["executions"]) == group["executions"]
        assert float(row["before_executions"]) == group["before"]["executions"]


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_table_fits_and_what_is_left_out_is_said(
    columns: int, log: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for arguments in ([], ["--since", "2026-03-02T11:00Z"], ["--by", "user,model,workflow"], ["--by", "window"]):
        lines = stats(capsys, log, *arguments).splitlines()
        assert max(map(len, lines)) <= columns
        assert lines[-1].startswith("all ") or lines[-1].endswith("--top 0 has all")
        head = next(line for line in lines if "Actions" in line)
        assert "Success" in head
        assert "Cost" in head
        assert columns < 120 or "p99" in head
    tall = stats(capsys, log, "--by", "session", "--top", "0").splitlines()
    assert len(tall) > 300


def test_the_order_is_what_is_asked_for(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for sort, measure in (
        ("cost", "cost"),
        ("errors", "error_rate"),
        ("p95", "p95_latency_ms"),
        ("actions", "executions"),
    ):
        groups = json.loads(stats(capsys, log, "--by", "session", "--sort", sort, "--json"))["groups"]
        values = [group[measure] for group in groups if group[measure] is not None]
        assert values == sorted(values, reverse=True)


def test_arguments_that_cannot_be_used(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        (["--by", "agnet"], "'agnet' is no group; did you mean agent? there are agent, action"),
        (["--window", "5x"], "'5x' is no length of a window: 30s, 5m, 1h or 1d"),
        (["--sort", "price"], "--sort: invalid choice: 'price'"),
        (["--status", "failed"], "--status: invalid choice: 'failed'; did you mean failure?"),
        (["--json", "--csv"], "not allowed with argument"),
    ):
        with pytest.raises(SystemExit) as exited:
            main(["stats", *arguments])
        assert exited.value.code == 2
        assert message in capsys.readouterr().err
