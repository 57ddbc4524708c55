"""A job on this machine: one process of Java, with a cluster in it, which goes on where the last one stopped.

    <state>/JOB/         JOB-once for a pass, which leaves the state of the other alone
      lock               flock of the one that runs
      job.sql            what the state belongs to: the same text goes on, another one does not
      checkpoints/…      of Flink; the newest that is complete is where the next process begins
      conf/, flink.log   of the process; client.log has what its SQL client said

Flink's SQL client runs the text, in a Java that ends with us (`launching`). Flink itself is that of FLINK_HOME, or of the extra
`flink`; nothing is downloaded.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from otel_feedback.downstream.streaming.jars import FLINK, GATEWAY, JARS
from otel_feedback.downstream.streaming.launching import launched
from otel_feedback.errors import FeedbackError

__all__ = ["Flink", "FlinkError", "LocalJob", "find_flink", "newest_checkpoint", "settings_of"]

_OPTIONAL = ("flink-sql-client", "flink-sql-gateway", "flink-python")
_OPENED = (
    "java.base/java.lang",
    "java.base/java.util",
    "java.base/java.net",
    "java.base/java.nio",
    "java.base/java.time",
)
_ERROR = re.compile(r"\[ERROR\][^\n]*\n(.+?)(?:\x1b|\n\n|$)", re.DOTALL)
_LOGGING = """\
rootLogger.level = INFO
rootLogger.appenderRef.file.ref = file
appender.file.name = file
appender.file.type = RollingFile
appender.file.fileName = ${sys:log.file}
appender.file.filePattern = ${sys:log.file}.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{yyyy-MM-dd HH:mm:ss,SSS} %-5p %c{1} %m%n
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 20MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 2
"""


class FlinkError(FeedbackError):
    """A job cannot be run here; `todo` says what would help."""

    def __init__(self, found: str, todo: str) -> None:
        self.todo = todo
        super().__init__(found)


class Flink(NamedTuple):
    """A Flink that is installed: its Java, and what is on its class path."""

    java: str
    class_path: tuple[str, ...]

    def client(self, script: Path, folder: Path, memory_mb: int = 1_536) -> tuple[list[str], dict[str, str]]:
        """Return the command of an SQL client that runs a script, and what its environment is to have.

        Args:
            script: What is run.
            folder: Where `conf/` and the log are made.
            memory_mb: The heap of its Java, at most.
        """
        conf = folder / "conf"
        conf.mkdir(parents=True, exist_ok=True)
        (conf / "config.yaml").write_text("{}\n")
        (conf / "log4j.properties").write_text(_LOGGING)
        opened = [f"--add-opens={each}=ALL-UNNAMED" for each in _OPENED]
        command = [
            self.java, f"-Xmx{memory_mb}m", *opened, f"-Dlog.file={folder / 'flink.log'}",
            f"-Dlog4j.configurationFile={conf / 'log4j.properties'}", "-cp", os.pathsep.join(self.class_path),
            "org.apache.flink.table.client.SqlClient", "embedded", "-f", str(script),
        ]  # fmt: skip
        return command, {"FLINK_CONF_DIR": str(conf)}


def find_flink(jars: Path, environ: Mapping[str, str] = os.environ) -> Flink:
    """Return the Flink of this machine.

    Args:
        jars: Where the jars are that are not Flink's own.
        environ: Has FLINK_HOME and JAVA_HOME, if they are set.

    Raises:
        FlinkError: It is not here, or something that it needs.
    """
    java_home = environ.get("JAVA_HOME", "").strip()
    java = shutil.which(str(Path(java_home) / "bin" / "java") if java_home else "java")
    if java is None:
        where = f"JAVA_HOME={java_home} has no bin/java" if java_home else "there is no java on PATH"
        raise FlinkError(where, "install Java 17, or set JAVA_HOME")
    home = _home(environ)
    own = [each for name in _OPTIONAL for each in sorted((home / "opt").glob(f"{name}-*.jar"))]
    there = [*(home / "lib").rglob("*.jar"), *own, *jars.glob("*.jar")]
    missing = [each for each in (*JARS, GATEWAY) if not any(_is(each, path) for path in there)]
    if missing:
        fetched = "; ".join(
            f"mvn dependency:copy -Dartifact={each} -DoutputDirectory={jars}" for each in missing
        )  # fmt: skip
        names = ", ".join(each.split(":")[1] for each in missing)
        raise FlinkError(f"neither {home} nor {jars} has {names}", fetched)
    return Flink(java, (str(home / "lib" / "*"), *map(str, own), str(jars / "*")))


def _home(environ: Mapping[str, str]) -> Path:
    given = environ.get("FLINK_HOME", "").strip()
    spec = None if given else find_spec("pyflink")
    home = (
        Path(given)
        if given
        else Path(next(iter(spec.submodule_search_locations)))
        if spec and spec.submodule_search_locations
        else None
    )
    if home is None:
        raise FlinkError("Flink is not installed", "pip install 'otel-feedback[flink]', or set FLINK_HOME")
    if not any((home / "lib").glob("flink-dist-*.jar")):
        raise FlinkError(f"{home} has no lib/flink-dist-{FLINK}.jar", "set FLINK_HOME to where Flink was unpacked")
    return home


def _is(artifact: str, path: Path) -> bool:
    # of any version: another Flink has another connector
    return path.name.startswith(artifact.split(":")[1] + "-")


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint, or savepoint, that was completed last below a folder."""
    complete = list(folder.glob("*/chk-*/_metadata"))
    return max(complete, key=lambda path: path.stat().st_mtime_ns).parent if complete else None


