"""The fenced blocks of a Markdown page, with what stands around them.

<!-- needs: kafka -->        a comment right before a block belongs to it
```python
```
```text prints               what the block of Python before it prints; `…` stands for any text
```
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.support import ROOT

__all__ = ["PAGES", "Block", "blocks", "blocks_of", "commands", "is_printed"]

PAGES = sorted({ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")})

_FENCE = re.compile(
    r"^(?:[ ]*<!-- (?P<mark>[^\n]*?) -->\n)?(?P<indent>[ ]*)```(?P<language>\w*)(?P<info>[^\n]*)\n"
    r"(?P<text>.*?)^(?P=indent)```[ ]*$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A fenced block. `mark` is the comment before it, `prints` the output that the page shows for it."""

    page: str
    line: int
    language: str
    mark: str
    text: str
    prints: str | None

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: Path, language: str) -> list[Block]:
    """Return the blocks of one language, in order."""
    found: list[Block] = []
    for match in _FENCE.finditer(page.read_text("utf-8")):
        text = textwrap.dedent(match["text"])
        if match["info"].strip() == "prints":
            last = max(index for index, block in enumerate(found) if block.language == "python")
            found[last] = found[last]._replace(prints=text)
            continue
        line = match.string.count("\n", 0, match.start("text")) + 1
        name = page.relative_to(ROOT).as_posix()
        found.append(Block(name, line, match["language"], match["mark"] or "", text, None))
    return [block for block in found if block.language == language]


def blocks_of(page: Path) -> dict[str, str]:
    """Return the first block under each heading of a page, by the heading."""
    sections = re.findall(r"^## (.+?)$(.*?)(?=^## |\Z)", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return {title: match["text"] for title, body in sections if (match := _FENCE.search(body))}


def commands(page: Path) -> Iterator[tuple[str, str]]:
    """Yield each command of the shell blocks with where it stands: parts of `a && b` one by one."""
    for block in blocks(page, "sh"):
        for number, line in enumerate(block.text.splitlines()):
            for part in line.split("&&"):
                if part.strip() and not part.strip().startswith("#"):
                    yield f"{block.page}:{block.line + number}", part.strip()


def is_printed(expected: str, printed: str) -> bool:
    """Tell whether this was printed; `…` in what is expected stands for any text within a line."""
    pattern = ".*".join(re.escape(part) for part in expected.strip().split("…"))
    return re.fullmatch(pattern, printed.strip()) is not None
