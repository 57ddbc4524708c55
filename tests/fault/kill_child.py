"""The process that the kill harness kills: actions from several threads, each start and each return told on a pipe.

    S <event id>    an action is under way          R <event id>    an action has returned
    F <point>       the process kills itself now, at this point

Fault points are put around the package's own steps from outside; the package has no hooks for them.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import otel_feedback as feedback
from otel_feedback.journal import appending, disk, files, segments
from otel_feedback.journal.adopted import AdoptedJournal
from otel_feedback.journal.folder import Folder

SEGMENT_BYTES = 48 * 1024
TAIL_BYTES = 16 * 1024
THREADS = 4


def die(point: str) -> NoReturn:
    os.write(1, f"F {point}\n".encode())
    os.kill(os.getpid(), signal.SIGKILL)
    raise SystemExit  # not reached


def at_nth(point: str, nth: int, function: Callable[..., Any], *, half: bool = False, after: bool = False) -> Any:
    """Return the function with death at its nth call: before it, after it, or with half of its bytes written."""
    calls = 0

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == nth and half:
            file, data = args[:2]
            files.append(file, data[: len(data) // 2])
        if calls == nth and not after:
            die(point)
        result = function(*args, **kwargs)
        if calls == nth:
            die(point)
        return result

    return wrapped


def is_named(path: Path, *endings: str) -> bool:
    return path.name.endswith(endings)


def on_path(point: str, nth: int, method: str, wanted: Callable[[Path], bool], *, after: bool = False) -> None:
    """Die at the nth call of a method of `Path` on a path that is wanted."""
    original = getattr(Path, method)
    deadly = at_nth(point, nth, original, after=after)

    def chosen(self: Path, *args: Any, **kwargs: Any) -> Any:
        return (deadly if wanted(self) else original)(self, *args, **kwargs)

    setattr(Path, method, chosen)


def on_name(point: str, nth: int, *, after: bool = False) -> None:
    """Die when the nth segment gets its name."""
    original = os.rename
    deadly = at_nth(point, nth, original, after=after)

    def chosen(old: Path, new: Path) -> None:
        (deadly if Path(new).suffix == ".seg" else original)(old, new)

    os.rename = chosen  # type: ignore[assignment]


def in_adopted_folder(path: Path) -> bool:
    return len(path.parent.name) == 32 and not is_named(path, ".new")


def while_closing(append: Callable[[int, bytes], None]) -> None:
    """Write so while the actions of a dead process are being closed, and as ever before and after."""
    close: Any = AdoptedJournal._close_actions  # pyright: ignore[reportPrivateUsage]

    def closing(self: AdoptedJournal, *args: Any) -> None:
        segments.append = append  # pyright: ignore[reportPrivateImportUsage]
        try:
            close(self, *args)
        finally:
            segments.append = files.append  # pyright: ignore[reportPrivateImportUsage]

    AdoptedJournal._close_actions = closing  # type: ignore[method-assign]  # pyright: ignore[reportPrivateUsage]


def arm(point: str, nth: int) -> None:
    """Put one fault point in place."""
    writing = functools.partial(setattr, appending, "write_locked")
    match point:
        case "append: half a frame":
            writing(at_nth(point, nth * 400, files.write_locked, half=True))
        case "append: frame written":
            writing(at_nth(point, nth * 400, files.write_locked, after=True))
        case "rotation: before the name":
            on_name(point, nth)
        case "rotation: after the name":
            on_name(point, nth, after=True)
        case "cursors: before the replacement":
            on_path(point, nth, "replace", lambda path: is_named(path, "cursors.new"))
        case "cursors: after the replacement":
            on_path(point, nth, "replace", lambda path: is_named(path, "cursors.new"), after=True)
        case "adoption: half a closing frame":
            while_closing(at_nth(point, 1, files.append, half=True))
        case "adoption: actions closed":
            while_closing(at_nth(point, 1 + nth % 3, files.append, after=True))
        case "adoption: folder claimed":
            claim = Folder.claim

            def claim_and_die(path: Path) -> Folder | None:
                folder = claim(path)
                return None if folder is None else die(point)

            Folder.claim = claim_and_die  # type: ignore[method-assign, assignment]
        case "adoption: folder half removed":
            on_path(point, 1, "unlink", in_adopted_folder, after=True)
        case _:
            raise ValueError(point)


POINTS = (
    "append: half a frame", "append: frame written", "rotation: before the name", "rotation: after the name",
    "cursors: before the replacement", "cursors: after the replacement", "adoption: half a closing frame",
    "adoption: actions closed", "adoption: folder claimed", "adoption: folder half removed",
)  # fmt: skip


def work(number: int, pause_s: float) -> None:
    step = 0
    while True:
        with feedback.action(
            "step", agent=f"agent-{number}", run_id=f"{os.getpid()}-{number}", metadata={"step": step}
        ) as act:
            os.write(1, f"S {act.event_id}\n".encode())
            if pause_s:
                time.sleep(pause_s)
        os.write(1, f"R {act.event_id}\n".encode())
        step += 1


def main() -> None:
    given = json.loads(sys.argv[1])
    disk.DiskLimits = functools.partial(disk.DiskLimits, segment_bytes=SEGMENT_BYTES, tail_bytes=TAIL_BYTES)  # type: ignore[assignment, misc]
    if given["point"]:
        arm(given["point"], given["nth"])
    feedback.configure(
        kafka_bootstrap_servers=given["servers"],
        kafka_compression="none",
        kafka_linger_ms=given["linger_ms"],
        enable_outcome_logging=False,
        enable_otlp=False,
        journal_dir=given["journal_dir"],
        journal_rescan_s=0.2,
        service_name="killed",
    )
    for number in range(THREADS):
        threading.Thread(target=work, args=(number, given["pause_s"]), daemon=True).start()
    time.sleep(60)


if __name__ == "__main__":
    main()
