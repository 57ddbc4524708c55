"""The selector of the producer: it says what the standard one says, and asks the kernel less."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_feedback.exporters.kafka.selector import QuietSelector

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


def test_it_knows_what_the_standard_one_knows() -> None:
    ours, standard = QuietSelector(), selectors.DefaultSelector()
    left, right = socket.socketpair()
    steps: list[Callable[[Any], Any]] = [
        lambda one: one.register(left, READ, "a"),
        lambda one: one.modify(left, READ | WRITE, "b"),
        lambda one: one.unregister(left),
        lambda one: one.register(left, WRITE, "c"),
    ]
    with left, right, ours, standard:
        for step in steps:
            assert step(ours) == step(standard)
            assert known(ours, left) == known(standard, left)
            assert known(ours, right) is known(standard, right) is None
        for selector in (ours, standard):
            with pytest.raises(KeyError):
                selector.register(left, READ)
            with pytest.raises(KeyError):
                selector.modify(right, READ)
            with pytest.raises(KeyError):
                selector.unregister(right)
        right.close()
        for selector in (ours, standard):
            with pytest.raises(ValueError, match=r"closed|Invalid"):
                selector.register(right, READ)


def known(selector: selectors.BaseSelector, one: socket.socket) -> selectors.SelectorKey | None:
    try:
        return selector.get_key(one)
    except KeyError:
        return None


def test_a_socket_is_tried_at_once_and_waited_for_when_it_takes_nothing() -> None:
    ours = QuietSelector()
    left, right = socket.socketpair()
    with left, right, ours:
        left.setblocking(False)
        ours.register(right, READ)
        for _ in range(2):  # each time that something is to be written
            assert ours.select(0.001) == []
            ours.register(left, WRITE)
            assert [(key.fileobj, events) for key, events in ours.select(30)] == [(left, WRITE)]
            ours.unregister(left)
        written = fill(left)
        ours.unregister(right)
        ours.register(left, WRITE)
        assert ours.select(0.001) == []
        right.recv(written, socket.MSG_WAITALL)
        assert [(key.fileobj, events) for key, events in ours.select(30)] == [(left, WRITE)]


def fill(one: socket.socket) -> int:
    written = 0
    try:
        while True:
            written += one.send(b"x" * 4_096)
    except BlockingIOError:
        return written


def test_what_can_be_read_is_seen_though_there_is_always_something_to_do() -> None:
    ours = QuietSelector()
    left, right = socket.socketpair()
    with left, right, ours:
        ours.register(left, READ)
        right.send(b"x")
        assert [key.fileobj for _ in range(2) for key, _ in ours.select(0)] == [left]


@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["in", "out", "in again", "closed", "look"])), max_size=30)
)
def test_it_sees_what_the_standard_one_sees(steps: list[tuple[int, str]]) -> None:
    """Also of a socket that has got the number of one that was closed."""
    ours, standard = QuietSelector(), selectors.DefaultSelector()
    pairs = [socket.socketpair() for _ in range(3)]
    with ours, standard:
        for place, step in steps:
            left, right = pairs[place]
            is_in = known(standard, left) is not None
            for selector in (ours, standard):
                if is_in and step in ("out", "in again", "closed"):
                    selector.unregister(left)
                if step == "in again" or (step == "in" and not is_in):
                    selector.register(left, READ, place)
            if step == "closed":
                left.close()
                right.close()
                pairs[place] = socket.socketpair()
            elif step == "look" and place:
                right.send(b"x")
            ours.select(0)  # passed over
            assert seen(ours) == seen(standard)
    for left, right in pairs:
        left.close()
        right.close()


def seen(selector: selectors.BaseSelector) -> set[tuple[Any, int]]:
    return {(key.data, events) for key, events in selector.select(0)}


def test_a_turn_of_kafka_pythons_asks_the_kernel_where_it_has_to_wait_and_not_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def count(name: str) -> None:
        original = getattr(selectors.DefaultSelector, name)

        def counted(self: Any, *given: Any) -> Any:
            asked.append(name)
            return original(self, *given)

        monkeypatch.setattr(selectors.DefaultSelector, name, counted)

    for name in ("register", "modify", "unregister", "select"):
        count(name)
    ours = QuietSelector()
    left, right = socket.socketpair()
    with left, right, ours:
        ours.register(left, READ)
        ours.select(0.001)
        asked.clear()
        ours.select(0)  # something is to be written
        ours.modify(left, READ | WRITE)
        ours.select(30)
        ours.modify(left, READ)
        right.send(b"x")
        assert len(ours.select(30)) == 1
        ours.unregister(left)  # what has come is read
        left.recv(1)
        ours.register(left, READ)
        assert ours.select(0.001) == []
    assert asked == ["select", "select"]
