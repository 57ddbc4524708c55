"""What a member remembers of the events that it handled."""

from __future__ import annotations

from otel_feedback.downstream.consumer.window import SeenWindow


def test_the_newest_are_remembered_and_no_more_than_twice_as_many() -> None:
    window = SeenWindow(100)
    for number in range(1_000):
        window.note(str(number), 1)
        remembered = [one for one in range(number + 1) if window.revision_of(str(one)) is not None]
        assert remembered[-100:] == list(range(max(0, number - 99), number + 1))
        assert len(remembered) <= 200


def test_a_newer_revision_takes_the_place_of_an_older_one() -> None:
    window = SeenWindow(2)
    window.note("a", 0)
    window.note("b", 1)
    window.note("a", 3)
    assert (window.revision_of("a"), window.revision_of("b"), window.revision_of("c")) == (3, 1, None)


def test_a_window_of_nothing_remembers_nothing() -> None:
    window = SeenWindow(0)
    window.note("a", 1)
    assert window.revision_of("a") is None
