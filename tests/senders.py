"""The processes that send, `KAFKA_SENDER=process`, as the system lists them."""

from __future__ import annotations

import subprocess

__all__ = ["is_sending", "senders"]


def senders(parent: int | None = None) -> list[int]:
    """Return the processes that send for this one, or for all."""
    listed = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,stat=,args="], capture_output=True, text=True, check=True
    )
    rows = [line.split(None, 3) for line in listed.stdout.splitlines()]
    return [
        int(row[0])
        for row in rows
        if "kafka.process.sender" in row[-1] and row[2][0] != "Z" and (parent is None or int(row[1]) == parent)
    ]


def is_sending(process: int) -> bool:
    """Tell whether a process sends, for whomever."""
    return process in senders()
