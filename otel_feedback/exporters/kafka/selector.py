"""The selector that kafka-python's producer is given: it asks the kernel as seldom as can be.

    register, modify, unregister ──► noted ──► told to the kernel, what is left of it ──► asked, where there is nothing to do

Each question gives the interpreter lock away; beside a busy agent it is 5 ms until that is back, and it costs the agent a
switch. kafka-python asks some ten times a turn: it takes a socket out before each read and puts it in again after it, asks
whether one can be written to before each write, and asks what there is while it has something to do. Used on one thread.
"""

from __future__ import annotations

import selectors
from collections.abc import Mapping
from typing import Any

__all__ = ["QuietSelector"]

_WRITE = selectors.EVENT_WRITE
Ready = list[tuple[selectors.SelectorKey, int]]


class QuietSelector(selectors.BaseSelector):
    """Says of a socket that is to be written to that it can be, once, without having asked: one that cannot comes again."""

    def __init__(self) -> None:
        self._system = selectors.DefaultSelector()
        self._keys: dict[Any, selectors.SelectorKey] = {}
        self._by_number: dict[int, selectors.SelectorKey] = {}
        self._told: dict[int, selectors.SelectorKey] = {}  # what the kernel knows
        self._changed: set[int] = set()  # since then
        self._to_write: set[Any] = set()  # of which it is to be said that they can be written to
        self._tried: set[Any] = set()  # of which it was said the last time
        self._has_passed = False  # over a look, since there was something to do

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        if fileobj in self._keys:
            raise KeyError("it is registered already")
        number = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        if number < 0:
            raise ValueError("it is closed")
        return self._note(selectors.SelectorKey(fileobj, number, events, data), 0)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        before = self.get_key(fileobj)
        return self._note(selectors.SelectorKey(fileobj, before.fd, events, data), before.events)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        key = self.get_key(fileobj)
        del self._keys[fileobj]
        if self._by_number.get(key.fd) is key:
            del self._by_number[key.fd]
        self._changed.add(key.fd)
        return key

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        key = self._keys.get(fileobj)
        if key is None:  # the standard one shows the socket, for which it asks the kernel for two addresses
            raise KeyError("it is not registered")
        return key

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys

    def select(self, timeout: float | None = None) -> Ready:
        self._tried, self._to_write = self._to_write, set()
        ready = [
            (key, _WRITE) for one in self._tried if (key := self._keys.get(one)) is not None and key.events & _WRITE
        ]
        if ready:
            return ready
        if timeout is not None and timeout <= 0 and not self._has_passed:
            self._has_passed = True
            return []
        self._has_passed = False
        self._tell()
        for told, events in self._system.select(timeout):
            key = self._by_number.get(told.fd)
            if key is not None and events & key.events:
                ready.append((key, events & key.events))
        return ready

    def close(self) -> None:
        self._system.close()
        for known in (self._keys, self._by_number, self._told):
            known.clear()

    def _note(self, key: selectors.SelectorKey, before: int) -> selectors.SelectorKey:
        self._keys[key.fileobj] = self._by_number[key.fd] = key
        self._changed.add(key.fd)
        if key.events & ~before & _WRITE and key.fileobj not in self._tried:
            self._to_write.add(key.fileobj)
        return key

    def _tell(self) -> None:
        for number in self._changed:
            key, told = self._by_number.get(number), self._told.get(number)
            # a number may be another socket's by now: then the kernel has forgotten the one that was closed
            if told is not None and (key is None or key.fileobj is not told.fileobj):
                self._system.unregister(number)
                del self._told[number]
                told = None
            if key is None:
                continue
            if told is None:
                self._system.register(number, key.events)
            elif told.events != key.events:
                self._system.modify(number, key.events)
            self._told[number] = key
        self._changed.clear()
