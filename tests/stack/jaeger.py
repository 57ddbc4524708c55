"""Jaeger for tests: takes spans by OTLP, keeps them in memory, answers queries."""

from __future__ import annotations

from pathlib import Path
from typing import cast
from urllib.parse import urlencode

from tests.stack import builds, docker, versions
from tests.stack.docker import Container
from tests.stack.environment import JAEGER, given, on_same_host
from tests.stack.errors import first_possible
from tests.stack.jaeger_traces import JaegerSpan, JaegerTrace
from tests.stack.processes import (
    LOOPBACK,
    ChildProcess,
    Runnable,
    free_port,
    temporary_directory,
)
from tests.stack.service import Service
from tests.stack.waiting import wait_for, wait_until
from tests.stack.web import get_json, is_answering

_CONFIG = builds.RECIPES / "jaeger.yaml"


class Jaeger(Service):
    """A Jaeger that has started and answers; a context manager that stops it at the end."""

    kind = "Jaeger"

    def __init__(
        self,
        runnable: Runnable | None,
        *,
        otlp_grpc_endpoint: str,
        otlp_http_endpoint: str,
        query_url: str,
        health_url: str | None,
    ) -> None:
        """Wrap a Jaeger; use `launch` or `launch_own`. All addresses are base URLs."""
        super().__init__(runnable)
        self.otlp_grpc_endpoint = otlp_grpc_endpoint
        self.otlp_http_endpoint = otlp_http_endpoint
        self.query_url = query_url
        self._health_url = health_url

    def __repr__(self) -> str:
        return f"<Jaeger {self.query_url} own={self.is_own}>"

    @classmethod
    def launch(cls) -> Jaeger:
        """Return the Jaeger whose query API OTEL_FEEDBACK_TEST_JAEGER_URL names, else our own.

        For one from the environment the OTLP endpoints are the standard ports of the same host.
        With docker-compose.yml the collector is there, which passes spans on to Jaeger.

        Raises:
            NotReadyError: when it does not answer.
            ServiceUnavailable: when none can be had on this machine.
        """
        query_url = given(JAEGER)
        if query_url is None:
            return cls.launch_own()
        jaeger = cls(
            None,
            otlp_grpc_endpoint=on_same_host(query_url, 4317),
            otlp_http_endpoint=on_same_host(query_url, 4318),
            query_url=query_url.rstrip("/"),
            health_url=None,
        )
        wait_until(jaeger.is_ready, timeout_s=30, what=f"{JAEGER}={query_url} to answer")
        return jaeger

    @classmethod
    def launch_own(cls) -> Jaeger:
        """Return a new, empty Jaeger that nobody else uses; see `launch`."""
        return first_possible("Jaeger", [("Docker", cls._launch_container), ("Go", cls._launch_process)])

    def is_ready(self) -> bool:
        health = self._health_url
        return is_answering(f"{self.query_url}/api/services") and (health is None or is_answering(health))

    def services(self) -> list[str]:
        """Return the names of all services that have sent a span."""
        answer = get_json(f"{self.query_url}/api/services")
        return cast("list[str] | None", answer["data"]) or []

    def traces(
        self,
        service: str,
        *,
        operation: str | None = None,
        limit: int = 1_000,
    ) -> list[JaegerTrace]:
        """Return the traces that have a span of `service`, latest first, as they are now.

        Args:
            service: the `service.name` of the resource.
            operation: only traces with a span of this name.
            limit: at most so many traces.
        """
        query = {"service": service, "limit": str(limit)}
        if operation is not None:
            query["operation"] = operation
        answer = get_json(f"{self.query_url}/api/traces?{urlencode(query)}")
        return cast("list[JaegerTrace] | None", answer["data"]) or []

    def wait_for_spans(self, service: str, count: int = 1, *, timeout_s: float = 15.0) -> list[JaegerSpan]:
        """Return all spans of `service`, once there are at least `count` of them.

        Raises:
            NotReadyError: when the deadline has passed.
        """

        def enough() -> list[JaegerSpan] | None:
            spans = [
                span
                for trace in self.traces(service)
                for span in trace["spans"]
                if trace["processes"][span["processID"]]["serviceName"] == service
            ]
            return spans if len(spans) >= count else None

        return wait_for(enough, timeout_s=timeout_s, what=f"{count} span(s) of {service} in Jaeger")

    @classmethod
    def _launch_container(cls) -> Jaeger:
        docker.require_engine()
        inside = "/etc/jaeger/test.yaml"
        ports = _Ports()
        container = Container(
            "jaeger",
            versions.JAEGER_IMAGE,
            arguments=[f"--config={inside}"],
            environment=ports.environment(),
            mounts={_CONFIG: inside},
        )
        jaeger = ports.jaeger(container)
        jaeger.start_container()
        return jaeger

    @classmethod
    def _launch_process(cls) -> Jaeger:
        binary: Path = builds.jaeger_binary()
        ports = _Ports()
        process = ChildProcess(
            "jaeger",
            [str(binary), f"--config={_CONFIG}"],
            directory=temporary_directory("jaeger"),
            environment=ports.environment(),
        )
        jaeger = ports.jaeger(process)
        jaeger.start_process()
        return jaeger


class _Ports:
    """The addresses of one Jaeger, as its configuration and as its clients name them."""

    def __init__(self) -> None:
        self._listen = {
            name: f"{LOOPBACK}:{free_port()}"
            for name in ("OTLP_GRPC", "OTLP_HTTP", "QUERY_HTTP", "QUERY_GRPC", "HEALTH")
        }

    def environment(self) -> dict[str, str]:
        return {f"JAEGER_{name}_LISTEN": address for name, address in self._listen.items()}

    def jaeger(self, runnable: Runnable) -> Jaeger:
        return Jaeger(
            runnable,
            otlp_grpc_endpoint=f"http://{self._listen['OTLP_GRPC']}",
            otlp_http_endpoint=f"http://{self._listen['OTLP_HTTP']}",
            query_url=f"http://{self._listen['QUERY_HTTP']}",
            health_url=f"http://{self._listen['HEALTH']}/status",
        )
