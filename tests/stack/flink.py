"""Flink for tests: what is installed, and a cluster of a JobManager and TaskManagers that can be killed.

The programs are those that Flink's scripts start, whose folder is not in the package of the jars.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import requests

from otel_feedback.downstream.streaming import local
from tests.pace import slowness
from tests.stack import builds
from tests.stack.errors import StackError
from tests.stack.processes import LOOPBACK, ChildProcess, free_port, temporary_directory, wait_ready
from tests.stack.service import Service
from tests.stack.waiting import wait_until

_CLUSTER = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
_WORKER = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
_SUBMIT_S = 120.0
QUICK = {"JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1"}
"""Most of what a short job takes is Java's compiler."""
_LOGGING = """\
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = console
appender.console.name = console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss,SSS} %-5p %c{1} %m%n
"""


class Flink(NamedTuple):
    """A Flink that is installed: its home, and the folder of further jars."""

    home: Path
    jars: Path

    @classmethod
    def get(cls) -> Flink:
        """Return it, fetched first where it is not there.

        Raises:
            ServiceUnavailable: It is not to be had.
        """
        return cls(*builds.flink())

    @property
    def variables(self) -> dict[str, str]:
        """What a program's environment has to have to find it."""
        return {"FLINK_HOME": str(self.home), **QUICK}


class FlinkCluster(Service):
    """A cluster with a TaskManager, which goes on after a kill of it when another is started."""

    kind = "Flink cluster"

    def __init__(self, flink: Flink, slots: int = 4) -> None:
        self._folder = temporary_directory("flink")
        self._flink = local.find_flink(flink.jars, {**os.environ, **flink.variables})
        self._rest = free_port()
        self._conf = self._folder / "conf"
        super().__init__(self._process("jobmanager", _CLUSTER, 600))
        self.worker = self._process("taskmanager", _WORKER, 900)
        (self._conf / "log4j.properties").write_text(_LOGGING)
        (self._conf / "config.yaml").write_text(_config({
            "jobmanager.rpc.address": LOOPBACK, "jobmanager.rpc.port": free_port(), "jobmanager.bind-host": LOOPBACK,
            "rest.address": LOOPBACK, "rest.port": self._rest, "rest.bind-address": LOOPBACK,
            "taskmanager.host": LOOPBACK, "taskmanager.bind-host": LOOPBACK, "taskmanager.numberOfTaskSlots": slots,
            "taskmanager.cpu.cores": 2.0, "taskmanager.memory.task.heap.size": "700m",
            "taskmanager.memory.task.off-heap.size": "0", "taskmanager.memory.network.min": "128m",
            "taskmanager.memory.network.max": "128m", "taskmanager.memory.managed.size": "256m",
            "taskmanager.memory.framework.heap.size": "128m", "taskmanager.memory.framework.off-heap.size": "128m",
            "taskmanager.memory.jvm-metaspace.size": "256m", "taskmanager.memory.jvm-overhead.min": "192m",
            "taskmanager.memory.jvm-overhead.max": "192m",
            "heartbeat.interval": 1_000, "heartbeat.timeout": 20_000,
            "restart-strategy.type": "fixed-delay", "restart-strategy.fixed-delay.delay": "1 s",
            "restart-strategy.fixed-delay.attempts": 1_000,
            "execution.checkpointing.dir": (self._folder / "checkpoints").as_uri(),
            "io.tmp.dirs": str(self._folder),
        }))  # fmt: skip

    def _process(self, name: str, program: str, memory_mb: int) -> ChildProcess:
        command, environment = self._flink.client(Path(), self._folder, memory_mb)  # also makes conf/
        start = command[: command.index("org.apache.flink.table.client.SqlClient")]
        arguments = [*start, program, "--configDir", str(self._conf)]
        return ChildProcess(name, arguments, directory=self._folder, environment={**environment, **QUICK})

    def is_ready(self) -> bool:
        try:
            return bool(self._get("overview")["taskmanagers"])
        except requests.RequestException:
            return False

    def start(self) -> None:
        """Start both, and wait until they know each other."""
        self._own().start()
        self.worker.start()
        wait_ready(self.worker, self.is_ready, timeout_s=_SUBMIT_S)

    def stop(self) -> None:
        self.worker.stop()
        super().stop()

    def kill_worker(self) -> None:
        """Kill the TaskManager as a crash does, and start another."""
        self.worker.kill()
        self.worker.start()

    def submit(self, text: str) -> str:
        """Submit a script, as somebody does with sql-client.sh, and return the job's id."""
        before = set(self.jobs())
        script = self._folder / "submitted.sql"
        script.write_text(
            f"SET 'execution.target' = 'remote';\nSET 'rest.address' = '{LOOPBACK}';\nSET 'rest.port' = '{self._rest}';\n{text}"
        )
        command, environment = self._flink.client(script, self._folder / "client")
        done = subprocess.run(
            command, env={**os.environ, **QUICK, **environment}, capture_output=True, text=True, check=False,
            timeout=_SUBMIT_S * slowness(),
        )  # fmt: skip
        made = set(self.jobs()) - before
        if done.returncode or "[ERROR]" in done.stdout or len(made) != 1:
            raise StackError(f"the SQL client did not submit one job: {done.stdout[-3_000:]}{done.stderr[-1_000:]}")
        return made.pop()

    def jobs(self) -> dict[str, str]:
        """Return the state of each job, by id."""
        return {each["id"]: each["status"] for each in self._get("jobs")["jobs"]}

    def took_s(self, job: str) -> float:
        """Return how many seconds a job took, once it is finished."""
        wait_until(lambda: self.jobs()[job] == "FINISHED", timeout_s=300, what=f"the end of job {job}")
        return float(self._get(f"jobs/{job}")["duration"]) / 1e3

    def checkpoints(self, job: str) -> int:
        """Return how many checkpoints of a job are complete."""
        return int(self._get(f"jobs/{job}/checkpoints")["counts"]["completed"])

    def stop_with_savepoint(self, job: str) -> str:
        """Stop a job, and return where its savepoint is."""
        folder = (self._folder / "savepoints").as_uri()
        asked = requests.post(
            f"{self._url}/jobs/{job}/stop", json={"targetDirectory": folder, "drain": False}, timeout=30
        ).json()["request-id"]
        found: list[str] = []

        def is_there() -> bool:
            answer = self._get(f"jobs/{job}/savepoints/{asked}")
            if "failure-cause" in (answer.get("operation") or {}):
                raise StackError(str(answer)[:2_000])
            found[:] = [answer["operation"]["location"]] if answer["status"]["id"] == "COMPLETED" else []
            return bool(found)

        wait_until(is_there, timeout_s=60, what="the savepoint")
        return found[0]

    @property
    def _url(self) -> str:
        return f"http://{LOOPBACK}:{self._rest}"

    def _get(self, path: str) -> dict[str, Any]:
        answer = requests.get(f"{self._url}/{path}", timeout=30)
        answer.raise_for_status()
        return answer.json()


def _config(values: Mapping[str, object]) -> str:
    return "".join(f"{name}: {value}\n" for name, value in values.items())
