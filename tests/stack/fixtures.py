"""The pytest plugin: one fixture per service, and what becomes of a service that is missing.

A test, or a fixture, that meets `ServiceUnavailable` is skipped, and the reasons are repeated at
the end of the run; where CI=true it fails instead. Use it by
`pytest_plugins = ["tests.stack.fixtures"]` in the top-level conftest.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.stack import browser as browsers
from tests.stack import builds, docker, progress, versions
from tests.stack.collector import BASE, Collector
from tests.stack.environment import COLLECTOR, JAEGER, KAFKA, PROMETHEUS, REGISTRY, given, is_ci
from tests.stack.errors import ServiceUnavailable, StackError, first_possible
from tests.stack.flink import Flink
from tests.stack.jaeger import Jaeger
from tests.stack.kafka import KafkaBroker
from tests.stack.otlp_sink import OtlpSink
from tests.stack.prometheus import Prometheus
from tests.stack.registry import Registry
from tests.stack.trace_sink import TraceSink

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_PREPARATIONS: dict[str, tuple[str, str, Callable[[], object]]] = {
    "kafka_broker": (KAFKA, versions.KAFKA_IMAGE, builds.kafka_libraries),
    "collector": (COLLECTOR, versions.COLLECTOR_IMAGE, builds.collector_binary),
    "collector_of_spans": (COLLECTOR, versions.COLLECTOR_IMAGE, builds.collector_binary),
    "jaeger": (JAEGER, versions.JAEGER_IMAGE, builds.jaeger_binary),
    "registry": (REGISTRY, versions.APICURIO_IMAGE, builds.apicurio_home),
    "prometheus": (PROMETHEUS, versions.PROMETHEUS_IMAGE, builds.prometheus_binary),
}

_TOOLS: dict[str, Callable[[], object]] = {
    "promtool": builds.promtool_binary,
    "amtool": builds.amtool_binary,
    "browser": browsers.chromium,
    "flink": builds.flink,
}

_missing: dict[str, int] = {}  # reason to number of tests


@pytest.fixture(params=["kafka-python", "confluent"])
def client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What sends, in this process; one that the test starts has to be told. What `.ci/run` has of the second: `plan.py`."""
    monkeypatch.setenv("KAFKA_CLIENT", request.param)
    return request.param


