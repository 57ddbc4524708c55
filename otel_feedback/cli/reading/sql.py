"""`otel-feedback sql`: a question of one's own to the events and the views on them."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable, Sequence
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

import duckdb
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from otel_feedback.cli.console import UNKNOWN, failed, number_of, open_console, write
from otel_feedback.cli.reading.source import LOG, TOPIC, answering, opened, source_of, tell, watched
from otel_feedback.cli.slo.place import OBJECTIVES, read_objectives
from otel_feedback.downstream.objectives.counting import COLUMNS
from otel_feedback.downstream.objectives.standings import VIEW, add_view
from otel_feedback.downstream.tables.columns import PIPELINE_COLUMNS
from otel_feedback.downstream.tables.joining import JOINED_BY
from otel_feedback.downstream.tables.selection import Selection
from otel_feedback.downstream.tables.tables import VIEWS, Answer, Tables, columns_of, text_of

__all__ = ["run"]

MOST_ROWS = 200
GAP = 2
JOINED = ("outcomes", "windows", "runs", "feedback")
"""What has something of feedback, which the columns that a query reads do not tell."""
NUMBERS = ("BIGINT", "INTEGER", "HUGEINT", "DOUBLE", "FLOAT", "DECIMAL", "SMALLINT", "TINYINT", "UBIGINT", "UINTEGER")


def run(
    *, source: Sequence[str], bootstrap_servers: str | None, selection: Selection, text: str | None, window_s: int, form: str
) -> int:  # fmt: skip
    """Ask, write the answer, and return the exit code.

    Args:
        source: What `--from` says.
        bootstrap_servers: In place of the setting.
        selection: Which events are in `outcomes`, and in what is made of it.
        text: The query; "-": it is on standard input; None: say what there is.
        window_s: How long a window of the view `windows` is.
        form: "table", "json" or "csv".
    """
    if text == "-":
        text = sys.stdin.read()

    def work() -> int:
        if text is None:
            _write_tables(open_console(), window_s)
            return 0
        asked, query = source_of(source, bootstrap_servers), text
        objectives = read_objectives(None) if _names(VIEW, query) and OBJECTIVES.exists() else ()
        if objectives is None:
            return 1
        now = selection.until or datetime.now(timezone.utc)

        def prepare(tables: Tables) -> None:
            tables.choose(selection.condition())
            if objectives:
                add_view(tables, objectives, now)

        try:
            columns = _columns(query, prepare, window_s) if asked.kind in (LOG, TOPIC) else None
            with opened(asked, selection, columns, window_s) as tables:
                prepare(tables)
                answer = watched(tables, lambda: tables.ask(query))
                tell(tables)
                _write(answer, form)
        except (
            duckdb.ParserException,
            duckdb.BinderException,
            duckdb.CatalogException,
            duckdb.ConversionException,
        ) as exc:
            todo = "`otel-feedback sql` lists tables and columns"
            if _names(VIEW, query) and not objectives:
                todo = f"write {OBJECTIVES} in this directory: there is a view of objectives where there are some"
            failed(_said_by(exc), todo)
            return 1
        return 0

    return answering(work)


def _names(view: str, text: str) -> bool:
    return re.search(rf"\b{view}\b", text, re.IGNORECASE) is not None


def _columns(text: str, prepare: Callable[[Tables], None], window_s: int) -> set[str] | None:
    """Return the columns that a query reads, by DuckDB's own plan for it; None where it does not say."""
    with Tables(None, window_s) as tables:
        tables.make_table()
        prepare(tables)
        # else what cannot have a row, as no table here has, is not in the plan
        tables.connection.execute("SET disabled_optimizers = 'statistics_propagation,empty_result_pullup'")
        try:
            plans = tables.query(f"EXPLAIN (FORMAT json)\n{text}")
        except duckdb.ParserException:  # no query, or several
            return None
    read = columns_of(" ".join(str(plan[-1]) for plan in plans))
    views = [view for view in VIEWS if _names(view, text)]
    if any(_names(name, text) for name in JOINED):
        read |= JOINED_BY
    return read.union(*(columns_of(text_of(view)) for view in views), COLUMNS if _names(VIEW, text) else ())


def _said_by(exc: duckdb.Error) -> str:
    """Return what is wrong with a query, by the lines that it has without ours before it."""
    is_ours = "EXPLAIN" in str(exc) or "LINE 2:" in str(exc)
    return (
        re.sub(r"LINE (\d+):", lambda at: f"LINE {int(at[1]) - is_ours}:", str(exc)).strip()
        if is_ours
        else str(exc).strip()
    )


def _write(answer: Answer, form: str) -> None:
    if form == "json":
        print("[", end="")
        for number, row in enumerate(answer.rows):
            print(
                ",\n " if number else "\n ",
                json.dumps(dict(zip(answer.names, row, strict=True)), default=_said),
                sep="",
                end="",
            )
        print("\n]")
    elif form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(answer.names)
        writer.writerows([_plain(value) for value in row] for row in answer.rows)
    else:
        _write_rows(open_console(), answer)


def _said(value: Any) -> Any:
    if isinstance(value, (datetime, date)):
        return value.isoformat().replace("+00:00", "Z")
    return float(value) if isinstance(value, Decimal) else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, (list, dict)):
        return json.dumps(value, default=_said)
    return _said(value) if isinstance(value, (datetime, date)) else value


def _write_rows(console: Console, answer: Answer) -> None:
    rows = answer.rows
    if not answer.names:
        return
    shown = [[_cell(value) for value in row] for row in rows[:MOST_ROWS]]
    widths = [max(map(len, column)) for column in zip(answer.names, *shown, strict=True)]
    if sum(widths) + GAP * (len(widths) - 1) <= console.width:
        table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
        for name, kind in zip(answer.names, answer.kinds, strict=True):
            is_number = kind.startswith(NUMBERS) and "[" not in kind
            table.add_column(Text(name), justify="right" if is_number else "left", no_wrap=True)
        for row in shown:
            table.add_row(*map(Text, row))
        write(console, table)
    else:  # one value a line, each row a block
        for row in shown:
            block = Table.grid(padding=(0, GAP, 0, 0))
            block.add_column(style="bold", no_wrap=True)
            block.add_column(overflow="fold")
            for name, value in zip(answer.names, row, strict=True):
                block.add_row(Text(name), Text(value))
            write(console, block, "")
    more = f"; the first {MOST_ROWS} are shown: --csv and --json have all" if len(rows) > MOST_ROWS else ""
    write(console, Text(f"{number_of(len(rows), 'row')}{more}", "dim"))


def _cell(value: Any) -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, float):
        return f"{value:,.6f}".rstrip("0").rstrip(".")
    return str(_plain(value))


def _write_tables(console: Console, window_s: int) -> None:
    with Tables(None, window_s) as tables:
        tables.make_table()
        objectives = read_objectives(None) if OBJECTIVES.exists() else None
        if objectives is not None:
            add_view(tables, objectives, datetime.now(timezone.utc))
        for name in ("events", *VIEWS, *PIPELINE_COLUMNS, *([VIEW] if objectives is not None else [])):
            columns = ", ".join(row[0] for row in tables.query(f"DESCRIBE {name}"))
            said = "those of events" if name == "outcomes" else columns
            where = " (of a store only)" if name in PIPELINE_COLUMNS else ""
            write(console, Text(name, "bold").append(where, "none"), Padding(Text(said), (0, 0, 0, 2)))
    write(console, Text('\notel-feedback sql "SELECT * FROM runs ORDER BY cost DESC LIMIT 5"', "dim"))
