"""`python -m tests.live [PROGRAM] [--spans]`: a table of frameworks, instrumentors and scenarios, and what is wrong."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tests.live.known import KNOWN
from tests.live.run import Result, cases, run


def _show(result: Result, *, spans: bool) -> None:
    word = "WRONG" if result.wrong else "ok" if not result.known else "ok, as far as is told"
    print(f"{result.program:19}{result.instrumentor:45}{result.scenario:18}{word}", flush=True)
    for difference in result.wrong:
        print(f"    {difference}")
    if spans and result.wrong:
        for span in result.spans:
            print(f"    span {json.dumps(span)}")
        for event in result.events:
            print(f"    event {json.dumps(event)}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.live", description=__doc__)
    parser.add_argument("only", nargs="?", default="", help="a part of the name of a program or an instrumentor")
    parser.add_argument("--spans", action="store_true", help="the spans of what is wrong, too")
    chosen = parser.parse_args()
    selected = [case for case in cases() if any(chosen.only in name for name in case)]
    with tempfile.TemporaryDirectory() as place:
        results = list(_shown(selected, Path(place), spans=chosen.spans))
    if not chosen.only:
        told = [(f"{one.program} {one.instrumentor} {one.scenario}", one.known) for one in results]
        for limit in KNOWN:
            if not any(limit.explains(*one) for one in told):
                print(f"no longer seen: {limit.where}: {limit.why}")
    wrong = sum(bool(result.wrong) for result in results)
    print(f"{len(results)} scenarios, {wrong} wrong")
    return 1 if wrong or not results else 0


def _shown(selected: list[tuple[str, str]], place: Path, *, spans: bool) -> list[Result]:
    results: list[Result] = []
    for result in run(selected, place):
        _show(result, spans=spans)
        results.append(result)
    return results


if __name__ == "__main__":
    sys.exit(main())