@pytest.fixture(params=["whole batches", "send()", "confluent", "process"])
def either_line(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way into Kafka, in this process: both of kafka-python, the other client, and a process that sends."""
    if request.param == "confluent":
        monkeypatch.setenv("KAFKA_CLIENT", request.param)
    if request.param == "process":
        monkeypatch.setenv("KAFKA_SENDER", request.param)
    if request.param == "send()":
        monkeypatch.setattr("otel_feedback.exporters.kafka.inside.KNOWN_VERSIONS", ("0.",))


@pytest.fixture(scope="session")
def kafka_broker() -> Iterator[KafkaBroker]:
    """A broker that all tests share; a test that breaks it needs `KafkaBroker.launch_own()`."""
    with KafkaBroker.launch() as broker:
        yield broker


@pytest.fixture(scope="session")
def registry() -> Iterator[Registry]:
    """A schema registry that all tests share: a subject each. One that breaks it needs `Registry.launch_own()`."""
    with Registry.launch() as running:
        yield running


@pytest.fixture(scope="session")
def jaeger() -> Iterator[Jaeger]:
    """A Jaeger that all tests share; tell tests apart by their `service.name`."""
    with Jaeger.launch() as running:
        yield running


@pytest.fixture(scope="session")
def otlp_sink() -> Iterator[OtlpSink]:
    """The sink behind `collector`; start a test with `otlp_sink.reset()`."""
    with OtlpSink.launch() as sink:
        yield sink


@pytest.fixture(scope="session")
def collector(jaeger: Jaeger, otlp_sink: OtlpSink) -> Iterator[Collector]:
    """A collector that sends spans to `jaeger` and log records to `otlp_sink`."""
    if given(COLLECTOR) is not None and given(JAEGER) is None:
        raise StackError(f"{COLLECTOR} needs {JAEGER} too: where its spans go is not known here")
    running = Collector.launch(jaeger_otlp_endpoint=jaeger.otlp_grpc_endpoint, logs_endpoint=otlp_sink.http_endpoint)
    with running:
        yield running


@pytest.fixture(scope="session")
def prometheus(collector: Collector) -> Iterator[Prometheus]:
    """A Prometheus that scrapes `collector`; tell tests apart by their `service.name`, which is the label `job`."""
    if given(COLLECTOR) is not None and given(PROMETHEUS) is None:
        raise StackError(f"{COLLECTOR} needs {PROMETHEUS} too: who scrapes it is not known here")
    with Prometheus.launch(collector) as running:
        yield running


@pytest.fixture(scope="session")
def promtool() -> Path:
    """What checks Prometheus' configuration and rules."""
    return builds.promtool_binary()


@pytest.fixture(scope="session")
def amtool() -> Path:
    """What checks Alertmanager's configuration."""
    return builds.amtool_binary()


@pytest.fixture(scope="session")
def flink() -> Flink:
    """A Flink that is installed; `FlinkCluster` starts one of it, `otel-feedback stream run` a process."""
    return Flink.get()


@pytest.fixture(scope="session")
def trace_sink() -> Iterator[TraceSink]:
    """The sink behind `collector_of_spans`; start a test with `trace_sink.reset()`."""
    with TraceSink() as sink:
        yield sink


@pytest.fixture(scope="session")
def collector_of_spans(trace_sink: TraceSink) -> Iterator[Collector]:
    """A collector whose spans go to `trace_sink`, where every field of them can be looked at."""
    with Collector.launch_own(
        jaeger_otlp_endpoint=trace_sink.grpc_endpoint, logs_endpoint="", config_files=[BASE]
    ) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real Chromium; of each module one, because a test that runs a loop of its own cannot run beside it."""
    with browsers.launched() as running:
        yield running


@pytest.hookimpl(trylast=True)  # after the lines that say so
def pytest_collection_finish(session: pytest.Session) -> None:
    """Fetch or build what the collected tests will start.

    Here and not in the fixtures: a build takes minutes, and a test that waits for it would be over its limit.
    """
    if session.config.getoption("collectonly"):
        return
    wanted = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    for fixture, (variable, image, build) in _PREPARATIONS.items():
        if fixture not in wanted or given(variable) is not None:
            continue
        # Whatever is not to be had is told by the fixture that needs it.
        with contextlib.suppress(ServiceUnavailable):
            first_possible(fixture, [("Docker", partial(_pull, image)), ("build", build)])
    for fixture, build in _TOOLS.items():
        if fixture in wanted:
            with contextlib.suppress(ServiceUnavailable):
                build()


def _pull(image: str) -> None:
    docker.require_engine()
    docker.pull(image)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    return (yield from _skip_or_fail())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    return (yield from _skip_or_fail())


def _skip_or_fail() -> Generator[None, object, object]:
    try:
        return (yield)
    except ServiceUnavailable as error:
        if is_ci():
            raise
        reason = str(error)
    _missing[reason] = _missing.get(reason, 0) + 1
    pytest.skip(reason)


def pytest_configure(config: pytest.Config) -> None:
    """Lead progress lines past pytest's capture: a build of minutes must not look like a hang."""
    capture: Any = config.pluginmanager.getplugin("capturemanager")
    if capture is None:
        return
    with capture.global_and_fixture_disabled():
        stream = os.fdopen(os.dup(2), "w", buffering=1)
    progress.write_to(stream)

    def close() -> None:
        progress.write_to(None)
        stream.close()

    config.add_cleanup(close)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say again, and not only with -rs, which tests did not run for want of a service."""
    if not _missing:
        return
    terminalreporter.section("SERVICES NOT AVAILABLE", red=True, bold=True)
    for reason, count in _missing.items():
        terminalreporter.line(f"{count} test(s) skipped: {reason}", red=True)
