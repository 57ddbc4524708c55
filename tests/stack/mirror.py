"""MirrorMaker 2 between two brokers of tests, on the project's own file in `collector-config/`."""

from __future__ import annotations

from collections.abc import Mapping

from tests.stack import builds
from tests.stack.kafka import KafkaBroker
from tests.stack.processes import ChildProcess, temporary_directory
from tests.support import ROOT

CONFIG = "mirrormaker.properties"


class Mirror:
    """A MirrorMaker from a primary to a standby; it says nothing of when it is ready: records arrive.

    Args:
        primary: Where from.
        standby: Where to.
        properties: Over those of the file.
    """

    def __init__(self, primary: KafkaBroker, standby: KafkaBroker, properties: Mapping[str, str]) -> None:
        lines = (ROOT / "collector-config" / CONFIG).read_text(encoding="utf-8").splitlines()
        said = dict(line.split(" = ", 1) for line in lines if " = " in line and not line.startswith("#"))
        said |= {
            "primary.bootstrap.servers": primary.bootstrap_servers,
            "standby.bootstrap.servers": standby.bootstrap_servers,
            **{name: "1" for name in said if name.endswith("replication.factor")},
            **{name: "1" for name in said if name.endswith("interval.seconds")},
            **properties,
        }
        directory = temporary_directory("mirror")
        file = directory / CONFIG
        file.write_text("".join(f"{name} = {value}\n" for name, value in said.items()))
        java = ["java", "-Xmx256m", "-Dlog4j2.level=WARN", "-cp", f"{builds.kafka_tools()}/*"]
        self._process = ChildProcess(
            "mirror", [*java, "org.apache.kafka.connect.mirror.MirrorMaker", str(file)], directory=directory
        )

    def start(self) -> None:
        """Start it, or start it again."""
        self._process.start()

    def stop(self) -> None:
        """End it in good order: it writes down how far it is."""
        self._process.stop()

    def pause(self) -> None:
        """Make it hang, as where the other region cannot be reached."""
        self._process.pause()

    def resume(self) -> None:
        """Let it go on."""
        self._process.resume()

    def kill(self) -> None:
        """End it as a crash does."""
        self._process.kill()

    def output(self) -> str:
        """Return what it has said."""
        return self._process.output()
