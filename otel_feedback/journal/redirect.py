"""Another destination for what a dead process left: for example Kafka under its new address."""

from __future__ import annotations

from msgspec.structs import replace

from otel_feedback.journal.adopted import Newest, believed
from otel_feedback.journal.folder import Folder
from otel_feedback.journal.segments import list_segments
from otel_feedback.journal.state import load_state, save_state

__all__ = ["redirect"]


def redirect(folder: Folder, exporter: str, old: str, new: str, address: str = "") -> bool:
    """Make a cursor of a claimed journal that of another destination; its place and its account stay.

    Args:
        address: Where the new one is looked for, where that is not its name.

    Returns:
        False when nothing was changed: there is no such cursor, or one of the new destination, too.

    Raises:
        OSError: The journal cannot be read, or the change not be written; then all is as before.
    """
    segments = list_segments(folder.path)
    newest = Newest.read(segments[-1]) if segments else Newest()
    state = believed(load_state(folder.path), newest.state)
    if state is None:
        return False
    named = [(cursor.exporter, cursor.destination) for cursor in state.cursors]
    if (exporter, old) not in named or (exporter, new) in named:
        return False
    cursors = [
        replace(cursor, destination=new, address=address) if name == (exporter, old) else cursor
        for name, cursor in zip(named, state.cursors, strict=True)
    ]
    # the newest segment tells the old destination for ever, so this must have been saved later
    save_state(folder.path, replace(state, saved=state.saved + 1, cursors=cursors))
    return True
