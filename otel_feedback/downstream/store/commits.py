"""What a store is, and the one way in which that changes: files that were made, then the manifest, then files that may go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from otel_feedback.downstream.store import manifest as manifests
from otel_feedback.downstream.store.folder import EVENTS, StoreFolder
from otel_feedback.downstream.store.manifest import DataFile, Manifest

__all__ = ["Commits", "added", "changed", "of_table"]


class Commits:
    """The manifest as it was committed last. For the writer's thread; `manifest` may be read on any.

    Args:
        folder: The store, whose lock is held.
    """

    def __init__(self, folder: StoreFolder) -> None:
        self.folder = folder
        self.manifest = manifests.load(folder)
        """A value: whoever changes it makes another."""

    def exchange(self, new: Manifest, made: Sequence[DataFile], gone: Sequence[DataFile]) -> None:
        """Commit; where that cannot be, what was made for it goes.

        Raises:
            OSError: It cannot be; the old one stands.
        """
        try:
            manifests.save(self.folder, new)
        except OSError:
            self.discard(made)
            raise
        self.manifest = new
        self.folder.retire([file.path for file in gone])

    def discard(self, made: Sequence[DataFile]) -> None:
        """Delete files that no manifest has named."""
        for file in made:
            (self.folder.path / file.path).unlink(missing_ok=True)


def changed(old: Manifest, gone: Sequence[DataFile], made: Sequence[DataFile]) -> Manifest:
    """Return a manifest without some files, and with others."""
    names = {file.path for file in gone}
    files = [file for file in (*old.files, *old.notices, *made) if file.path not in names]
    return msgspec.structs.replace(
        old,
        files=[file for file in files if file.table == EVENTS],
        notices=[file for file in files if file.table != EVENTS],
    )


def of_table(files: Sequence[DataFile], table: str) -> list[DataFile]:
    """Return those of a table."""
    return [file for file in files if file.table == table]


def added(counts: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    """Return the sums of two counts by name."""
    return {name: counts.get(name, 0) + more.get(name, 0) for name in {**counts, **more}}
