"""Which destination a Kafka exporter has: a cluster's own id and the topic, not the text of an address.

    host:9092,other:9092/agent-outcomes  ──first connection──►  MkU3OEVBNTcwNTJENDM2Qk/agent-outcomes

So another way to the same cluster (one more bootstrap server, 127.0.0.1 for localhost) strands nothing, and another
cluster behind the same address inherits nothing. What was written down by address alone, before anybody had connected
or by an older version, is ours where one of its servers is one of this cluster's.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from otel_feedback.sdk.forks import connecting
from otel_feedback.sdk.lookups import can_look_up

__all__ = ["ClusterSeen", "KafkaDestination"]

PORT = "9092"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1", "[::1]", "localhost.localdomain", "ip6-localhost"})


class ClusterSeen(NamedTuple):
    """What a cluster says of itself: its id, None of one that has none, and its brokers as `host:port`."""

    cluster_id: str | None
    brokers: Sequence[str]


class KafkaDestination:
    """The destination of one exporter; written by its worker, read from any thread."""

    def __init__(self, bootstrap_servers: Sequence[str], topic: str) -> None:
        self._topic = topic
        self._servers = tuple(bootstrap_servers)
        self.address = f"{','.join(bootstrap_servers)}/{topic}"
        """Where it is looked for."""
        self.name = self.address
        """What is written down: the address until the cluster is known."""
        self.is_known = False
        self._places = _places(bootstrap_servers)

    def learn(self, seen: ClusterSeen) -> str | None:
        """Take in which cluster this is; return the name of the one that it is no more, if it was another before."""
        name = self.address if seen.cluster_id is None else f"{seen.cluster_id}/{self._topic}"
        if self.is_known:
            return None if name == self.name or self.address in (name, self.name) else name
        self._places |= _places(seen.brokers) | _resolved(self._servers)
        self.name = name
        self.is_known = True
        return None

    def forget(self) -> None:
        """Know only the address, as at first."""
        self.name, self.is_known = self.address, False

    def is_same(self, destination: str, address: str) -> bool:
        """Tell whether what was written down for a destination is for this one.

        While the cluster is not known, that can be told by the address alone; then it has to be asked again.
        """
        if destination == self.name:
            return True
        is_bound = bool(address) and destination != address
        if is_bound and self.is_known:
            return False
        servers, _, topic = (address or destination).rpartition("/")
        return topic == self._topic and not self._places.isdisjoint(_places(servers.split(",")))


def _places(servers: Iterable[str]) -> frozenset[str]:
    """Return addresses so that the same ones look the same."""
    return frozenset(_place(server) for server in servers if server)


def _place(server: str) -> str:
    host, _, port = server.strip().lower().rpartition(":")
    if not host or (host.startswith("[") and not host.endswith("]")):  # no port
        host, port = server.strip().lower(), PORT
    return f"{'localhost' if host in _LOOPBACK else host.strip('[]')}:{port}"


def _resolved(servers: Iterable[str]) -> frozenset[str]:
    """Return where these names lead; the caller has just connected, so the answers are at hand."""
    found: set[str] = set()
    for place in _places(servers) if can_look_up() else ():
        host, _, port = place.rpartition(":")
        with contextlib.suppress(OSError, ValueError), connecting():
            found |= {f"{info[4][0]}:{port}" for info in socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)}
    return _places(found)
