"""`python -m tools.captures FOLDER FILE`: write the recorded runs of `tests/replay` anew, `captures` or `more`.

FOLDER holds `captures/*.jsonl`, a span a line, and `truth.json`. Of each run is kept what a processor could see. Left out
are machines and processes, which thread and task it was, and all but the end of stack traces.
"""

from __future__ import annotations

import json
import lzma
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from tests.replay import captures
from tests.replay.captures import Row, Run, Truth

__all__ = ["main"]

MAX_STACK = 1_000
_STACK = "exception.stacktrace"


def _row(line: str) -> Row:
    given: dict[str, Any] = json.loads(line)
    given["resource"] = {"service.name": given["resource"]["service.name"]}
    for event in given["events"]:
        attributes = event.get("attributes") or {}
        if _STACK in attributes:
            attributes[_STACK] = attributes[_STACK][-MAX_STACK:]
    return msgspec.convert(given, Row)


def _runs(folder: Path) -> Iterable[Run]:
    for told in json.loads((folder / "truth.json").read_text(encoding="utf-8")):
        path = folder / "captures" / told["file"]
        rows = tuple(_row(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
        truth = msgspec.convert({name: value for name, value in told["run"].items() if value is not None}, Truth)
        yield Run(path.stem, told["what_happened"], not told.get("uncertain"), truth, rows)


def main(arguments: list[str]) -> int:
    if len(arguments) != 2:
        print(__doc__)
        return 2
    runs = list(_runs(Path(arguments[0])))
    file = captures.FILES[0].with_name(f"{arguments[1]}.jsonl.xz")
    file.write_bytes(lzma.compress(msgspec.json.Encoder().encode_lines(runs), preset=9 | lzma.PRESET_EXTREME))
    print(f"{file}: {len(runs)} runs, {file.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
