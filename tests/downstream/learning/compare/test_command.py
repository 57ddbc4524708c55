"""`otel-feedback compare`: what somebody sees on terminals of several widths, JSON, CSV, and what is said of wrong arguments."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from otel_feedback import OutcomeEvent
from otel_feedback.cli.main import main
from tests.downstream.learning.compare.trials import Variant, trial, write

TWO = {"a": Variant(0.9, latency_ms=800), "b": Variant(0.8, cost_usd=0.02, latency_ms=810)}
THREE = {
    "control": Variant(0.9, weight=0.4), "with-examples": Variant(0.7, weight=0.3), "a-name-that-is-longer-than-most-are": Variant(0.9, weight=0.3),
}  # fmt: skip
OF_THE_TWO = ("--experiment", "prompt-7")
changed = msgspec.structs.replace
Capsys = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("two") / "two.jsonl", [*trial(TWO, 2_000)])


def compare(capsys: Capsys, log: Path, *arguments: str) -> str:
    assert main(["compare", "--from", str(log), *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_table_fits_and_says_what_there_is_room_for(
    columns: int, log: Path, tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.chdir(log.parent)
    text = compare(capsys, Path(log.name), *OF_THE_TWO)
    assert max(map(len, text.splitlines())) <= columns
    assert text.startswith("two.jsonl  experiment prompt-7\na ")
    rows = {line.split()[0]: line for line in text.splitlines() if line[:1].isupper()}
    assert "90." in rows["Success"] or "89." in rows["Success"]
    (success, cost, latency) = (
        text.splitlines()[text.splitlines().index(rows[name]) + 1] for name in ("Success", "Cost", "Latency")
    )
    assert success.endswith("worse")
    assert cost.endswith("worse")
    assert ("$0.0" in cost, " ms" in latency, "not enough yet" in latency) == (True, True, True)
    assert ("not enough yet: " in latency and latency.endswith((" more", "far off"))) is (columns >= 80)
    assert (" to " in success) is (columns >= 80)
    assert ("Difference" in text) is (columns != 80)

    long = compare(capsys, write(tmp_path / "three.jsonl", [*trial(THREE, 900)]), *OF_THE_TWO)
    assert max(map(len, long.splitlines()[2:])) <= columns
    assert long.count("not enough yet") + long.count("worse") + long.count("better") == 8
    if columns == 120:
        assert "a-name-that-is-longer-than-most-are" in long.splitlines()[5]


def test_json_has_all_of_it(log: Path, capsys: Capsys) -> None:
    told = json.loads(compare(capsys, log, *OF_THE_TWO, "--json", "--level", "0.99", "--since", "2026-03-01"))
    assert (told["experiment"], told["baseline"], told["level"], told["events"]) == ("prompt-7", "a", 0.99, 2_000)
    assert (told["since"], told["is_drawn"], told["in_several"]) == ("2026-03-01T00:00:00Z", True, 0)
    assert told["assignment"]["expected"] == {"a": 0.5, "b": 0.5}
    assert told["assignment"]["p_value"] > 0.01
    (action,) = told["actions"]
    assert [one["metric"] for one in action["metrics"]] == ["success", "quality", "cost", "latency"]
    (difference,) = action["metrics"][0]["differences"]
    assert (difference["variant"], difference["verdict"], difference["more_units"]) == ("b", "worse", None)
    assert difference["low"] < difference["estimate"] < difference["high"] < 0


def test_csv_has_a_line_for_each_action_metric_and_variant(log: Path, capsys: Capsys) -> None:
    rows = [*csv.DictReader(io.StringIO(compare(capsys, log, *OF_THE_TWO, "--csv", "--baseline", "b")))]
    assert [(row["metric"], row["variant"]) for row in rows[:3]] == [
        ("success", "b"),
        ("success", "a"),
        ("quality", "b"),
    ]
    assert len(rows) == 8
    assert (rows[1]["baseline"], rows[1]["verdict"], rows[0]["verdict"]) == ("b", "better", "")


SAID: list[tuple[str, Callable[[list[OutcomeEvent]], Iterable[OutcomeEvent]], tuple[str, ...], list[str]]] = [
    ("a mismatch", lambda events: [e for e in events if e.variant == "a" or int(e.event_id[-1]) % 2], OF_THE_TWO,
     ["There are not as many units as were drawn: a ", "(drawn 50.0 %)", "find it before"]),
    ("no weights", lambda events: [changed(e, propensity=None) for e in events], OF_THE_TWO,
     ["Not checked whether there are as many as were drawn"]),
    ("other weights", lambda events: [changed(e, propensity=0.9 if e.variant == "a" else 0.1) if int(e.event_id[9:]) < 99 else e for e in events],
     OF_THE_TWO, ["The weights were changed"]),
    ("several", lambda events: [changed(e, user_id=f"u-{int(e.event_id[9:]) % 7}") for e in events], OF_THE_TWO,
     ["7 units had several and count in each."]),
    ("not alike", lambda events: [changed(e, tenant_id="acme" if e.variant == "a" else None) for e in events], OF_THE_TWO,
     ["tenant acme: 0 % of the units of b, 100 % of a"]),
    ("not known", lambda events: [changed(e, quality_score=e.quality_score if int(e.event_id[9:]) % 4 else None) for e in events], OF_THE_TWO,
     ["% known"]),
    ("not known of one", lambda events: [changed(e, quality_score=e.quality_score if e.variant == "a" or int(e.event_id[9:]) % 4 else None) for e in events],
     OF_THE_TWO, ["quality is known of 100 % of a, 7"]),
    ("only one", lambda events: [e for e in events if e.variant == "a"], OF_THE_TWO, ["there is nothing to compare it with"]),
    ("no baseline", lambda events: events, (*OF_THE_TWO, "--baseline", "c"), ["none of c: there is nothing to compare"]),
    ("nobody asked", lambda events: [changed(e, metadata={}) for e in events], OF_THE_TWO,
     ["600 events, and none of an action that ended and asked for a variant"]),
    ("no such", lambda events: events, ("--experiment", "prompt-8"), ["no event of this experiment"]),
    ("by agent", lambda events: [changed(e, agent_name=f"agent {e.variant}") for e in events], ("--by", "agent", "agent b", "agent a"),
     ["by agent", "Nobody drew who got which", "agent a", "better"]),
    ("no such agent", lambda events: events, ("--by", "agent", "x", "y"), ["no action of x or y has ended"]),
    ("one type", lambda events: [changed(e, action_type=f"type {int(e.event_id[9:]) % 2 if e.variant == 'a' else 1}") for e in events],
     OF_THE_TWO, ["type 1  a ", "only one has type 0: nothing to compare"]),
    ("many types", lambda events: [changed(e, action_type=f"type {int(e.event_id[9:]) % 12}") for e in events], OF_THE_TWO,
     ["and 2 more types of actions: --action has one"]),
]  # fmt: skip


@pytest.mark.parametrize(("events", "arguments", "lines"), [each[1:] for each in SAID], ids=[each[0] for each in SAID])
def test_what_is_to_be_known_is_said(
    events: Any, arguments: tuple[str, ...], lines: list[str], tmp_path: Path, capsys: Capsys,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("COLUMNS", "200")
    text = compare(capsys, write(tmp_path / "log.jsonl", [*events([*trial(TWO, 600)])]), *arguments)
    for line in lines:
        assert line in text


WRONG = [
    ((), "say what is compared: --experiment NAME, or --by WHAT A B"),
    (("--by", "agnt", "a", "b"), "'agnt' cannot be compared by; did you mean agent?"),
    (("--by", "metadata.", "a", "b"), "'metadata.' cannot be compared by"),
    (("--by", "agent", "a", "a"), "'a' is compared with itself; give two values of agent"),
    (("--by", "agent", "a", "b", "--baseline", "c"), "--baseline 'c' is neither 'a' nor 'b'"),
    (("--experiment", "x", "--level", "95"), "'95' is no share from 0.5 to below 1, such as 0.95"),
    (("--experiment", "x", "--by", "agent", "a", "b"), "not allowed with argument"),
]


@pytest.mark.parametrize(("arguments", "line"), WRONG, ids=[each[1][:30] for each in WRONG])
def test_wrong_arguments_are_said_and_what_would_be_right(
    arguments: tuple[str, ...], line: str, capsys: Capsys
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["compare", *arguments])
    assert ended.value.code == 2
    assert line in capsys.readouterr().err
