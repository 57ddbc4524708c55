"""Messages that the page shows are those that the program writes."""

from __future__ import annotations

import ast
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support import ROOT

_CELL = re.compile(r"^\| `(?P<message>[^`]+)`", re.MULTILINE)
_FEWEST_WORDS = 3
"""Shorter ones are names."""


def messages() -> list[str]:
    page = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
    return [message for message in _CELL.findall(page) if len(message.split()) >= _FEWEST_WORDS]


@cache
def written() -> str:
    """Return every text in the code of this package and of OpenTelemetry's, strings that stand side by side as one."""
    places = [ROOT / "otel_feedback"]
    for module in ("opentelemetry.trace", "opentelemetry.exporter.otlp.proto.grpc"):
        spec = find_spec(module)
        assert spec is not None
        places.append(Path(str(spec.origin)).parent)
    found = [
        re.sub(r"%[sd]|%\.2f", "", node.value)
        for place in places
        for path in place.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return "\n".join(found)


def test_there_are_some() -> None:
    assert len(messages()) >= 8


@pytest.mark.parametrize("message", messages())
def test_a_message_is_written_somewhere(message: str) -> None:
    for part in re.split(r"…|;|http://localhost:4318", message):
        assert part.strip(" ;?") in written(), part
