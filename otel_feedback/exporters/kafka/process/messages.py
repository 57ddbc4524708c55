"""What an agents' process and its sender say to each other: MessagePack, each message with its length before it.

    worker ──► Begin, Identify, Lease, Abandon, Look, Close ──► sender
           ◄── Answers, Failed, Identified, Told, Said, Closed ◄──

Records go as the journal has them: packed, which is what an action left, or whole. Who sends `Abandon` gets an answer to
nothing that it said before, except by an epoch or a number that it knows to be over. Pure, but for `Channel`.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from struct import Struct
from typing import Any

import msgspec

from otel_feedback.events.record import Origin, Record

__all__ = [
    "Abandon", "Answers", "Begin", "Channel", "Close", "Closed", "Failed", "FromSender", "Identified", "Identify", "Lease", "Look",
    "Message", "Packed", "Said", "Seen", "ToSender", "Told", "encode",
]  # fmt: skip


class Message(msgspec.Struct, array_like=True, tag=True, gc=False):
    """Of either kind."""


Packed = tuple[int, str, bytes, bool]
"""A record that is packed: its sequence, key and payload, and whether its trace is sampled."""

Seen = tuple[str | None, Sequence[str]]
"""What a cluster says of itself, as `ClusterSeen`."""


class Begin(Message):
    """The first message: where and how to send (a pickled `KafkaConfig`), what it logs, and which cluster it was, if that is known."""

    epoch: int
    config: bytes
    give_up_s: float
    log_level: int
    seen: Seen | None


class Identify(Message):
    """Connect, and say which cluster it is."""

    epoch: int


class Lease(Message):
    """Records of one origin, in order."""

    number: int
    origin: Origin
    records: list[Packed | Record]


class Abandon(Message):
    """Forget everything in flight; what comes next is of this epoch."""

    epoch: int


class Look(Message):
    """Say what stands in the way, or has since then, by the monotonic clock."""

    since_s: float


class Close(Message):
    """Close the connection within so many seconds, and end."""

    timeout_s: float


class Answers(Message):
    """What became of records of a lease: runs `[first, end)` that were delivered, and those that were refused, with why."""

    number: int
    delivered: list[tuple[int, int]]
    refused: list[tuple[int, str, str]]
    redirected: dict[str, int] | None


class Failed(Message):
    """Everything in flight is to go again, or an `Identify` came to nothing: an `ExportError`, and in which epoch."""

    epoch: int
    reason: str
    detail: str
    retry_after_s: float | None


class Identified(Message):
    """Which cluster it is."""

    epoch: int
    seen: Seen


class Told(Message):
    """The answer to `Look`."""

    trouble: str | None


class Said(Message):
    """A line of the sender's log."""

    logger: str
    level: int
    text: str


class Closed(Message):
    """The last message."""


ToSender = Begin | Identify | Lease | Abandon | Look | Close
FromSender = Answers | Failed | Identified | Told | Said | Closed

_encode_into = msgspec.msgpack.Encoder().encode_into
_LENGTH = Struct("<I")


def encode(message: Message, behind: bytearray | None = None) -> bytearray:
    """Return a message with its length before it, behind what is there already.

    Raises:
        UnicodeEncodeError: A text has half a character.
    """
    data = bytearray() if behind is None else behind
    at = len(data)
    _encode_into(message, data, at + _LENGTH.size)
    _LENGTH.pack_into(data, at, len(data) - at - _LENGTH.size)
    return data


class Channel:
    """One end of the socket. One thread reads at a time, and one writes.

    Args:
        kind: What messages are read: `ToSender` or `FromSender`.
    """

    READ_BYTES = 1 << 20

    def __init__(self, end: socket.socket, kind: Any) -> None:
        self.socket = end
        self._decode: Any = msgspec.msgpack.Decoder(kind).decode
        self._rest = bytearray()

    def receive(self) -> list[Any]:
        """Read what is there, waiting as long as the socket is told to.

        Raises:
            EOFError: The other end is closed.
            OSError: There is nothing (BlockingIOError, TimeoutError), or the other end is gone.
            msgspec.DecodeError: That is no message.
        """
        data = self.socket.recv(self.READ_BYTES)
        if not data:
            raise EOFError
        rest = self._rest
        rest += data
        messages: list[Any] = []
        at, size = 0, len(rest)
        with memoryview(rest) as view:
            while at + _LENGTH.size <= size:
                begin = at + _LENGTH.size
                end = begin + _LENGTH.unpack_from(view, at)[0]
                if end > size:
                    break
                messages.append(self._decode(view[begin:end]))
                at = end
        del rest[:at]
        return messages
