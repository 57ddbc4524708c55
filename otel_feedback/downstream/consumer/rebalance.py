"""What kafka-python tells of a rebalance, on its own thread; imported after it.

The listener is the async kind: a plain one may not commit, since that waits for the very thread that it is called on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import kafka
from kafka import KafkaConsumer
from kafka.structs import OffsetAndMetadata

from otel_feedback.downstream.consumer.group import GroupMember, PartitionInHand, committed
from otel_feedback.exporters.kafka.inside import join_to_the_end
from otel_feedback.logger import get_logger

__all__ = ["listener", "offsets"]

logger = get_logger(__name__)


def offsets(ends: dict[PartitionInHand, int]) -> dict[Any, Any]:
    """Return what kafka-python takes to commit."""
    return {owned.partition: OffsetAndMetadata(end, "", -1) for owned, end in ends.items()}


def listener(member: GroupMember, consumer: KafkaConsumer) -> Any:
    """Return what tells the member of each rebalance."""
    return _Listener(member, consumer)


_library: Any = kafka  # the stubs that pyright brings are those of another version
_Base: Any = _library.AsyncConsumerRebalanceListener


class _Listener(_Base):
    def __init__(self, member: GroupMember, consumer: Any) -> None:
        self._member = member
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        self._member.hold()
        join_to_the_end(self._consumer)
        ends = self._member.to_commit()
        if not ends:
            return
        try:
            await self._consumer.commit_async(offsets(ends))
        except Exception as exc:  # then who gets the partition has some records again
            logger.debug("nothing was committed before a rebalance: %r", exc)
        else:
            committed(ends)

    async def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        if self._member.is_paused:
            self._consumer.pause(*assigned)
        self._member.keep(assigned)

    async def on_partitions_lost(self, lost: Iterable[Any]) -> None:
        self._member.lose(lost)
