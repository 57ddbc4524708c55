"""What it costs to convert other people's spans, and what a service pays whose spans are no actions.

Method: as for an action: one process for each way of treating spans, which take turns while the others sleep; several
launches; figures are those of two rounds of the same turn. They are CPU time of the thread that makes the spans. Each
round shows that its spans became events, or that none did.

    the span itself             a provider without our processor
    conversion                  with it, up to a filter that drops every event, and has each span converted at once:
                                attributes read, status, the sums of what is below, price, redaction; no JSON and no journal
    conversion, JSON, journal   events are recorded, with Kafka away: on this thread, attributes read and a note in the
                                journal; the rest is another's

A conversion costs what a span with it takes longer than one without, in the same turn; the baseline is the span without,
and once more the bare span with ten attributes with which an action is compared, made in the same turn as well.
So is each figure of a long trace: ours in traces of 10,000 spans, the baseline in traces of ten.

    the service without us      a sampler of the SDK, a batch processor, an exporter that throws away
    configure()                 the same, with our processor and our sampler around that one
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.children import Child
from benchmarks.progress import say
from benchmarks.report import Goal, Result, Row, row
from benchmarks.subjects.conventions import CONVENTIONS
from benchmarks.subjects.converting import SPANS_OF_AN_AGENT
from benchmarks.subjects.names import (
    BARE,
    CONFIGURED,
    CONVERTED,
    DEEP,
    FORMER_NAMES,
    MIXED,
    PLAIN,
    RECORDED,
    STABLE_NAMES,
    TEN_ATTRIBUTES,
    WIDE,
)
from benchmarks.turns import take_turns

__all__ = ["measure"]

QUICK_ENOUGH = Goal("ours", 25.0)
TWO_BARE_SPANS = Goal("ratio", 2.0)
AS_IN_SHORT_ONES = Goal("ratio", 1.2)
SMALL = Goal("ratio", 1.05)

WAYS = (BARE, CONVERTED, RECORDED)
SHAPES = {
    DEEP: "deep: each agent asks the next",
    WIDE: "wide: one agent makes all calls",
    MIXED: "mixed: each agent makes nine calls and asks the next",
}
SHORT = 10


class Service(NamedTuple):
    """What the service does, and what is sampled of it."""

    name: str
    sampled: float
    names: str
    work_us: int
    goal: Goal | None = None


SERVICES = (
    Service("unsampled service, 200 µs of work a request", 0.0, STABLE_NAMES, 200, SMALL),
    Service("unsampled service, nothing but spans", 0.0, STABLE_NAMES, 0),
    Service("unsampled service, former names, 200 µs of work a request", 0.0, FORMER_NAMES, 200, SMALL),
    Service("unsampled service, former names, nothing but spans", 0.0, FORMER_NAMES, 0),
    Service("sampled service, nothing but spans", 1.0, STABLE_NAMES, 0),
)


class Size(NamedTuple):
    """How much is measured."""

    launches: int
    turns: int
    long_turns: int
    agents: int  # traces of a convention in a round
    long: int  # spans of a long trace
    requests: int


Found = dict[tuple[str, str], list[float]]  # by what is made and how it is treated: microseconds, by round


def measure(*, is_quick: bool) -> Result:
    """Run all rounds of all ways."""
    size = Size(1, 2, 2, 50, 1_000, 20) if is_quick else Size(3, 8, 3, 300, 10_000, 200)
    found: Found = {}
    for launch in range(size.launches):
        say(f"conversion: launch {launch + 1} of {size.launches}, {len(WAYS)} ways in turns")
        _launch_conversion(found, size)
        say(f"conversion: launch {launch + 1} of {size.launches}, services")
        for sampled in (0.0, 1.0):
            _launch_services(found, size, [service for service in SERVICES if service.sampled == sampled])
    parameters: Mapping[str, Any] = {
        **size._asdict(),
        "services": [service._replace(goal=None)._asdict() for service in SERVICES],
        "us": {f"{made}: {way}": rounds for (made, way), rounds in found.items()},
    }
    return Result(list(_rows(found, size)), parameters)


def _launch_conversion(found: Found, size: Size) -> None:
    with contextlib.ExitStack() as stack:
        children = {way: stack.enter_context(Child("benchmarks.subjects.converting", {"subject": way})) for way in WAYS}
        for name in CONVENTIONS:
            requests = {
                name: {"trace": name, "spans": SPANS_OF_AN_AGENT, "traces": size.agents},
                _ten(name): {"trace": TEN_ATTRIBUTES, "spans": 1, "traces": size.agents * SPANS_OF_AN_AGENT},
            }
            _measure(found, children, requests, "us_a_span", size.turns)
        two = {way: children[way] for way in (BARE, CONVERTED)}
        for shape in SHAPES:
            requests = {
                _long(shape, spans): {"trace": shape, "spans": spans, "traces": size.long // spans}
                for spans in (size.long, SHORT)
            }
            _measure(found, two, requests, "us_a_span", size.long_turns)


def _launch_services(found: Found, size: Size, services: Sequence[Service]) -> None:
    with contextlib.ExitStack() as stack:
        children = {
            way: stack.enter_context(
                Child("benchmarks.subjects.serving", {"subject": way, "sampled": services[0].sampled})
            )
            for way in (PLAIN, CONFIGURED)
        }
        for service in services:
            request = {"names": service.names, "requests": size.requests, "work_us": service.work_us}
            _measure(found, children, {service.name: request}, "us_a_request", size.turns)


def _measure(
    found: Found, children: Mapping[str, Child], requests: Mapping[str, dict[str, Any]], figure: str, turns: int
) -> None:
    for name, way, answer in take_turns(children, requests, turns):
        found.setdefault((name, way), []).append(answer[figure])


def _ten(name: str) -> str:
    return f"{TEN_ATTRIBUTES}, beside {name}"


def _long(shape: str, spans: int) -> str:
    return f"{shape}, {spans:,} spans"


def _added(found: Found, made: str, way: str) -> list[float]:
    """Return what this way adds to the span itself, round by round."""
    return [ours - bare for ours, bare in zip(found[made, way], found[made, BARE], strict=True)]


def _rows(found: Found, size: Size) -> Iterator[Row]:
    for name in CONVENTIONS:
        for way, goal, ratio in ((CONVERTED, QUICK_ENOUGH, None), (RECORDED, None, TWO_BARE_SPANS)):
            added, ten = _added(found, name, way), found[_ten(name), BARE]
            yield row("conversion", f"{name}: {way}", BARE, "µs", added, found[name, BARE], goal)
            yield row("conversion", f"{name}: {way}", TEN_ATTRIBUTES, "µs", added, ten, ratio)
    for shape, told in SHAPES.items():
        long, short = (_added(found, _long(shape, spans), CONVERTED) for spans in (size.long, SHORT))
        against = f"traces of {SHORT} spans"
        yield row("conversion", f"{size.long:,} spans, {told}", against, "µs", long, short, AS_IN_SHORT_ONES)
    for service in SERVICES:
        figures = found[service.name, CONFIGURED], found[service.name, PLAIN]
        yield row("conversion", service.name, PLAIN, "µs", *figures, service.goal)
