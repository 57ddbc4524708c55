"""Values as YAML, as a person would write it: mappings and lists in blocks, texts in quotes or, of several lines, as they are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

__all__ = ["text_of"]


def text_of(value: Mapping[str, object], comments: Sequence[str] = ()) -> str:
    """Return a document, below these lines of comment."""
    return "".join(f"# {line}".rstrip() + "\n" for line in comments) + "\n".join(_lines(value)) + "\n"


def _lines(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        pairs: Mapping[str, object] = value  # pyright: ignore[reportUnknownVariableType]
        for name, each in pairs.items():
            if _is_block(each):
                yield f"{name}:"
                yield from (f"  {line}" for line in _lines(each))
            else:
                yield from _prefixed(f"{name}: ", each)
    elif isinstance(value, list):
        items: list[object] = value  # pyright: ignore[reportUnknownVariableType]
        for each in items:
            first, *others = _lines(each) if _is_block(each) else _prefixed("", each)
            yield f"- {first}"
            yield from (f"  {line}" for line in others)


def _prefixed(prefix: str, value: object) -> Iterator[str]:
    if isinstance(value, str) and "\n" in value:
        yield f"{prefix}|-"
        yield from (f"  {line}" for line in value.split("\n"))
    else:  # JSON's texts, numbers, true and false are YAML's, too
        yield f"{prefix}{json.dumps(value, ensure_ascii=False)}"


def _is_block(value: object) -> bool:
    return isinstance(value, (Mapping, list)) and bool(value)
