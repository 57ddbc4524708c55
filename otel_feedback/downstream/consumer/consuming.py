"""What all kinds of consumer are made of: what they are given, what becomes of the record in hand, and the end.

    record ──► headers say skip? ──► decoded ──► handled before? ──► the program ──► settled ──► committed
                                        │                                │
                                        └──────── dead letters ◄─────────┘   with reason and position

Guarantee: at least once. What is committed was handled, skipped, a repeat, or is among the dead letters.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic

import msgspec

from otel_feedback.downstream.consumer.group import GroupMember
from otel_feedback.downstream.consumer.handing import Handing, Received, Records
from otel_feedback.downstream.topic.given import received_feedback
from otel_feedback.downstream.topic.letters import INVALID, LOOK_S, RAISED, DeadLetter, DeadLetters
from otel_feedback.downstream.topic.received import decode
from otel_feedback.downstream.topic.values import SchemaWantedError, TopicValues
from otel_feedback.errors import ConfigError, ExportError, SchemaError, describe
from otel_feedback.logger import get_logger
from otel_feedback.retry import Backoff
from otel_feedback.settings.kafka import KafkaConfig
from otel_feedback.settings.settings import get_settings
from otel_feedback.settings.values import a_number, a_text, one_of, whole
from otel_feedback.throttle import ThrottledLog

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from otel_feedback.settings.options import SettingsOptions

__all__ = ["END_S", "EVENTS", "FEEDBACK", "SIGNALS", "Consuming"]

logger = get_logger(__name__)

WINDOW = 50_000
END_S = 30.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)
_OWN_OPTIONS = frozenset({
    "auto_offset_reset", "bootstrap_servers", "client_id", "enable_auto_commit", "group_id", "key_deserializer",
    "max_poll_records", "partition_assignment_strategy", "value_deserializer",
})  # fmt: skip
"""What others of are would break promises: a cooperative assignor tells of rebalances in another order."""


def _read(name: str, value: object, reader: Callable[[Any], Any]) -> Any:
    try:
        return reader(value)
    except ValueError as exc:
        raise ConfigError(name, value, str(exc)) from None


EVENTS = Records(decode, lambda event: (event.event_id, event.revision))
FEEDBACK = Records(received_feedback, lambda given: (given.feedback_id, int(given.timestamp.timestamp() * 1e6)))


class Consuming(Generic[Received]):
    """What all kinds are made of; `_records` says of what records."""

    _records: Records[Received]

    def __init__(
        self,
        group: str,
        *,
        tenant_id: str | None = None,
        start: str = "earliest",
        window: int = WINDOW,
        commit_interval_s: float = 1.0,
        stop_on_signals: bool = True,
        kafka: KafkaConfig | None = None,
        kafka_options: Mapping[str, Any] | None = None,
        **settings: Unpack[SettingsOptions],
    ) -> None:
        group = _read("group", group, a_text)
        config = get_settings(kafka=kafka, **settings).kafka
        self._options = dict(kafka_options or {})
        taken = sorted(_OWN_OPTIONS & self._options.keys())
        if taken:
            raise ConfigError("kafka_options", taken, "options that this package does not set itself")
        read = config
        if self._records is FEEDBACK:
            read = msgspec.structs.replace(config, topic=config.feedback_topic)
        self._member = GroupMember(
            read,
            group,
            start=_read("start", start, one_of("earliest", "latest")),
            commit_interval_s=_read("commit_interval_s", commit_interval_s, a_number(0.01, 3_600)),
            wake=self._wake,
            options=self._options,
        )
        tenant_id = None if tenant_id is None else _read("tenant_id", tenant_id, a_text)
        self._values = TopicValues(config.registry)
        seen = _read("window", window, whole(0, 10**8))
        self._handing = Handing(self._member, self._records, self._values, seen, tenant_id, read.topic)
        self._letters = DeadLetters(config, group)
        self._log = ThrottledLog(logger)
        self._backoff = Backoff()
        self._stop_on_signals = stop_on_signals
        self._is_stopping = False
        self._is_closed = False
        self._name = f"{group!r} of {read.topic!r}"

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "stopping" if self._is_stopping else "open"
        return f"<{type(self).__name__} {self._name} {state} {self.metrics()}>"

    def stop(self) -> None:
        """End the iteration before the next event. Safe from any thread, and in a signal handler."""
        self._is_stopping = True
        self._member.chunks.put(None)
        self._wake()

    def metrics(self) -> Mapping[str, int]:
        """Return what became of the records so far.

        Returns:
            `handled`, `repeated` and `superseded` (dropped: handled before in this, or in a higher revision), `skipped`
            (another tenant's) and `dead_letters`; `letters_waiting` (1 while the dead letters' topic does not take one,
            for which all waits), `waiting` (read and not handed out) and `rebalances` that there were.
        """
        return {
            **self._handing.counts,
            "letters_waiting": self._letters.waiting,
            "waiting": self._member.waiting,
            "rebalances": self._member.rebalances,
        }

    def _wake(self) -> None:
        """There may be something new."""

    def _begin(self) -> None:
        if self._is_closed:
            raise RuntimeError("this consumer is closed: make another")
        self._member.start()

    def _is_going_on(self) -> bool:
        failure = self._member.failure
        if failure is not None:
            raise ConfigError("kafka_options", sorted(self._options), f"what kafka-python takes: {failure}")
        return not self._is_stopping

    def _end(self) -> None:
        if not self._is_closed:
            self._is_closed = self._is_stopping = True
            self._member.stop(END_S)
            self._letters.close(END_S)

    def _is_letter_given_up(self) -> bool:
        return self._is_stopping or self._handing.is_lost

    def _fetch(self, wanted: SchemaWantedError) -> None:
        """Get the schema that the record in hand needs; while the registry is away, wait for it, and say so.

        Raises:
            ConfigError: There are values in Avro, and the settings, or what is installed, cannot read them.
        """
        while not self._is_letter_given_up():
            try:
                self._values.fetch(wanted)
            except ConfigError:
                self._handing.again()  # it is not settled
                raise
            except SchemaError as exc:
                self._bury(self._letter(INVALID, str(exc)))
                return
            except ExportError as exc:
                self._log.warning("registry", "%s waits for a schema, and tries again: %s", self._name, exc.detail)
                again_s = time.monotonic() + self._backoff.next_s()
                while time.monotonic() < again_s and not self._is_letter_given_up():
                    time.sleep(LOOK_S)
            else:
                self._backoff.reset()
                self._handing.again()
                return
        self._handing.drop()

    def _bury(self, letter: DeadLetter) -> None:
        """Send a dead letter, and settle its record once Kafka has it."""
        if self._letters.send(letter, self._is_letter_given_up):
            self._handing.settle_letter(letter)
        else:
            self._handing.drop()

    def _bury_raised(self, exc: Exception) -> None:
        if self._handing.record is not None:  # else it was rejected before
            self._bury(self._letter(RAISED, describe(exc)))

    def _letter(self, reason: str, detail: str) -> DeadLetter:
        record = self._handing.record
        if record is None:
            raise RuntimeError("there is no event in hand to reject: it is the one that the loop was given last")
        return DeadLetter(record, reason, detail)
