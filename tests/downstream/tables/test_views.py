"""The views, held to a plain recomputation: 100,000 records with repeats, revisions, late and pending ones."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from otel_feedback import OutcomeEvent
from otel_feedback.downstream.tables.opening import open_log
from otel_feedback.downstream.tables.tables import VIEWS, Tables, columns_of, text_of
from tests.downstream.tables import made

RECORDS = 100_000


@pytest.fixture(scope="module")
def records() -> list[OutcomeEvent]:
    return made.events(RECORDS)


@pytest.fixture(scope="module")
def log(records: list[OutcomeEvent], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "outcomes.jsonl"
    path.write_bytes(b"".join(record.to_json().encode() + b"\n" for record in records))
    return path


def windows_of(tables: Tables) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Return the rows of the view by start, tenant, agent and action."""
    of_feedback = "feedback_score, feedback_count, feedback_coverage"  # see test_feedback.py
    done = tables.ask(f"SELECT epoch(window_start) AS start, * EXCLUDE (window_start, {of_feedback}) FROM windows")
    names = done.names
    return {row[:4]: dict(zip(names[4:], row[4:], strict=True)) for row in done.rows}


@pytest.mark.parametrize("window_s", [300, 60, 3_600])
def test_windows_equal_a_plain_recomputation(records: list[OutcomeEvent], log: Path, window_s: int) -> None:
    with open_log([log], columns_of(text_of("windows")), window_s) as tables:
        found = windows_of(tables)
    expected = made.windows(records, window_s)
    assert found.keys() == expected.keys()
    for key, window in expected.items():
        assert found[key] == {
            name: pytest.approx(value, rel=1e-9) if isinstance(value, float) else value
            for name, value in window.items()
        }, key
    # and the records are what the windows are about
    assert sum(window["pending"] for window in expected.values()) > 500
    assert len(records) - len(made.outcomes(records)) > 10_000


def test_a_bucket_of_the_order_of_arrival_would_be_wrong(records: list[OutcomeEvent], log: Path) -> None:
    """What the view is for: counted without the highest revision, nearly no window is right."""
    with open_log([log], columns_of(text_of("windows"))) as tables:
        tables.connection.execute("CREATE OR REPLACE VIEW outcomes_alone AS SELECT * FROM events")
        found = windows_of(tables)
    expected = made.windows(records)
    assert sum(found[key]["executions"] != window["executions"] for key, window in expected.items()) > len(expected) / 2


def test_outcomes_have_the_columns_of_events_and_each_event_once(records: list[OutcomeEvent], log: Path) -> None:
    with open_log([log]) as tables:
        columns = [name for name, *_ in tables.query("DESCRIBE events")]
        of_feedback = ["feedback_score", "feedback_count"]
        assert [name for name, *_ in tables.query("DESCRIBE outcomes")] == [*columns, *of_feedback]
        found = dict(tables.query("SELECT event_id, revision FROM outcomes"))
        assert found == {event.event_id: event.revision for event in made.outcomes(records)}
        assert tables.query("SELECT count(*), count(DISTINCT source), min(source) FROM events") == [
            (RECORDS, 1, str(log))
        ]
        assert tables.unread == 0


def test_every_view_adds_up(records: list[OutcomeEvent], log: Path) -> None:
    outcomes = made.outcomes(records)
    tokens = sum(event.own_tokens or 0 for event in outcomes)
    went_wrong = [event for event in outcomes if event.status in ("failure", "timeout")]
    with open_log([log]) as tables:
        assert tables.query("SELECT sum(tokens), sum(actions), count(*) FROM runs") == [
            (tokens, len(outcomes), len({event.run_id for event in outcomes}))
        ]
        assert tables.query("SELECT sum(tokens), sum(actions) FROM costs") == [(tokens, len(outcomes))]
        assert tables.query("SELECT sum(times), min(first), max(last) FROM failures") == [
            (
                len(went_wrong), min(event.end_time or event.timestamp for event in went_wrong),
                max(event.end_time or event.timestamp for event in went_wrong),
            )
        ]  # fmt: skip
        assert tables.query("SELECT records, events FROM producers") == [(RECORDS, len(outcomes))]
        run = tables.query("SELECT * FROM runs WHERE run_id = 'run-7'")[0]
        own = [event for event in outcomes if event.run_id == "run-7"]
        assert run[7] == min(event.start_time for event in own if event.start_time)


def test_the_status_of_a_run_is_that_of_its_outermost_action(tmp_path: Path) -> None:
    at = datetime(2026, 3, 2, tzinfo=timezone.utc)

    def line(event_id: str, status: str, root: str | None, run: str) -> str:
        root_part = "" if root is None else f', "root_event_id": "{root}"'
        return (
            f'{{"event_id": "{event_id}", "action_type": "a", "status": "{status}", "run_id": "{run}", '
            f'"timestamp": "{at.isoformat()}"{root_part}}}\n'
        )

    log = tmp_path / "log.jsonl"
    log.write_text(
        line("a", "failure", "b", "run-1") + line("b", "partial", "b", "run-1")
        + line("c", "success", "d", "run-2") + line("e", "pending", "d", "run-2")
        + line("f", "timeout", None, "run-3")
    )  # fmt: skip
    with open_log([log]) as tables:
        assert tables.query("SELECT run_id, status FROM runs ORDER BY ALL") == [
            ("run-1", "partial"), ("run-2", "pending"), ("run-3", "timeout")
        ]  # fmt: skip


def test_the_texts_keep_to_what_flink_runs_too() -> None:
    """Those of the windows: no function of DuckDB's alone, no double quotes, no `*` with exceptions, one number to change."""
    for view in ("outcomes", "windows"):
        text = text_of(view)
        assert not any(word in text for word in ('"', "::", "EXCLUDE", "QUALIFY", "quantile", "epoch(", "time_bucket"))
    assert "FLOOR(EXTRACT(EPOCH FROM event_time) / 300) * 300" in text_of("windows")
    assert "FLOOR(EXTRACT(EPOCH FROM event_time) / 60) * 60" in text_of("windows", 60)
    assert set(VIEWS) == {path.stem for path in (Path(text_of.__code__.co_filename).parent / "views").glob("*.sql")}
