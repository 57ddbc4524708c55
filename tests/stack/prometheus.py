"""Prometheus for tests, on the project's own file in `collector-config/`: scrapes a collector, answers queries."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode, urlsplit

from tests.stack import builds, docker, versions
from tests.stack.collector import CONFIG_DIRECTORY, Collector
from tests.stack.docker import Container
from tests.stack.environment import PROMETHEUS, given
from tests.stack.errors import first_possible
from tests.stack.processes import LOOPBACK, ChildProcess, Runnable, free_port, temporary_directory
from tests.stack.service import Service
from tests.stack.waiting import wait_for, wait_until
from tests.stack.web import get_json, is_answering

CONFIG = "prometheus.yaml"
RULES = "rules/test.yaml"
SCRAPE_INTERVAL = "1s"
FEATURES = "exemplar-storage,created-timestamp-zero-ingestion"


class Prometheus(Service):
    """A Prometheus that has started and answers; a context manager that stops it at the end."""

    kind = "Prometheus"

    def __init__(self, runnable: Runnable | None, url: str) -> None:
        """Wrap a Prometheus; use `launch`. `url` is its base URL."""
        super().__init__(runnable)
        self.url = url.rstrip("/")

    def __repr__(self) -> str:
        return f"<Prometheus {self.url} own={self.is_own}>"

    @classmethod
    def launch(cls, collector: Collector, rules: str = "") -> Prometheus:
        """Return a Prometheus: with rules of a test one of its own, else the one that OTEL_FEEDBACK_TEST_PROMETHEUS_URL names, else one of our own that scrapes this collector.

        Raises:
            NotReadyError: when it does not answer.
            ServiceUnavailable: when none can be had on this machine.
        """
        url = given(PROMETHEUS)
        if url is None or rules:
            return first_possible(
                "Prometheus",
                [
                    ("Docker", lambda: cls._launch_container(collector, rules)),
                    ("Go", lambda: cls._launch_process(collector, rules)),
                ],
            )
        prometheus = cls(None, url)
        wait_until(prometheus.is_ready, timeout_s=30, what=f"{PROMETHEUS}={url} to answer")
        return prometheus

    def is_ready(self) -> bool:
        return is_answering(f"{self.url}/-/ready")

    def query(self, expression: str) -> dict[frozenset[tuple[str, str]], float]:
        """Return what an instant query gives: a value by the labels that the expression keeps."""
        data = self._get("query", {"query": expression})
        return {frozenset(series["metric"].items()): float(series["value"][1]) for series in data["result"]}

    def rules(self) -> list[dict[str, Any]]:
        """Return the rules as they were evaluated last: `name`, `type`, `health`, `lastError`, `alerts`."""
        return [rule for group in self._get("rules", {})["groups"] for rule in group["rules"]]

    def query_range(
        self, expression: str, seconds: float, step_s: float
    ) -> dict[frozenset[tuple[str, str]], list[float]]:
        """Return what a range query gives of the last so many seconds: values by the labels that the expression keeps."""
        now = time.time()
        span = {"start": f"{now - seconds:.3f}", "end": f"{now:.3f}", "step": f"{step_s}"}
        data = self._get("query_range", {"query": expression, **span})
        return {
            frozenset(series["metric"].items()): [float(value) for _, value in series["values"]]
            for series in data["result"]
        }

    def label_values(self, label: str, match: str) -> set[str]:
        """Return the values that a label has in these series."""
        return set(self._get(f"label/{label}/values", {"match[]": match}))

    def wait_for_value(self, expression: str, value: float, *, timeout_s: float = 30.0) -> None:
        """Return once the query gives this one value.

        Raises:
            NotReadyError: when the deadline has passed.
        """
        wait_until(
            lambda: list(self.query(expression).values()) == [value],
            timeout_s=timeout_s,
            what=f"{expression} = {value}",
        )

    def exemplars(self, expression: str, *, timeout_s: float = 30.0) -> list[dict[str, str]]:
        """Return the labels of the exemplars of these series, once there is one; from 1970 to 2100."""

        def found() -> list[dict[str, str]] | None:
            data = self._get("query_exemplars", {"query": expression, "start": "0", "end": "4102444800"})
            return [one["labels"] for series in data for one in series["exemplars"]] or None

        return wait_for(found, timeout_s=timeout_s, what=f"exemplars of {expression}")

    def _get(self, what: str, arguments: Mapping[str, str]) -> Any:
        return cast("dict[str, Any]", get_json(f"{self.url}/api/v1/{what}?{urlencode(arguments)}"))["data"]

    @classmethod
    def _launch_container(cls, collector: Collector, rules: str) -> Prometheus:
        docker.require_engine()
        port = free_port()
        inside = "/etc/prometheus/test.yaml"
        configuration = _configuration(collector, port, rules)
        of_rules = {configuration.parent / RULES: f"/etc/prometheus/{RULES}"} if rules else {}
        container = Container(
            "prometheus",
            versions.PROMETHEUS_IMAGE,
            arguments=_arguments(inside, "/prometheus", port),
            mounts={configuration: inside, **of_rules},
        )
        prometheus = cls(container, f"http://{LOOPBACK}:{port}")
        prometheus.start_container()
        return prometheus

    @classmethod
    def _launch_process(cls, collector: Collector, rules: str) -> Prometheus:
        binary = builds.prometheus_binary()
        port = free_port()
        configuration = _configuration(collector, port, rules)
        process = ChildProcess(
            "prometheus",
            [str(binary), *_arguments(str(configuration), str(configuration.parent / "data"), port)],
            directory=configuration.parent,
            environment={},
        )
        prometheus = cls(process, f"http://{LOOPBACK}:{port}")
        prometheus.start_process()
        return prometheus


def _arguments(configuration: str, data: str, port: int) -> list[str]:
    return [
        f"--config.file={configuration}", f"--storage.tsdb.path={data}", f"--enable-feature={FEATURES}",
        f"--web.listen-address={LOOPBACK}:{port}",
    ]  # fmt: skip


def _configuration(collector: Collector, port: int, rules: str) -> Path:
    """Write the project's own file down with the addresses of this collector, and a test's patience; and rules beside it.

    Prometheus takes no variables where addresses stand.
    """
    text = (CONFIG_DIRECTORY / CONFIG).read_text("utf-8")
    for mine, theirs in {
        "otel-collector:8889": urlsplit(collector.prometheus_url).netloc,
        "otel-collector:8888": urlsplit(collector.telemetry_url).netloc,
        "localhost:9090": f"{LOOPBACK}:{port}",
        "scrape_interval: 10s": f"scrape_interval: {SCRAPE_INTERVAL}",
    }.items():
        assert text.count(mine) == 1, mine
        text = text.replace(mine, theirs)
    path = temporary_directory("prometheus") / CONFIG
    path.write_text(text, "utf-8")
    if rules:
        (path.parent / RULES).parent.mkdir()
        (path.parent / RULES).write_text(rules, "utf-8")
    return path
