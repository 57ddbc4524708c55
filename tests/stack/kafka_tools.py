"""Kafka's own command-line tools, run as their scripts run them."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from tests.stack import builds

_CLASSES = {"kafka-acls.sh": "org.apache.kafka.tools.AclCommand"}


def run_tools(bootstrap_servers: str, commands: Sequence[Sequence[str]]) -> list[str]:
    """Run commands at the same time, each with the tool's name first, and return what they print.

    Raises:
        CalledProcessError: One has failed.
    """
    java = ["java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", f"{builds.kafka_tools()}/*"]
    running = [
        subprocess.Popen(
            [*java, _CLASSES[tool], "--bootstrap-server", bootstrap_servers, *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for tool, *arguments in commands
    ]  # fmt: skip
    said = [process.communicate()[0] for process in running]
    for process, text in zip(running, said, strict=True):
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, process.args, text)
    return said
