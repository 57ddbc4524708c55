"""What runs: looks at the events every so often, keeps what came of it, and sends what is to be sent, until it is stopped.

One thread owns all that is kept; the lanes' threads send, and say when they are through. Nothing of what goes wrong ends it:
it is said, and tried again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from queue import Empty, SimpleQueue

import msgspec

from otel_feedback.downstream.alerts.advancing import Said, advance, newest
from otel_feedback.downstream.alerts.channels import Sender
from otel_feedback.downstream.alerts.delivery import Clock, Done, Lane, batch_of
from otel_feedback.downstream.alerts.messages import body_of, line_of, mood_of, title_of
from otel_feedback.downstream.alerts.observing import Observation
from otel_feedback.downstream.alerts.publishing import ALERTS_TOPIC, Publication, Publisher
from otel_feedback.downstream.alerts.rules import AlertFile, Channel
from otel_feedback.downstream.alerts.state import Folder, Notice, State, StateError
from otel_feedback.errors import FeedbackError, describe
from otel_feedback.logger import get_logger
from otel_feedback.throttle import ThrottledLog

__all__ = ["Runner"]

logger = get_logger(__name__)

PUBLISHED_AT_ONCE = 500
END_S = 10.0
"""How long the end waits for what is being sent."""


class Runner:
    """Alerts that run.

    Args:
        file: Rules and channels.
        folder: Where state is kept; held by who runs this.
        look: Returns what the rules see at a time.
        publisher: Where changes are published; None: nowhere.
        say: Called with a line for each thing that somebody is told.
        senders: By channel's name; default: those of the file.
        clock: The time.

    Raises:
        StateError: What was kept cannot be read.
    """

    def __init__(
        self,
        file: AlertFile,
        folder: Folder,
        look: Callable[[datetime], Sequence[Observation]],
        *,
        publisher: Publisher | None = None,
        say: Callable[[str], None] = lambda _: None,
        senders: Mapping[str, Sender] | None = None,
        clock: Clock = Clock(),  # noqa: B008 - it is immutable
    ) -> None:
        self._file = file
        self._folder = folder
        self._look = look
        self._publisher = publisher
        self._say = say
        self._rules = {rule.name: rule for rule in file.rules}
        self._channels: dict[str, Channel] = {channel.name: channel for channel in file.channels}
        self._senders = senders or {channel.name: Sender(channel) for channel in file.channels}
        self._done: SimpleQueue[Done | None] = SimpleQueue()
        self._clock = clock
        self._lanes = {name: Lane(name, self._done, clock) for name in self._channels}
        self._to_topic = Lane(ALERTS_TOPIC, self._done, clock)
        self._log = ThrottledLog(logger)
        self._is_stopping = False
        self._has_looked = False
        self._hand = folder.hand()
        self._state = folder.state()
        strangers = {notice.channel for notice in self._state.outbox} - self._channels.keys()
        if strangers:
            logger.warning("notifications of channels that are no longer in the file: %s", ", ".join(sorted(strangers)))
            outbox = tuple(notice for notice in self._state.outbox if notice.channel not in strangers)
            self._state = msgspec.structs.replace(self._state, outbox=outbox)

    def stop(self) -> None:
        """End `run()` soon; from any thread, or a signal's handler."""
        self._is_stopping = True
        self._done.put(None)

    def run(self, *, once: bool = False) -> bool:
        """Look, and send, until stopped.

        Args:
            once: Look once, try once to send what there is, and return.

        Returns:
            Whether there was a look that could see the events.
        """
        if once:
            self.look_once(self._clock.now())
            self._send(self._clock.now())
            while self._is_anything_sent():
                self._wait(None)
                self._send(self._clock.now())
            return self._has_looked
        due_s = self._clock.monotonic()
        while not self._is_stopping:
            if self._clock.monotonic() >= due_s:
                due_s = self._clock.monotonic() + self._file.settings.every
                self.look_once(self._clock.now())
            wait_s = self._send(self._clock.now())
            left_s = due_s - self._clock.monotonic()
            self._wait(left_s if wait_s is None else min(wait_s, left_s))
        until = self._clock.monotonic() + END_S
        while self._is_anything_sent() and self._clock.monotonic() < until:
            self._wait(until - self._clock.monotonic())
        return self._has_looked

    def look_once(self, now: datetime) -> None:
        """Look at the events, and keep what came of it."""
        try:
            seen = newest(self._look(now))
        except Exception as exc:  # whatever a file, DuckDB or somebody's SQL is up to: the next look may do better
            why = str(exc) if isinstance(exc, FeedbackError) else describe(exc)
            self._log.warning("look", "alerts could not be looked at, and will be again: %s", why)
            return
        self._has_looked = True
        self._read_hand()
        publishes = self._publisher is not None
        self._state, told = advance(self._file, self._state, seen, self._hand, now, publishes=publishes)
        # a disk that is full is no reason to tell nobody
        self._keep("what was found is told all the same, and would be found again after a restart")
        for said in told:
            self._say(line_of(self._rules.get(said.alert.key.rule), said))

    @property
    def state(self) -> State:
        """What is kept."""
        return self._state

    # -- sending -----------------------------------------------------------------------------------------------

    def _send(self, now: datetime) -> float | None:
        """Start what can be started; return how long until more can be, in seconds; None: nothing waits for a time."""
        waits: list[float] = []
        for name, lane in self._lanes.items():
            waiting = [notice for notice in self._state.outbox if notice.channel == name]
            wait_s = lane.wait_s()
            if not waiting or wait_s is None:
                continue
            batch = batch_of(waiting, lane.failing, self._state.sent.get(name, ()), self._channels[name].at_most, now)
            if wait_s > 0:
                waits.append(wait_s)
            elif batch:
                lane.failing = batch[0].alert.key.rule
                lane.start(frozenset(notice.number for notice in batch), self._job(name, batch))
        self._publish(waits)
        return min(waits, default=None)

    def _job(self, name: str, batch: Sequence[Notice]) -> Callable[[], None]:
        rule_name = batch[0].alert.key.rule
        rule = self._rules.get(rule_name)
        said = [Said(notice.told, notice.alert) for notice in batch]
        newest_of = {each.alert.key: each for each in said}
        still_open = sum(
            alert.key.rule == rule_name and alert.is_told_open and alert.key not in newest_of
            for alert in self._state.alerts
        )
        title = title_of(rule_name, rule, said)
        body = body_of(rule, self._file.settings, said)
        mood = mood_of(list(newest_of.values()), still_open=still_open)
        sender = self._senders[name]
        return lambda: sender.send(title, body, mood, f"otel-feedback:{rule_name}")

    def _publish(self, waits: list[float]) -> None:
        wait_s = self._to_topic.wait_s()
        if self._publisher is None or not self._state.changes or wait_s is None:
            return
        if wait_s > 0:
            waits.append(wait_s)
            return
        alerts = {alert.key: alert for alert in self._state.alerts}
        changes = self._state.changes[:PUBLISHED_AT_ONCE]
        told = [
            Publication(each.key, alert, None if alert is None else self._hand.acknowledgement(alert))
            for each in changes
            for alert in (alerts.get(each.key),)
        ]
        publisher = self._publisher
        self._to_topic.start(frozenset(each.number for each in changes), lambda: publisher.publish(told))

    def _read_hand(self) -> None:
        """See what people said meanwhile; where that cannot be read, what they said before counts."""
        try:
            self._hand = self._folder.hand()
        except StateError as exc:
            self._log.warning("hand", "silences and acknowledgements stay what they were: %s", exc)

    def _wait(self, seconds: float | None) -> None:
        try:
            done = self._done.get(timeout=None if seconds is None else max(0.0, seconds))
        except Empty:
            return
        while done is not None:
            self._settle(done)
            try:
                done = self._done.get_nowait()
            except Empty:
                return

    def _settle(self, done: Done) -> None:
        lane = done.lane
        lane.settle(done)
        if done.failure is not None:
            self._log.warning(
                lane.name, "%s did not take a notification, and will get it again: %s", lane.name, done.failure
            )
            return
        lane.failing = None
        state = self._state
        if lane is self._to_topic:
            changes = tuple(each for each in state.changes if each.number not in done.numbers)
            state = msgspec.structs.replace(state, changes=changes)
        else:
            outbox = tuple(notice for notice in state.outbox if notice.number not in done.numbers)
            sent = {**state.sent, lane.name: (*state.sent.get(lane.name, ()), self._clock.now())}
            state = msgspec.structs.replace(state, outbox=outbox, sent=sent)
        self._state = state
        self._keep("what was sent is not noted, and would be sent again after a restart")

    def _keep(self, otherwise: str) -> None:
        try:
            self._folder.keep(self._state)
        except StateError as exc:
            self._log.warning("keep", "%s: %s", exc, otherwise)

    def _is_anything_sent(self) -> bool:
        return any(lane.wait_s() is None for lane in (*self._lanes.values(), self._to_topic))
