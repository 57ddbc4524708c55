"""The pytest plugin for what a run takes: which tests need services, which are for `.ci/full` alone, and what to expect of it.

services   starts a broker, a collector, an environment of its own …; all others are the quick part
thorough   not in `.ci/run`: where a service has many long cases, those marked `brief` stand for it there
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pytest

from tests.stack.cache import cache_root
from tests.support import ROOT

_OF_SERVICES = ("beside", "fault", "integration", "live")
_THOROUGH = (
    "tests/beside/",
    "tests/browser/",
    "tests/downstream/avro/test_topic.py",
    "tests/downstream/consumer/test_broker_away.py",
    "tests/downstream/consumer/test_killed.py",
    "tests/downstream/consumer/test_rebalances.py",
    "tests/downstream/learning/selectors/test_commands.py::test_from_a_topic",
    "tests/downstream/learning/gaps/test_finding.py",
    "tests/downstream/learning/policies/test_valuing.py::test_intervals",
    "tests/downstream/store/test_feedback.py::test_each_tenant",
    "tests/downstream/store/test_feedback.py::test_it_is_kept_as_long",
    "tests/downstream/store/test_feedback.py::test_what_is_none_on_the_topic",
    "tests/downstream/store/test_kills.py",
    "tests/downstream/store/test_notices.py::test_the_manifest_says",
    "tests/downstream/store/test_topic.py::test_new_partitions",
    "tests/downstream/test_warehouse.py::test_a_connect_worker",
    "tests/downstream/streaming/test_flink.py",
    "tests/downstream/test_whole_chain.py",
    "tests/downstream/ui/test_commands.py",
    "tests/downstream/ui/test_door.py::test_what_cannot_be_opened",
    "tests/downstream/ui/test_experiments.py::test_live_views",
    "tests/downstream/ui/test_experiments.py::test_texts_that_mean",
    "tests/downstream/ui/test_given.py::test_each_change",
    "tests/downstream/ui/test_mirror.py::test_a_writer_that_is_killed",
    "tests/downstream/ui/test_mirror.py::test_readers_beside",
    "tests/fault/",
    "tests/integration/test_feedback.py::test_many_arrive",
    "tests/integration/test_kafka_refusals.py::test_a_broker_that_takes_no_large_requests",
    "tests/integration/test_kafka_refusals.py::test_a_record_at_which_the_connection_breaks",
    "tests/integration/test_kafka_refusals.py::test_good_events_arrive",
    "tests/integration/test_kafka_tokens.py",
    "tests/integration/test_regions.py",
    "tests/live/",
    "tests/unit/convert/test_hostile_spans.py::test_whatever_spans_carry",
    "tests/unit/test_benchmark_conversion.py::test_every_way",
    "tests/unit/test_benchmarks.py::test_a_quick_run_reports",
)
_BY_CONFLUENT = (
    "tests/fault/test_broker_refuses.py::test_events_wait_for_a_topic",
    "tests/fault/test_sender_process.py::test_what_is_refused",
    "tests/integration/test_kafka.py::test_a_fork_while",
    "tests/integration/test_kafka.py::test_a_record_that_the_broker_refuses",
    "tests/integration/test_kafka.py::test_keys_are_partitioned",
    "tests/integration/test_kafka.py::test_runs_stay_in_order_with_every_compression[confluent-zstd]",
    "tests/integration/test_kafka_lines.py::test_the_same_arrives_whichever_way_it_goes[confluent-gzip]",
    "tests/integration/test_kafka_refusals.py::test_limits_of_a_topic_are_learned_from_one_refusal[confluent-a year ago-60000]",
    "tests/integration/test_kafka_tokens.py::test_events_arrive",
    "tests/integration/test_kafka_too_large.py::test_nothing_overtakes_what_is_refused_first",
    "tests/integration/test_kafka_too_large.py::test_the_first_into",
    "tests/integration/test_tenant_topics.py::test_each_tenant",
)
"""What `.ci/run` has of the tests that hold for both clients, by the one that is not the default: a case of each kind."""

_SLOW = (
    "tests/downstream/alerts/test_down.py",
    "tests/downstream/learning/",
    "tests/downstream/objectives/test_month.py",
    "tests/downstream/tables/test_feedback.py",
    "tests/downstream/tables/test_views.py",
    "tests/downstream/store/",
    "tests/downstream/ui/",
    "tests/property/",
    "tests/replay/test_put_off.py",
    "tests/unit/cli/demo/test_learn.py",
    "tests/unit/cli/reading/test_exploring.py",
    "tests/unit/cli/reading/test_feedback.py",
    "tests/unit/cli/reading/test_screens.py",
    "tests/unit/convert/test_hostile_spans.py",
    "tests/unit/learning/test_simulations.py",
    "tests/unit/test_benchmark",
    "tests/unit/test_event.py::test_every_event_fits",
    "tests/unit/test_forks.py::test_pools_whose",
    "tests/unit/test_late_ends.py",
    "tests/unit/test_pipeline.py::test_children_forked",
    "tests/unit/test_plan.py",
)
"""With no service, and yet not in the quick part: they take as long as all others of it."""

_SECONDS = {
    "beside": 4.0, "browser": 2.0, "conformance": 0.02, "downstream": 3.0, "examples": 0.1, "fault": 10.0, "integration": 2.0, "live": 1.5,
    "property": 0.1, "replay": 0.6, "unit": 0.04,
}  # fmt: skip
_SLOW_UNIT_S = 1.3
"""What one test takes on two cores of a free machine, by folder; measured over all, from time to time."""


class Kept(NamedTuple):
    """Something that is fetched, built or installed once."""

    title: str
    name: str  # what its folder in the cache begins with
    seconds: int  # on two cores of a free machine, with empty caches
    megabytes: int  # with what Go, Maven and pip keep of it


_KAFKA = Kept("Kafka", "kafka-", 6, 100)
_TOOLS = Kept("Kafka's tools and MirrorMaker", "tools-of-kafka-", 15, 50)
_FLINK = Kept("Flink", "flink-", 30, 400)
_COLLECTOR = Kept("OpenTelemetry Collector", "collector-", 110, 2_300)
_JAEGER = Kept("Jaeger", "jaeger-", 165, 2_300)
_PROMETHEUS = Kept("Prometheus", "prometheus-", 240, 1_000)
_ALERTMANAGER = Kept("Alertmanager", "alertmanager-", 200, 800)
_APICURIO = Kept("Apicurio Registry", "apicurio-", 20, 450)
_BROWSER = Kept("Chromium and axe-core", "axe-core-", 40, 500)
_FIXTURES = {
    "browser": [_BROWSER],
    "kafka_broker": [_KAFKA],
    "registry": [_APICURIO],
    "flink": [_KAFKA, _FLINK],
    "jaeger": [_JAEGER],
    "collector": [_COLLECTOR, _JAEGER],
    "collector_of_spans": [_COLLECTOR],
    "prometheus": [_COLLECTOR, _JAEGER, _PROMETHEUS],
    "promtool": [_PROMETHEUS],
    "amtool": [_ALERTMANAGER],
    "genai": [Kept("environment beside-genai", "beside-genai-", 40, 170)],
    "processes": [Kept("environment beside-processes", "beside-processes-", 60, 150)],
    "servers": [Kept("environment beside-servers", "beside-servers-", 40, 200)],
    "vendors": [Kept("environment beside-vendors", "beside-vendors-", 60, 260)],
}
_FILES = {
    "tests/integration/test_regions.py": [_KAFKA, _TOOLS],
    "tests/integration/test_tenant_acls.py": [_KAFKA, _TOOLS],
    "tests/beside/test_oldest_duckdb.py": [Kept("environment beside-oldest-duckdb", "beside-oldest-duckdb-", 40, 170)],
    "tests/beside/test_oldest_sdk.py": [Kept("environment beside-oldest-sdk", "beside-oldest-sdk-", 40, 150)],
    "tests/live/test_live.py": [Kept("environment live", "live-", 40, 290)],
}
_FOLDERS = {"fault": [_KAFKA]}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by where they are and by what they ask for, before `-m` chooses among them."""
    for item in items:
        folder = _folder(item)
        if folder in _OF_SERVICES or _wanted([item]):
            item.add_marker("services")
        elif not item.nodeid.startswith(_SLOW):
            item.add_marker("quick")
        by_confluent = "confluent" in getattr(getattr(item, "callspec", None), "params", {}).values()
        is_brief = item.get_closest_marker("brief") is not None
        if (
            not item.nodeid.startswith(_BY_CONFLUENT)
            if by_confluent
            else item.nodeid.startswith(_THOROUGH) and not is_brief
        ):
            item.add_marker("thorough")


