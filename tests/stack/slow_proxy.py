"""A slow line to a service: TCP to and fro, late and narrow.

    client ──► proxy: chunk ──► waits `delay_s` ──► `bytes_per_s` ──► service        and the same way back

A chunk waits while later ones come in, as on a long line: the delay alone costs no throughput. What is on its way is
bounded, so a narrow line pushes back, first on the proxy and then on whoever sends.

Kafka's clients go on to the address that a broker advertises, so its listener has to advertise the proxy's port:
`slow_listener` makes the properties for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from typing_extensions import Self

from tests.stack.errors import NotReadyError
from tests.stack.processes import LOOPBACK, free_port

CHUNK_BYTES = 4_096
CHUNKS_ON_THE_WAY = 32
START_TIMEOUT_S = 10.0

Chunk = tuple[float, bytes]  # when it is to arrive, by the loop's clock; no bytes at the end of the stream


class SlowProxy:
    """A context manager that listens on `port` and forwards every connection to `target_port`, from a thread.

    Args:
        delay_s: How long each chunk is on its way, in each direction. May be changed at any time.
        bytes_per_s: Width of each connection, in each direction; None for as wide as can be. May be changed, too.
        forbidden: Bytes at which a connection is cut, as a firewall does that looks into what passes.
    """

    def __init__(
        self, *, delay_s: float = 0.0, bytes_per_s: float | None = None, forbidden: bytes | None = None
    ) -> None:
        self.port = free_port()
        self.target_port = free_port()
        self.delay_s = delay_s
        self.bytes_per_s = bytes_per_s
        self.cuts = 0  # written by the proxy's thread
        self._forbidden = forbidden
        self.forwarded_bytes = 0  # written by the proxy's thread
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="slow-proxy", daemon=True)

    @property
    def address(self) -> str:
        """`host:port` for clients."""
        return f"{LOOPBACK}:{self.port}"

    def slow_listener(self) -> Mapping[str, str]:
        """Return properties for a broker that is reached through this proxy, and by its own port as ever."""
        plain = f"PLAINTEXT://{LOOPBACK}:{{broker_port}}"
        return {
            "listeners": f"{plain},CONTROLLER://{LOOPBACK}:{{controller_port}},SLOW://{LOOPBACK}:{self.target_port}",
            "advertised.listeners": f"{plain},SLOW://{self.address}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SLOW:PLAINTEXT",
        }

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(START_TIMEOUT_S):
            raise NotReadyError(f"the proxy does not listen on {self.address}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connect, LOOPBACK, self.port)
        self._ready.set()
        await self._stop.wait()
        server.close()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connect(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            service, to_service = await asyncio.open_connection(LOOPBACK, self.target_port)
            try:
                await self._forward((client, to_service), (service, to_client))
            finally:
                await _close(to_service)
        except OSError:
            pass  # the service is not there: the client is hung up on
        finally:
            await _close(to_client)
            self._connections.discard(task)

    async def _forward(self, *ways: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        """Return once one side has hung up: neither Kafka nor its clients close one half of a connection."""
        stop: asyncio.Task[Any] = asyncio.ensure_future(self._stop.wait())
        reading: list[asyncio.Task[None]] = []
        writing: list[asyncio.Task[None]] = []
        for source, target in ways:
            line: asyncio.Queue[Chunk] = asyncio.Queue(CHUNKS_ON_THE_WAY)
            reading.append(asyncio.ensure_future(self._read(source, line)))
            writing.append(asyncio.ensure_future(self._write(line, target)))
        try:
            await asyncio.wait([stop, *writing], return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended: list[asyncio.Task[Any]] = [stop, *reading, *writing]
            for task in ended:
                task.cancel()
            await asyncio.gather(*ended, return_exceptions=True)

    async def _read(self, source: asyncio.StreamReader, line: asyncio.Queue[Chunk]) -> None:
        data = before = b"."
        while data:
            try:
                data = await source.read(CHUNK_BYTES)
            except OSError:
                data = b""
            if self._forbidden is not None and self._forbidden in (before := before[-CHUNK_BYTES:] + data):
                self.cuts += 1
                data = b""
            await line.put((self._loop.time() + self.delay_s, data))

    async def _write(self, line: asyncio.Queue[Chunk], target: asyncio.StreamWriter) -> None:
        while True:
            due, data = await line.get()
            await asyncio.sleep(due - self._loop.time())
            if not data:
                return
            if self.bytes_per_s is not None:
                await asyncio.sleep(len(data) / self.bytes_per_s)
            target.write(data)
            await target.drain()
            self.forwarded_bytes += len(data)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
