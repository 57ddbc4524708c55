"""A Kafka Connect worker for tests, with Kafka's own connectors: standalone, on a broker, asked by its REST API."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from tests.stack import builds
from tests.stack.kafka import KafkaBroker
from tests.stack.processes import LOOPBACK, ChildProcess, free_port, temporary_directory
from tests.stack.service import Service
from tests.stack.web import get_json, is_answering


class Connect(Service):
    """A worker that has started and answers; a context manager that stops it at the end."""

    kind = "Connect worker"

    def __init__(self, process: ChildProcess, url: str) -> None:
        """Wrap a worker; use `launch`."""
        super().__init__(process)
        self.url = url

    @classmethod
    def launch(cls, broker: KafkaBroker) -> Connect:
        """Return a new worker.

        Raises:
            NotReadyError: when it does not answer.
            ServiceUnavailable: when none can be had on this machine.
        """
        port, directory = free_port(), temporary_directory("connect")
        config = directory / "worker.properties"
        lines = {
            "bootstrap.servers": broker.bootstrap_servers,
            "listeners": f"http://{LOOPBACK}:{port}",
            "key.converter": "org.apache.kafka.connect.storage.StringConverter",
            "value.converter": "org.apache.kafka.connect.json.JsonConverter",
            "offset.storage.file.filename": str(directory / "offsets"),
            "offset.flush.interval.ms": "500",
            "plugin.discovery": "only_scan",
        }
        config.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
        log4j = builds.RECIPES / "kafka-log4j2.yaml"
        java = ["java", "-Xmx384m", "-XX:TieredStopAtLevel=1", f"-Dlog4j2.configurationFile={log4j}"]
        command = [
            *java, "-cp", f"{builds.connect_libraries()}/*", "org.apache.kafka.connect.cli.ConnectStandalone", str(config)
        ]  # fmt: skip
        worker = cls(ChildProcess("connect", command, directory=directory), f"http://{LOOPBACK}:{port}")
        worker.start_process()
        return worker

    def is_ready(self) -> bool:
        return is_answering(f"{self.url}/connector-plugins")

    def problems(self, config: dict[str, str]) -> dict[str, list[str]]:
        """Return what the worker says is wrong with a connector's configuration, by the name of the option."""
        kind = config["connector.class"].rpartition(".")[2]
        told = self._send("PUT", f"connector-plugins/{kind}/config/validate", config)
        values = [one["value"] for one in told["configs"]]
        return {value["name"]: value["errors"] for value in values if value["errors"]}

    def create(self, name: str, config: dict[str, str]) -> None:
        """Start a connector."""
        self._send("POST", "connectors", {"name": name, "config": config})

    def states(self, name: str) -> list[str]:
        """Return the states of a connector's tasks."""
        return [task["state"] for task in get_json(f"{self.url}/connectors/{name}/status")["tasks"]]

    def _send(self, method: str, path: str, body: object) -> Any:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/{path}", json.dumps(body).encode(), headers, method=method)
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as response:
                return json.loads(response.read())
        except urllib.error.HTTPError as exc:
            with exc:
                raise AssertionError(exc.read().decode()) from exc
