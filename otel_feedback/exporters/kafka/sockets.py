"""Sockets that kafka-python closes when they do not connect, and a client that is closed when there is no producer of it.

A producer that cannot connect is given up within kafka-python's constructor, which leaves its selector, its wakeup pair
and every socket that was refused to the garbage collector: three descriptors a try, and one for each refusal.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping
from functools import cache
from typing import Any

from kafka import KafkaProducer

__all__ = ["closed_on_failure"]

_SCHEME = "otel-feedback-direct"


@cache
def _proxy_url() -> str | None:
    """Return what has kafka-python connect by a class of ours, which it chooses by the scheme of a proxy's URL."""
    try:
        from kafka.net.inet import KafkaNetSocket
    except ImportError:  # another version: then the garbage collector closes them
        return None

    class ClosingSocket(KafkaNetSocket):
        SCHEMES = (_SCHEME,)

        async def sock_connect(self, net: Any, sock: Any, *args: Any, **more: Any) -> Any:
            try:
                return await super().sock_connect(net, sock, *args, **more)
            except BaseException:  # also when it is cancelled
                sock.close()
                raise

    return f"{ClosingSocket.SCHEMES[0]}://"


@contextlib.contextmanager
def closed_on_failure(options: Mapping[str, Any]) -> Generator[dict[str, Any], None, None]:
    """Yield the options for a producer of kafka-python's; what that opens is closed again if its constructor raises."""
    made: list[Any] = []
    factory = options.get("kafka_client", KafkaProducer.DEFAULT_CONFIG["kafka_client"])

    def make_client(**settings: Any) -> Any:
        made.append(factory(**settings))
        if settings.get("allow_auto_create_topics") is False:
            # kafka-python (3.0.12) takes the option and asks brokers to create what is missing all the same
            made[-1].cluster.config["allow_auto_create_topics"] = False
        return made[-1]

    more: dict[str, Any] = {"kafka_client": make_client}
    if not options.get("proxy_url") and not options.get("socks5_proxy"):
        more["proxy_url"] = _proxy_url()
    try:
        yield {**options, **more}
    except BaseException:
        for client in made:
            with contextlib.suppress(Exception):
                client.close()
        raise
