# pyright: basic, reportMissingImports=false
import os

from calls import ask
from phoenix.otel import register

import otel_feedback as feedback
from otel_feedback import OutcomeSpanProcessor

order = os.environ["ORDER"]
if order == "vendor last":
    feedback.configure()
provider = register(endpoint=f"{os.environ['MODEL_SERVER']}/v1/traces", auto_instrument=True, verbose=False)
if order == "vendor first":
    feedback.configure()
else:
    provider.add_span_processor(OutcomeSpanProcessor(), replace_default_processor=False)
ask()
provider.force_flush()
