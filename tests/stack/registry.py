"""A schema registry for tests: Apicurio, which keeps schemas in memory, asked by its Confluent-compatible API."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from tests.stack import builds, docker, versions
from tests.stack.docker import Container
from tests.stack.environment import REGISTRY, given
from tests.stack.errors import first_possible
from tests.stack.processes import LOOPBACK, ChildProcess, Runnable, free_port, temporary_directory
from tests.stack.service import Service
from tests.stack.waiting import wait_until
from tests.stack.web import get_json, is_answering

API = "/apis/ccompat/v7"
# it is asked little: what compiles less is ready sooner
_JAVA = ("java", "-Xmx384m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")


class Registry(Service):
    """A registry that has started and answers; a context manager that stops it at the end."""

    kind = "schema registry"

    def __init__(self, runnable: Runnable | None, url: str) -> None:
        """Wrap a registry; use `launch` or `launch_own`. `url` is what clients are given."""
        super().__init__(runnable)
        self.url = url.rstrip("/")

    def __repr__(self) -> str:
        return f"<Registry {self.url} own={self.is_own}>"

    @classmethod
    def launch(cls) -> Registry:
        """Return the registry that OTEL_FEEDBACK_TEST_REGISTRY_URL names, else our own.

        Raises:
            NotReadyError: when it does not answer.
            ServiceUnavailable: when none can be had on this machine.
        """
        url = given(REGISTRY)
        if url is None:
            return cls.launch_own()
        registry = cls(None, url)
        wait_until(registry.is_ready, timeout_s=30, what=f"{REGISTRY}={url} to answer")
        return registry

    @classmethod
    def launch_own(cls, port: int | None = None) -> Registry:
        """Return a new, empty registry that nobody else uses; see `launch`."""
        registry = cls.described(port)
        registry.start_process()
        return registry

    @classmethod
    def described(cls, port: int | None = None) -> Registry:
        """Return one of our own that does not run yet: `start` it."""
        place = port or free_port()
        return first_possible(
            "schema registry", [("Docker", lambda: cls._container(place)), ("Maven", lambda: cls._process(place))]
        )

    def is_ready(self) -> bool:
        return is_answering(f"{self.url}/subjects")

    def subjects(self) -> list[str]:
        """Return the names of all subjects."""
        return get_json(f"{self.url}/subjects")

    def versions(self, subject: str) -> list[int]:
        """Return the versions of a subject."""
        return get_json(f"{self.url}/subjects/{subject}/versions")

    def put(self, subject: str, schema: object, compatibility: str | None = None) -> int:
        """Register a schema as somebody else would; return its id.

        Args:
            subject: Whose.
            schema: In Avro.
            compatibility: What the subject asks of later ones, such as BACKWARD.
        """
        told = self._send("POST", f"subjects/{subject}/versions", {"schema": json.dumps(schema)})
        if compatibility is not None:
            self.allow(subject, compatibility)
        return int(told["id"])

    def allow(self, subject: str, compatibility: str) -> None:
        """Say what a subject asks of later schemas: NONE, BACKWARD …"""
        self._send("PUT", f"config/{subject}", {"compatibility": compatibility})

    def schema(self, schema_id: int) -> str:
        """Return the text of a schema."""
        return get_json(f"{self.url}/schemas/ids/{schema_id}")["schema"]

    def kill(self) -> None:
        """End it as a crash does; `start` brings back an empty one."""
        self._own().kill()

    def _send(self, method: str, path: str, body: object) -> Any:
        data, headers = json.dumps(body).encode(), {"Content-Type": "application/vnd.schemaregistry.v1+json"}
        request = urllib.request.Request(f"{self.url}/{path}", data, headers, method=method)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as response:
            return json.loads(response.read())

    @classmethod
    def _container(cls, port: int) -> Registry:
        docker.require_engine()
        container = Container("registry", versions.APICURIO_IMAGE, environment={"QUARKUS_HTTP_PORT": str(port)})
        return cls(container, f"http://{LOOPBACK}:{port}{API}")

    @classmethod
    def _process(cls, port: int) -> Registry:
        home = builds.apicurio_home()
        command = [
            *_JAVA, f"-Dquarkus.http.port={port}", f"-Dquarkus.http.host={LOOPBACK}",
            "-jar", str(home / f"apicurio-registry-app-{versions.APICURIO}-runner.jar"),
        ]  # fmt: skip
        process = ChildProcess("registry", command, directory=temporary_directory("registry"))
        return cls(process, f"http://{LOOPBACK}:{port}{API}")
