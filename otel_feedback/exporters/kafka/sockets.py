"""Sockets that kafka-python closes when they do not connect, and a client that is closed when there is no producer of it.

A producer that cannot connect is given up within kafka-python's constructor, which leaves its selector, its wakeup pair
and every socket that was refused to the garbage collector: three descriptors a try, and one for each refusal.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping
from typing import Any

from kafka.net.compat import KafkaNetClient
from kafka.net.inet import KafkaNetSocket

__all__ = ["ClosingSocket", "closed_on_failure"]

_SCHEME = "otel-feedback-direct"


class ClosingSocket(KafkaNetSocket):
    """Connects as the class above it. kafka-python chooses it by the scheme of what it takes for a proxy's URL."""

    SCHEMES = (_SCHEME,)

    async def sock_connect(self, net: Any, sock: Any, sockaddr: Any, timeout_at: float | None = None) -> Any:
        try:
            return await super().sock_connect(net, sock, sockaddr, timeout_at=timeout_at)
        except BaseException:  # also when it is cancelled
            sock.close()
            raise


@contextlib.contextmanager
def closed_on_failure(options: Mapping[str, Any]) -> Generator[dict[str, Any], None, None]:
    """Yield the options for a client of kafka-python's; what that opens is closed again if its constructor raises."""
    made: list[Any] = []
    factory = options.get("kafka_client", KafkaNetClient)

    def make_client(**settings: Any) -> Any:
        made.append(factory(**settings))
        return made[-1]

    more: dict[str, Any] = {"kafka_client": make_client}
    if not options.get("proxy_url") and not options.get("socks5_proxy"):
        more["proxy_url"] = f"{_SCHEME}://"
    try:
        yield {**options, **more}
    except BaseException:
        for client in made:
            with contextlib.suppress(Exception):
                client.close()
        raise
