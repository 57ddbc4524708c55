"""Times that are longer than what is in memory: days as sums, hours at their ends, rows after them, as if all were rows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from otel_feedback import OutcomeEvent
from otel_feedback.downstream.store import manifest as manifests
from otel_feedback.downstream.store.folder import StoreFolder
from otel_feedback.downstream.ui.access import Token
from tests.downstream.tables import made
from tests.downstream.ui.serve import TOKEN, Server, ms, served, token_of, write
from tests.downstream.ui.test_answers import FILTERS, at, close, totals
from tests.stack.waiting import wait_until

DAYS = 20
SHIFT = timedelta(days=(datetime.now(timezone.utc) - timedelta(days=DAYS) - made.BEGIN).days)
RECORDS = [
    msgspec.structs.replace(
        event, **{name: moment + SHIFT for name in ("timestamp", "start_time", "end_time") if (moment := getattr(event, name))}
    )
    for event in made.events(2_000, minutes=DAYS * 1_440)
]  # fmt: skip
OUTCOMES = made.outcomes(RECORDS)
UNTIL = made.BEGIN + SHIFT + timedelta(days=DAYS, hours=-5)
LENGTHS = {"days": timedelta(days=8, hours=19), "hours": timedelta(days=7, hours=1)}


@pytest.fixture(scope="module", params=[True, False], ids=["the store's sums", "our own"])
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = StoreFolder(tmp_path_factory.mktemp("long") / "store")
    write(folder, RECORDS)
    if not request.param:
        manifests.save(folder, msgspec.structs.replace(manifests.load(folder), rollups=[]))
    with served(folder.path, [Token(TOKEN), Token(token_of("acme"), "acme")], most_hot=0) as server:
        wait_until(lambda: server.get("api/state", TOKEN)["rows"] == len(RECORDS), timeout_s=60, what="rows")
        wait_until(lambda: server.get("api/state", TOKEN)["problem"] is None, timeout_s=60, what="sums")
        yield server


def within(begin: datetime, end: datetime, name: str, tenant: str | None) -> list[OutcomeEvent]:
    """Return the events of a time that a filter leaves, of one tenant or of all."""
    events = [event for event in OUTCOMES if begin <= at(event) < end and FILTERS[name][1](event)]
    return [event for event in events if tenant in (None, event.tenant_id)]


def ask(page: Server, path: str, length: timedelta, name: str, tenant: str | None, **more: str) -> Any:
    times = {"since": (UNTIL - length).isoformat(), "until": UNTIL.isoformat()}
    query = urlencode([*times.items(), *FILTERS[name][0], *more.items()])
    return page.get(f"api/{path}?{query}", TOKEN if tenant is None else token_of(tenant))


@pytest.mark.parametrize("tenant", [None, "acme"])
@pytest.mark.parametrize("name", ["nothing", "an agent", "several", "nobody"])
@pytest.mark.parametrize("unit", LENGTHS)
def test_now(page: Server, unit: str, name: str, tenant: str | None) -> None:
    length = LENGTHS[unit]
    now = ask(page, "now", length, name, tenant)
    assert now["by_hours"]
    events = within(UNTIL - length, UNTIL, name, tenant)
    right = totals(events)
    percentiles = {part: right.pop(part) for part in ("p50", "p95")}
    close(now["totals"], right)
    if right["actions"] >= 50:
        close(now["totals"], percentiles, 0.12)
    before = within(UNTIL - 2 * length, UNTIL - length, name, tenant)
    if before:
        close(now["before"], {part: value for part, value in totals(before).items() if part not in percentiles})
    assert (now["before"] is None) == (not before)
    for agent in now["agents"]:
        theirs = totals([event for event in events if event.agent_name == agent["agent"]])
        close({part: agent[part] for part in ("actions", "tokens", "cost")},
              {part: theirs[part] for part in ("actions", "tokens", "cost")})  # fmt: skip
    assert {agent["agent"] for agent in now["agents"]} == {event.agent_name for event in events}
    series, bucket_ms = now["series"], now["bucket_s"] * 1_000
    assert now["bucket_s"] == (86_400 if unit == "days" else 3_600)
    for place, begin in enumerate(series["t"]):
        inside = totals([event for event in events if begin <= ms(at(event)) < begin + bucket_ms])
        close({part: series[part][place] for part in ("tokens", "cost")},
              {part: inside[part] for part in ("tokens", "cost")})  # fmt: skip
        close(
            series["failure"][place] + series["timeout"][place], round((inside["error_rate"] or 0) * inside["actions"])
        )


@pytest.mark.parametrize("tenant", [None, "acme"])
@pytest.mark.parametrize("bucket", ["hour", "day"])
def test_cost(page: Server, bucket: str, tenant: str | None) -> None:
    told = ask(page, "cost", LENGTHS["days"], "nothing", tenant, by="model", bucket=bucket)
    events = within(UNTIL - LENGTHS["days"], UNTIL, "nothing", tenant)
    costs: dict[Any, list[float]] = {}
    for event in events:
        costs.setdefault(event.model, []).extend([] if event.own_cost is None else [event.own_cost])
    found = {group["key"]: group["cost"] for group in told["groups"]}
    close(found, {model: math.fsum(each) if each else None for model, each in costs.items()})
    series, length_ms = told["series"], {"hour": 3_600_000, "day": 86_400_000}[bucket]
    for place, begin in enumerate(series["t"]):
        inside = [event.own_cost or 0.0 for event in events if begin <= ms(at(event)) < begin + length_ms]
        close(math.fsum(line[place] for line in series["cost"]), math.fsum(inside))


def test_a_tenant_sees_nothing_of_others_in_what_is_kept(page: Server) -> None:
    """Neither rows nor what they share, nor sums of days and of hours."""
    days = list(page.mirror.days.hours)
    assert len(days) > 15
    with page.mirror.open("acme") as reader:
        for relation in ("hot", "kinds", "days", reader.hours(days)):
            assert reader.rows(f"SELECT DISTINCT tenant_id FROM {relation}") == [{"tenant_id": "acme"}]
    with page.mirror.open("nobody'; --") as reader:
        for relation in ("hot", "kinds", "days", reader.hours(days)):
            assert reader.rows(f"SELECT * FROM {relation}") == []
