"""The programs in `examples/`: each runs without services, says nothing on stderr, and prints what a person understands."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.examples.blocks import is_printed
from tests.support import ROOT, environment

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
    "05_dispatch.py": """
success: ACME is content, event …-…
success in attempt 3: ['a page about Kafka']
failure: ConnectionError, HTTP 503
timeout: took longer than timeout_s=0.1

react_agent reasoning: success, tokens 1020
search search: success, tokens None
search search: failure, tokens None
think_for_long reasoning: timeout, tokens None
""",
    "06_workflow.py": """
sequential: success, 1200 tokens, cost 0.005
  react_agent: success, a draft of 'the report'
  evaluator: success, a draft of 'the report', approved
  event at depth 1: react_agent, tags ['compliance']
  event at depth 1: evaluator, tags ['compliance']
  event at depth 0: workflow, tags ['compliance']
parallel: partial, 1000 tokens, cost 0.004
  react_agent: success, a draft of 'the report'
  evaluator: failure, there is nothing to look at
with a deadline: timeout, 1000 tokens, cost 0.004
  react_agent: success, a draft of 'the report'
  slow_agent: cancelled, CancelledError
""",
    "07_hooks.py": """
quick_agent gets 'a letter'
success, hooks that failed: {'pre': 0, 'post': 1}
slow_agent gets 'a book'
ALERT: slow_agent took longer than 300 ms, status success
quick_agent gets 'a note'
only this once: quick_agent success
""",
    "08_streams.py": """
to the end
left after
to the end
left after
the exception comes out unchanged: no

writer: success, tokens 53, metadata {'words': 3}
writer: partial, tokens None, metadata {'words': 1, 'abandoned': True}
speaker: success, tokens None, metadata {}
speaker: partial, tokens None, metadata {'abandoned': True}
speaker: failure, tokens None, metadata {}
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
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert is_printed(EXPECTED[name], done.stdout), done.stdout
