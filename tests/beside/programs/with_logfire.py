# pyright: basic, reportMissingImports=false
import os

import logfire
from calls import ask

import otel_feedback as feedback
from otel_feedback import OutcomeSpanProcessor

server, order = os.environ["MODEL_SERVER"], os.environ["ORDER"]
# said outright, because Logfire sends nothing where it sees that pytest runs
offline = {
    "send_to_logfire": True, "token": "none", "console": False, "advanced": logfire.AdvancedOptions(base_url=server),
}  # fmt: skip
if order == "vendor first":
    logfire.configure(**offline)
    feedback.configure()
else:
    if order == "vendor last":
        feedback.configure()
    logfire.configure(**offline, additional_span_processors=[OutcomeSpanProcessor()])
logfire.instrument_openai()
ask()
logfire.force_flush()
