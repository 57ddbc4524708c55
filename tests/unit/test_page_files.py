"""The page's files: how much a browser loads, that all of it is there and used, and that nothing of others' becomes markup."""

from __future__ import annotations

import re
from pathlib import Path

import otel_feedback

PAGE = Path(otel_feedback.__file__).parent / "downstream" / "ui" / "page"
MOST_BYTES = 250_000


def _loaded() -> set[Path]:
    """Return what `index.html` leads to."""
    found, waiting = {PAGE / "index.html"}, [PAGE / "index.html"]
    while waiting:
        file = waiting.pop()
        text = file.read_text("utf-8")
        names = [PAGE / name for name in re.findall(r"/static/([\w./-]+)", text)]
        names += [(file.parent / name).resolve() for name in re.findall(r'from "(\.[^"]+)"', text)]
        new = set(names) - found
        found |= new
        waiting += [name for name in new if "vendor" not in name.parts]
    return found


def test_a_browser_loads_at_most_250_kb_and_all_of_it_is_there() -> None:
    assert sum(file.stat().st_size for file in _loaded()) <= MOST_BYTES


def test_no_file_lies_there_unused() -> None:
    there = {file for file in PAGE.rglob("*") if file.is_file() and file.name != "LICENSE"}
    assert there == _loaded()


def test_nothing_becomes_markup_and_no_third_party_is_named() -> None:
    for file in _loaded():
        text = (
            file.read_text("utf-8")
            .replace("http://www.w3.org/2000/svg", "")
            .replace("https://github.com/leeoniya/uPlot", "")
        )
        assert not re.search(
            r"(inner|outer)HTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser", text
        ), file
        assert not re.search(r"https?://", text), file
        if file.suffix == ".html":
            assert not re.search(r"<style|<script>| style=| on\w+=", text), file


def test_the_licence_of_what_is_not_ours_is_beside_it() -> None:
    folder = PAGE / "vendor" / "uplot"
    assert "MIT License" in (folder / "LICENSE").read_text("utf-8")
    assert "(v1.6.32)" in (folder / "uPlot.iife.min.js").read_text("utf-8")[:80]