class LocalJob:
    """A job's process, and its folder. For one thread, but for `stop()`."""

    def __init__(self, flink: Flink, folder: Path) -> None:
        self._flink = flink
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._is_stopped = False
        self._lock = -1

    @contextmanager
    def owned(self) -> Generator[None, None, None]:
        """Hold the folder, as the one that runs; Java holds it, too, until it is really gone.

        Raises:
            FlinkError: Somebody else does.
        """
        import fcntl  # not on Windows

        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FlinkError(
                    f"{self.folder} is in use: this job runs already",
                    "end that one, or use another --state",
                ) from None
            self._lock = file.fileno()
            yield

    def begin_at(self, text: str, savepoint: str | None, *, anew: bool) -> str | None:
        """Return where a job of this text begins: a checkpoint or savepoint; None: at the beginning of the topic.

        Raises:
            FlinkError: What is kept is that of another text.
        """
        kept = self.folder / "job.sql"
        if anew:
            shutil.rmtree(self.checkpoints, ignore_errors=True)
        found = None if anew else newest_checkpoint(self.checkpoints)
        if found is not None and savepoint is None and kept.exists() and kept.read_text("utf-8") != text:
            raise FlinkError(
                f"{self.folder} has the state of another text of this job",
                "run it with the options that it had, or begin anew: --anew",
            )
        kept.write_text(text, "utf-8")
        return savepoint or (None if found is None else str(found))

    @property
    def checkpoints(self) -> Path:
        """Where Flink keeps its checkpoints."""
        return self.folder / "checkpoints"

    def run(self, text: str) -> None:
        """Run a text until it ends, or `stop()` is called; within `owned()`.

        Raises:
            FlinkError: It failed.
        """
        script, said = self.folder / "run.sql", self.folder / "client.log"
        for path in (script, said):  # the password of Kafka may be in both
            path.unlink(missing_ok=True)
            path.touch(0o600)
        for path in self.folder.glob("*_LOG*"):  # RocksDB's, of earlier processes
            path.unlink(missing_ok=True)
        script.write_text(text, "utf-8")
        command, environment = self._flink.client(script, self.folder)
        with said.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - Java, with arguments of ours
                launched(command, script), env={**os.environ, **environment}, stdin=subprocess.PIPE, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True, pass_fds=(self._lock,),
            )  # fmt: skip
        with self._process:
            try:
                if self._is_stopped:
                    self.stop()
                code = self._process.wait()
            finally:
                with suppress(ProcessLookupError):  # where it was the one between that died
                    os.killpg(self._process.pid, signal.SIGKILL)
                script.unlink(missing_ok=True)
        if self._is_stopped:
            return
        why = _why(said.read_text("utf-8", "replace"))
        if code or why:
            raise FlinkError(why or f"Flink ended with {code}", f"look at {said} and {self.folder / 'flink.log'}")

    def stop(self) -> None:
        """Have the process end; the next one goes on from its last checkpoint."""
        self._is_stopped = True
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)


def _why(said: str) -> str | None:
    found = _ERROR.search(said)
    return None if found is None else " ".join(found[1].split())[:300]


def settings_of(checkpoints: Path, begin: str | None, parallelism: int) -> dict[str, str]:
    """Return the settings of Flink for a job in a process of its own."""
    return {
        "execution.target": "local", "table.dml-sync": "true", "parallelism.default": str(parallelism),
        "execution.checkpointing.dir": checkpoints.absolute().as_uri(),
        **({} if begin is None else {"execution.state-recovery.path": begin}),
    }  # fmt: skip
