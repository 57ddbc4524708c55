"""What one request may see of a mirror: a cursor in which `hot`, `past`, `kinds`, `days` are views, of everything or of a tenant.

Queries name nothing else, so that whose rows they see is decided here and nowhere else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb

from otel_feedback.downstream.store.folder import FEEDBACK
from otel_feedback.downstream.tables.joining import make_joined
from otel_feedback.downstream.tables.selection import SAID, WORDS
from otel_feedback.downstream.tables.stored import feedback_rows, rows_of
from otel_feedback.downstream.tables.tables import QUIET, answer_of, quoted, text_of
from otel_feedback.errors import FeedbackError

if TYPE_CHECKING:
    from otel_feedback.downstream.ui.mirror import Mirror

__all__ = ["Reader"]

Opened = TypeVar("Opened")

TRIES = 5
AGAIN_S = 0.25
"""As often the mirror looks at the manifest."""


class Reader:
    """A cursor of one request, in which there is what its asker may see. For one thread."""

    def __init__(self, mirror: Mirror, tenant: str | None) -> None:
        self.mirror = mirror
        self.tenant = tenant
        self._choices = 0
        self.cursor = mirror.connection.cursor()
        self.cursor.execute(QUIET)
        self._whose = "true" if tenant is None else f"tenant_id = {quoted(tenant)}"
        for name in ("kinds", "days"):
            self.cursor.execute(f"CREATE TEMP VIEW {name} AS SELECT * FROM kept.{name} WHERE {self._whose}")
        for name in ("hot", "past"):
            self.cursor.execute(
                f"CREATE TEMP VIEW {name} AS SELECT h.*, k.* EXCLUDE (kind), h.rowid AS place"
                f" FROM kept.{name} AS h JOIN kinds AS k ON h.kind = k.kind"
            )

    def rows(self, text: str, given: Sequence[object] = ()) -> list[dict[str, object]]:
        """Return the rows of a query by column."""
        answer = self.cursor.execute(text, list(given))
        names = [each[0] for each in answer.description or []]
        return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]

    def query(self, text: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query, as `Tables.query` does."""
        return answer_of(self.cursor, text, parameters).rows

    def hours(self, days: Sequence[str]) -> str:
        """Return what to select from: the sums by the hour of these days, of those that there are.

        Raises:
            FeedbackError: A file cannot be read.
        """

        def opened() -> str:
            there = self.mirror.days.hours
            files = ", ".join(quoted(str(there[day])) for day in days if day in there)
            if not files:
                return "(SELECT * EXCLUDE (day) FROM days LIMIT 0)"
            text = f"(SELECT * FROM read_parquet([{files}], hive_partitioning = false) WHERE {self._whose})"
            self.cursor.execute(f"DESCRIBE {text}")
            return text

        return self._insist(opened)

    def open_stored(self, since: datetime | None = None, until: datetime | None = None, only: str = "true") -> None:
        """Make `events` and `outcomes` what the store's files have, of those that may be of this time.

        Args:
            since: From when on.
            until: Up to when.
            only: A condition of SQL on columns that no revision changes.

        Raises:
            FeedbackError: A file cannot be read.
        """

        def opened() -> None:
            files = [
                self.mirror.folder.path / file.path
                for file in self.mirror.manifest.files
                if (since is None or file.last >= since) and (until is None or file.first <= until)
            ]
            text = rows_of(self.cursor, files)
            self.cursor.execute(
                f"CREATE OR REPLACE TEMP VIEW events AS SELECT *, {WORDS} AS words, {SAID} AS said FROM ({text})"
                f" WHERE {self._whose} AND {only}"
            )

        self._insist(opened)
        self.cursor.execute(f"CREATE OR REPLACE TEMP VIEW outcomes AS {text_of('outcomes')}")

    @property
    def has_feedback(self) -> bool:
        """Whether the store has any, of whatever."""
        return any(file.table == FEEDBACK for file in self.mirror.manifest.notices)

    def open_feedback(self) -> None:
        """Make `feedback` what was said of `outcomes`, as `open_stored` has made these, and give them score and count of it.

        Raises:
            FeedbackError: A file cannot be read.
        """

        def opened() -> None:
            files = [file.path for file in self.mirror.manifest.notices if file.table == FEEDBACK]
            text = None
            if files:
                text = feedback_rows(self.cursor, [self.mirror.folder.path / path for path in files])
                self.cursor.execute(f"DESCRIBE {text}")
            self.cursor.execute(f"CREATE OR REPLACE TEMP VIEW every_outcome AS {text_of('outcomes')}")
            whose = "" if self.tenant is None else " WHERE counts_for IS NOT NULL"  # outcomes are the tenant's alone
            make_joined(self.cursor, text, f"SELECT * FROM ({text_of('feedback')}){whose}", kind="TEMP VIEW")

        self._insist(opened)

    def keep(self, *views: str) -> None:
        """Have what views say now in memory, for who asks several times."""
        for name in views:
            self.cursor.execute(f"CREATE OR REPLACE TEMP TABLE {name}_kept AS FROM {name}")
            self.cursor.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS FROM {name}_kept")

    def choose(self, condition: str) -> None:
        """Leave in `outcomes`, after `open_stored` and `open_feedback`, those for which a condition holds."""
        self._choices += 1
        of = f"outcomes_{self._choices}"
        self.cursor.execute(f"ALTER VIEW outcomes RENAME TO {of}")
        self.cursor.execute(f"CREATE TEMP VIEW outcomes AS SELECT * FROM {of} WHERE {condition}")

    def _insist(self, opened: Callable[[], Opened]) -> Opened:
        """Open files again where one was made into another meanwhile, which the mirror sees in a moment."""
        for tried in range(1, TRIES + 1):
            try:
                return opened()
            except duckdb.IOException as exc:
                if tried == TRIES:
                    raise FeedbackError(f"the store cannot be read: {str(exc).partition(chr(10))[0]}") from exc
                time.sleep(AGAIN_S)
        raise AssertionError