def pytest_report_collectionfinish(items: Sequence[pytest.Item]) -> list[str]:
    """Say what is about to happen, and how to have less of it."""
    wanted = _wanted(items)
    seconds = sum(map(_seconds, items))
    lines = [f"takes {_minutes(seconds)} on two cores that are free, and longer where they are not"]
    if wanted:
        lines.append(f"starts {', '.join(one.title for one in wanted)}")
    missing = [one for one in wanted if not any(path.is_dir() for path in cache_root().glob(f"{one.name}*"))]
    if missing:
        megabytes = sum(one.megabytes for one in missing)
        lines.append(
            f"without Docker fetches and builds first, once: {', '.join(one.title for one in missing)}: "
            f"{_minutes(sum(one.seconds for one in missing))}, and up to {megabytes / 1e3:.1f} GB of disk in "
            f"{cache_root()} and the caches of Go, Maven and pip ({_free_bytes() / 1e9:.0f} GB are free)"
        )
    if wanted:
        lines.append("the quick part, which starts none of it and takes 2 min: -m quick")
    return lines


def _seconds(item: pytest.Item) -> float:
    folder = _folder(item)
    return _SLOW_UNIT_S if folder == "unit" and item.nodeid.startswith(_SLOW) else _SECONDS.get(folder, 1.0)


def _folder(item: pytest.Item) -> str:
    parts = item.path.relative_to(ROOT).parts if item.path.is_relative_to(ROOT) else ()
    return parts[1] if len(parts) > 2 and parts[0] == "tests" else ""


def _wanted(items: Iterable[pytest.Item]) -> list[Kept]:
    found: dict[Kept, None] = {}
    for item in items:
        for name in getattr(item, "fixturenames", ()):
            found.update(dict.fromkeys(_FIXTURES.get(name, ())))
        found.update(dict.fromkeys(_FILES.get(item.nodeid.partition("::")[0], ())))
        found.update(dict.fromkeys(_FOLDERS.get(_folder(item), ())))
    return list(found)


def _minutes(seconds: float) -> str:
    return f"about {max(1, round(seconds / 60))} min"


def _free_bytes() -> int:
    place = cache_root()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free
