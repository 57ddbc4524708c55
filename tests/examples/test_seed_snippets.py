"""The snippets in `seed_snippets.md`, which were promised before there was a product: they run as they stand.

Only their import lines are changed, `from core.… import x` to `from otel_feedback import x`; what they leave to the reader
(agents, what sends an alert) is defined around them.
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.examples.blocks import blocks_of, is_printed
from tests.support import run_python

SNIPPETS = blocks_of(Path(__file__).with_name("seed_snippets.md"))

AROUND = '''
import ast, asyncio, inspect

class ReactAgent:
    name = "react_agent"
    agent_type = "react"

    async def execute(self, input_data, context):
        return {"answer": f"thought about {input_data}", "tokens_used": 100}

class EvaluatorAgent:
    name = "evaluator"

    def execute(self, input_data, context):
        return f"looked at {input_data['answer']}"

class SlowAgent:
    name = "slow_agent"

    def __init__(self, duration_ms=0):
        self.duration_ms = duration_ms

    async def execute(self, input_data, context):
        await asyncio.sleep(self.duration_ms / 1e3)

alerts = []
send_alert = send_pagerduty_alert = alerts.append
agent, input_data, context = ReactAgent(), "a letter", {"user": 7}

async def run_snippet(text):
    """Run it here, where it may await, and keep what it defines."""
    code = compile(text, "seed", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    running = eval(code, globals())
    if inspect.iscoroutine(running):
        await running
'''

SETTINGS = {
    "OTEL_TRACES_EXPORTER": "none",
    "ENABLE_OUTCOME_LOGGING": "false",
    "OTEL_FEEDBACK_SHUTDOWN_TIMEOUT": "0",  # no broker is at the address that the snippets name
}


def snippet(title: str) -> str:
    """Return the text of a snippet with our imports."""
    text = SNIPPETS[title]
    ours = re.sub(r"^from core\.\w+ import", "from otel_feedback import", text, flags=re.MULTILINE)
    return re.sub(r"^from agents\.\w+ import .*\n", "", ours, flags=re.MULTILINE)


def run(before: str, title: str, after: str, text: str | None = None) -> str:
    """Run a snippet with lines before and after it; return what was printed."""
    shown = text or snippet(title)
    program = f"""{AROUND}
async def main():
    await run_snippet({before!r})
    await run_snippet({shown!r})
    await run_snippet({after!r})

asyncio.run(main())
"""
    done = run_python(program, SETTINGS)
    assert done.returncode == 0, done.stderr
    return done.stdout


SHOW_EVENTS = """
from otel_feedback import get_feedback_pipeline
for event in get_feedback_pipeline().get_recent_events():
    print(event.agent_name, event.action_type, event.status, list(event.tags), event.tokens_used)
"""


def test_only_import_lines_are_changed() -> None:
    assert len(SNIPPETS) == 7
    for title, text in SNIPPETS.items():
        kept = [line for line in text.splitlines() if not line.startswith(("from core.", "from agents."))]
        ours = [line for line in snippet(title).splitlines() if not line.startswith("from otel_feedback import")]
        assert ours == kept


def test_basic_agent_dispatch() -> None:
    printed = run("", "Basic agent dispatch", f"print(result['output']['answer'])\n{SHOW_EVENTS}")
    assert is_printed(
        """Status: success
Duration: ….…ms
Event ID: …-…
thought about {'query': 'Analyze customer sentiment'}
react_agent reasoning success ['customer', 'sentiment'] 100""",
        printed,
    ), printed


def test_multi_agent_workflow() -> None:
    printed = run("", "Multi-agent workflow", f"print(result['outputs'][-1]['output'])\n{SHOW_EVENTS}")
    assert printed == (
        "react_agent: success\n"
        "evaluator: success\n"
        "looked at thought about Process compliance report\n"
        "react_agent execute success ['compliance', 'reporting'] 100\n"
        "evaluator execute success ['compliance', 'reporting'] None\n"
        "workflow workflow success ['compliance', 'reporting'] 100\n"
    )


ACTIONS = """
import otel_feedback
otel_feedback.configure()
for number in range(12):
    with otel_feedback.action("guess", agent="react_agent" if number % 2 else "other") as act:
        if number < 3:
            act.fail("wrong")
"""


def test_query_recent_events() -> None:
    printed = run(
        ACTIONS,
        "Query recent events",
        "print(len(recent), len(failures), len(agent_events), {e.agent_name for e in agent_events})",
    )
    assert printed == "10 3 6 {'react_agent'}\n"


def test_custom_monitoring_hooks() -> None:
    """Word for word, and with a fast and a slow agent: the limit in it is 5 s, so the clock is made to run faster."""
    before = """
import time
real = time.perf_counter_ns
time.perf_counter_ns = lambda: real() * 20
from otel_feedback import create_dispatcher
dispatcher = create_dispatcher()
"""
    after = """
await dispatcher.dispatch(agent=SlowAgent(), action_type="x")
await dispatcher.dispatch(agent=SlowAgent(300), action_type="x")
print(alerts, dispatcher.hook_failures)
"""
    printed = run(before, "Custom monitoring hooks", after)
    assert is_printed("['Slow execution: slow_agent took …ms'] {'pre': 0, 'post': 0}", printed), printed


def test_alerting() -> None:
    """It takes OutcomeStatus for granted."""
    before = f"from otel_feedback import OutcomeStatus\n{ACTIONS}"
    assert run(before, "Alerting", "print(alerts)") == "['High error rate: 25.0%']\n"


def test_replace_existing_orchestrator() -> None:
    """Its second half, that is; the first is what there was before."""
    title = "Replace existing orchestrator"
    old, mark, new = snippet(title).partition("# NEW (with outcome tracking)\n")
    assert mark
    assert "Orchestrator(agent_names=" in old
    printed = run("", title, SHOW_EVENTS, text=new)
    assert printed.splitlines() == [
        "react_agent execute success [] 100",
        "evaluator execute success [] None",
        "workflow workflow success [] 100",
    ]


def test_wrap_individual_agent_calls() -> None:
    before = """
class Plain(ReactAgent):
    def execute(self, input_data, context):
        return (input_data, context)

agent = Plain()
"""
    after = f"print(result['output'])\n{SHOW_EVENTS}"
    assert run(before, "Wrap individual agent calls", after) == (
        "('a letter', {'user': 7})\nreact_agent execute success [] None\n"
    )
