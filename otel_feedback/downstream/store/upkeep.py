"""The store kept in order: rows that rules erase, days that are too old, files that are joined, files that cannot be read.

Each is one commit. For the writer's thread, between its batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from otel_feedback.downstream.store.commits import Commits, added, changed, of_table
from otel_feedback.downstream.store.erasures import Rule
from otel_feedback.downstream.store.folder import EVENTS, FEEDBACK
from otel_feedback.downstream.store.keeping import Limits, doomed, to_join, unsorted
from otel_feedback.downstream.store.manifest import NEWEST, DataFile
from otel_feedback.downstream.store.rollups import current, due

__all__ = ["Upkeep"]


class Upkeep:
    """Looks after the files.

    Args:
        commits: The manifest.
        limits: What is kept.
        say: Told, on the thread here, what was found, by kind.
        is_given_up: Tells that it is to end.
        is_asked_for: Tells that there is a batch to write, which comes first.
    """

    def __init__(
        self,
        commits: Commits,
        limits: Limits,
        say: Callable[[str, str], None],
        is_given_up: Callable[[], bool],
        is_asked_for: Callable[[], bool],
    ) -> None:
        self._commits = commits
        self._folder = commits.folder
        self._limits = limits
        self._say = say
        self._is_given_up = is_given_up
        self._is_asked_for = is_asked_for

    def erase(self, files: Any, rules: Sequence[Rule]) -> None:
        """Take out of the files what the new ones of these rules are about.

        Raises:
            OSError, duckdb.Error: The disk does not take it, or does not give a file.
        """

        def read() -> list[DataFile]:
            manifest = self._commits.manifest
            return [*manifest.files, *of_table(manifest.notices, FEEDBACK)]

        while not self._mending(files, lambda: self._erase(files, rules), read):
            pass

    def keep(self, files: Any, *, is_quiet: bool = False) -> None:
        """Delete what is too old or too much, join small files, and delete what nobody reads any more.

        Args:
            files: What makes them.
            is_quiet: Nothing comes just now: sort out also what would wait for more.

        Raises:
            OSError, duckdb.Error: The disk does not take it, or does not give a file.
        """
        self._let_go()
        while not self._is_given_up():
            manifest = self._commits.manifest
            group = to_join([*manifest.files, *manifest.notices])
            if not group and is_quiet:
                group = unsorted(manifest.files)
            newest = [file for file in manifest.files if file.holds == NEWEST]
            if not group:
                break
            self._mending(
                files, lambda group=group, newest=newest: self._join(files, group, newest),
                lambda group=group, newest=newest: dict.fromkeys([*group, *newest]),
            )  # fmt: skip
            if self._is_asked_for():
                break
        self._folder.sweep(self._commits.manifest.named)

    def sum_up(self, files: Any) -> None:
        """Write the sums of days that are over.

        Args:
            files: What makes them.

        Raises:
            OSError, duckdb.Error: The disk does not take it, or does not give a file.
        """
        while not self._is_asked_for() and not self._is_given_up():
            day = due(self._commits.manifest)
            if day is None:
                return
            self._commits.exchange(files.with_sums(self._commits.manifest, day), [], [])

    def _erase(self, files: Any, rules: Sequence[Rule]) -> None:
        old = self._commits.manifest
        fresh = [rule for rule in rules if rule.id not in old.erasures]
        made, gone, noted, erased = list[DataFile](), list[DataFile](), list[DataFile](), 0
        # feedback last: what goes of it depends on what went of the events
        for file in (*old.files, *of_table(old.notices, FEEDBACK)):
            if self._is_given_up():
                self._commits.discard([*made, *noted])
                return
            matches = files.count(file, fresh, noted)
            if not matches:
                continue
            erased += matches
            gone.append(file)
            if file.table == EVENTS:
                noted += files.noted(file, fresh)
            other = files.without(file, fresh, noted)
            if other is not None:
                made.append(other)
        made += noted
        counts = added(old.counts, {"erased": erased})
        days = {file.day for file in gone if file.table == EVENTS}
        rollups = [rollup for rollup in old.rollups if rollup.day not in days]
        new = msgspec.structs.replace(
            changed(old, gone, made), counts=counts, erasures=[rule.id for rule in rules], rollups=rollups
        )
        self._commits.exchange(new, made, gone)
        # what they are about may be in files that were joined lately, too: none of them waits for its readers
        named = new.named
        self._folder.sweep(named, all_of=self._folder.data_files() - named)

    def _let_go(self) -> None:
        manifest = self._commits.manifest
        events = doomed(manifest.files, self._limits)
        gone = [*events, *doomed(manifest.notices, self._limits._replace(max_bytes=None))]
        left = manifest.files if not events else [file for file in manifest.files if file not in events]
        if events and left:  # what was said before the first of those that are left is about none of them
            first = min(file.day for file in left)
            gone += [file for file in of_table(manifest.notices, FEEDBACK) if file.day < first and file not in gone]
        if gone:
            self._remove(gone, "expired")

    def _remove(self, gone: Sequence[DataFile], why: str) -> None:
        """Commit without these files, count their rows, and delete them."""
        old = self._commits.manifest
        counts = added(old.counts, {why: sum(file.rows for file in gone if file.table == EVENTS)})
        new = msgspec.structs.replace(changed(old, gone, []), counts=counts)
        new = msgspec.structs.replace(new, rollups=current(new))  # of what is gone there are no sums either
        self._commits.exchange(new, [], gone)
        self._folder.sweep(new.named, all_of=old.named - new.named)

    def _join(self, files: Any, group: Sequence[DataFile], newest: Sequence[DataFile]) -> None:
        made = files.join(group, newest)
        self._commits.exchange(changed(self._commits.manifest, group, made), made, group)

    # -- files that cannot be read ---------------------------------------------------------------------------------

    def _mending(self, files: Any, attempt: Callable[[], None], read: Callable[[], Iterable[DataFile]]) -> bool:
        """Attempt; False where a file that it reads cannot be read, and is set aside: then it may be attempted again."""
        from duckdb import Error

        try:
            attempt()
        except Error:
            harmed = {file: why for file in read() if (why := files.harm_of(file)) is not None}
            if not harmed:
                raise
            for file in harmed:
                self._folder.set_aside(file.path)
            self._remove(list(harmed), "damaged")
            for file, why in harmed.items():
                self._say(
                    f"damaged {file.path}",
                    f"{self._folder.path / file.path} cannot be read ({why}), and is in quarantine/ from now on; its "
                    f"{file.rows:,} rows are missing, and --rebuild has what the topic still has of them",
                )
            return False
        return True
