"""The programs in `examples/`: each runs without services, says nothing on stderr, and prints what a person understands."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.examples.blocks import ROOT, is_printed
from tests.support import environment

PROGRAMS = sorted((ROOT / "examples").glob("*.py"))

EXPECTED = {
    "01_context_manager.py": """
As far as I know: nothing new

researcher search: failure, severity error
  error     RateLimitError: HTTP 429, retry after 30 s
  tokens    None
  workflow  wf-1, tags ['customer'], metadata {'engine': 'web', 'query_length': 30}
  inside    …-…
coordinator answer: partial, severity warning
  error     None: None
  tokens    1020
  workflow  wf-1, tags ['customer'], metadata {'status_reason': 'answered without a search'}
  inside    nothing: it is the outermost
""",
    "02_decorator_and_async.py": """
the market, part 1: done
run-7  depth 1  planner      plan      success
run-7  depth 1  researcher   research  success
run-7  depth 1  researcher   research  cancelled
run-7  depth 1  researcher   research  timeout
run-7  depth 0  coordinator  report    partial
""",
    "03_query_recent_events.py": """
react_agent: 5 of 10 failed, ALERT
evaluator: 0 of 10 failed
slowest: react_agent, … ms
recorded: 20
""",
    "04_existing_provider.py": """
spans:  invoke tool, GET /prices, answer coordinator
event:  example-4: researcher tool, success
event:  example-4: coordinator answer, success
""",
}


def test_every_example_has_its_output_here_and_its_line_in_the_list() -> None:
    names = [program.name for program in PROGRAMS]
    assert names == list(EXPECTED)
    listed = (ROOT / "examples" / "README.md").read_text("utf-8")
    assert [name for name in names if f"[{name}]({name})" in listed] == names


@pytest.mark.parametrize("name", EXPECTED)
def test_example(name: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name)],
        env=environment(PYTHONPATH=str(ROOT), PYTHONWARNINGS="error"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert is_printed(EXPECTED[name], done.stdout), done.stdout
