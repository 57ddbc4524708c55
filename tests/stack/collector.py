"""The OpenTelemetry Collector for tests, on the project's own files in `collector-config/`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.stack import builds, docker, versions
from tests.stack.docker import Container
from tests.stack.environment import COLLECTOR, given, on_same_host
from tests.stack.errors import first_possible
from tests.stack.processes import (
    LOOPBACK,
    ChildProcess,
    Runnable,
    free_port,
    temporary_directory,
)
from tests.stack.service import Service
from tests.stack.waiting import wait_until
from tests.stack.web import is_answering

CONFIG_DIRECTORY = Path(__file__).parents[2] / "collector-config"
BASE = "collector.yaml"
FORWARD_LOGS = "forward-logs.yaml"
_PORTS = ("grpc", "http", "prometheus", "health", "telemetry")


class Collector(Service):
    """A collector that has started and answers; a context manager that stops it at the end."""

    kind = "collector"

    def __init__(
        self,
        runnable: Runnable | None,
        *,
        grpc_endpoint: str,
        http_endpoint: str,
        prometheus_url: str,
        health_url: str,
        telemetry_url: str,
    ) -> None:
        """Wrap a collector; use `launch` or `launch_own`.

        Args:
            runnable: None where it came from the environment.
            grpc_endpoint: base URL for OTLP by gRPC.
            http_endpoint: base URL for OTLP by HTTP.
            prometheus_url: the metrics that were sent to it, to be scraped.
            health_url: answers 200 when the pipelines run.
            telemetry_url: the collector's metrics of itself, to be scraped.
        """
        super().__init__(runnable)
        self.grpc_endpoint = grpc_endpoint
        self.http_endpoint = http_endpoint
        self.prometheus_url = prometheus_url
        self.health_url = health_url
        self.telemetry_url = telemetry_url

    def __repr__(self) -> str:
        return f"<Collector {self.grpc_endpoint} own={self.is_own}>"

    @classmethod
    def launch(cls, *, jaeger_otlp_endpoint: str, logs_endpoint: str) -> Collector:
        """Return the collector that the environment names, else one of our own.

        OTEL_FEEDBACK_TEST_COLLECTOR_ENDPOINT is the base URL for OTLP by gRPC; the other ports are
        those of docker-compose.yml on the same host. Where that collector sends things is its own
        matter: a test that looks at an OTLP sink needs `launch_own`.

        Args:
            jaeger_otlp_endpoint: base URL that takes spans by OTLP over gRPC.
            logs_endpoint: base URL that takes log records by OTLP over HTTP.

        Raises:
            NotReadyError: when it does not answer.
            ServiceUnavailable: when none can be had on this machine.
        """
        endpoint = given(COLLECTOR)
        if endpoint is None:
            return cls.launch_own(jaeger_otlp_endpoint=jaeger_otlp_endpoint, logs_endpoint=logs_endpoint)
        collector = cls(
            None,
            grpc_endpoint=endpoint.rstrip("/"),
            http_endpoint=on_same_host(endpoint, 4318),
            prometheus_url=f"{on_same_host(endpoint, 8889)}/metrics",
            health_url=on_same_host(endpoint, 13133),
            telemetry_url=f"{on_same_host(endpoint, 8888)}/metrics",
        )
        wait_until(collector.is_ready, timeout_s=30, what=f"{COLLECTOR}={endpoint} to answer")
        return collector

    @classmethod
    def launch_own(
        cls,
        *,
        jaeger_otlp_endpoint: str,
        logs_endpoint: str,
        config_files: Sequence[str] = (BASE, FORWARD_LOGS),
    ) -> Collector:
        """Return a new collector that nobody else uses; see `launch`.

        Args:
            jaeger_otlp_endpoint: see `launch`.
            logs_endpoint: see `launch`.
            config_files: names within `collector-config/`; later ones win.
        """
        outputs = {
            "JAEGER_OTLP_ENDPOINT": jaeger_otlp_endpoint,
            "OUTCOME_LOGS_ENDPOINT": logs_endpoint,
        }
        return first_possible(
            "OpenTelemetry Collector",
            [
                ("Docker", lambda: cls._launch_container(outputs, config_files)),
                ("Go", lambda: cls._launch_process(outputs, config_files)),
            ],
        )

    def is_ready(self) -> bool:
        return is_answering(self.health_url)

    @classmethod
    def _launch_container(cls, outputs: dict[str, str], config_files: Sequence[str]) -> Collector:
        docker.require_engine()
        inside = "/etc/otelcol-feedback"
        ports = {name: free_port() for name in _PORTS}
        container = Container(
            "collector",
            versions.COLLECTOR_IMAGE,
            arguments=[f"--config={inside}/{name}" for name in config_files],
            environment={**_listen(ports), **outputs},
            mounts={CONFIG_DIRECTORY: inside},
        )
        collector = cls._on(container, ports)
        collector.start_container()
        return collector

    @classmethod
    def _launch_process(cls, outputs: dict[str, str], config_files: Sequence[str]) -> Collector:
        binary = builds.collector_binary()
        ports = {name: free_port() for name in _PORTS}
        process = ChildProcess(
            "collector",
            [str(binary), *(f"--config={CONFIG_DIRECTORY / name}" for name in config_files)],
            directory=temporary_directory("collector"),
            environment={**_listen(ports), **outputs},
        )
        collector = cls._on(process, ports)
        collector.start_process()
        return collector

    @classmethod
    def _on(cls, runnable: Runnable, ports: dict[str, int]) -> Collector:
        url = {name: f"http://{LOOPBACK}:{port}" for name, port in ports.items()}
        return cls(
            runnable,
            grpc_endpoint=url["grpc"],
            http_endpoint=url["http"],
            prometheus_url=f"{url['prometheus']}/metrics",
            health_url=url["health"],
            telemetry_url=f"{url['telemetry']}/metrics",
        )


def _listen(ports: dict[str, int]) -> dict[str, str]:
    """Return the variables of `collector.yaml` that put every port on loopback."""
    return {
        "COLLECTOR_OTLP_GRPC_LISTEN": f"{LOOPBACK}:{ports['grpc']}",
        "COLLECTOR_OTLP_HTTP_LISTEN": f"{LOOPBACK}:{ports['http']}",
        "COLLECTOR_PROMETHEUS_LISTEN": f"{LOOPBACK}:{ports['prometheus']}",
        "COLLECTOR_HEALTH_LISTEN": f"{LOOPBACK}:{ports['health']}",
        "COLLECTOR_TELEMETRY_HOST": LOOPBACK,
        "COLLECTOR_TELEMETRY_PORT": str(ports["telemetry"]),
    }
