# pyright: basic, reportMissingImports=false
import os

from calls import ask
from traceloop.sdk import Traceloop

import otel_feedback as feedback

server, order = os.environ["MODEL_SERVER"], os.environ["ORDER"]
if order == "vendor last":
    feedback.configure()
Traceloop.init(app_name="agents", api_endpoint=server, api_key="none", disable_batch=True)
if order == "vendor first":
    feedback.configure()
ask()
