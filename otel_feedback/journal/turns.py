"""Whose turn it is, of many short-lived processes of a service that end, to deliver what all of them leave.

    child ends ──► turn free? ──► yes: connects and delivers, also what the others left       one at a time
                       │
                       └────────► no: its journal stays, for whoever has the next turn

A lock on a file beside the journals, so it ends with its process. The file's time says until when nobody need try: a
destination that is away costs a pool one try in a while, and not each of its children.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from otel_feedback.journal.files import open_private
from otel_feedback.journal.folder import lock_file

__all__ = ["Turn"]

TURN = "turn"


class Turn:
    """One try to have the turn; `is_ours` says whether we have it.

    Args:
        root: The directory of the service's journals.
        pause_s: For how long nobody need try after one who tried in vain, in seconds.
    """

    def __init__(self, root: Path, pause_s: float) -> None:
        self.is_ours = False
        self._pause_s = pause_s
        self._file: int | None = None
        try:
            self._file = open_private(root / TURN, os.O_RDWR | os.O_CREAT)
            lock_file(self._file)
            left_s = os.fstat(self._file).st_mtime - time.time()
            self.is_ours = not 0.0 < left_s <= pause_s  # more than that is a clock that was set back
        except OSError:  # somebody else has it, or there is no place for it
            pass

    def pass_on(self, *, in_vain: bool) -> None:
        """Let the next one have it; in vain: nothing could be delivered."""
        file, self._file = self._file, None
        if file is None:
            return
        try:
            if self.is_ours:
                until = time.time() + (self._pause_s if in_vain else 0.0)
                os.utime(file, (until, until))
        finally:
            os.close(file)
