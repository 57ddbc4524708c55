# pyright: basic, reportMissingImports=false
import os

import mlflow
from calls import ask
from mlflow.tracing.provider import get_bridged_tracer_provider

import otel_feedback as feedback
from otel_feedback import OutcomeSpanProcessor

order = os.environ["ORDER"]
mlflow.openai.autolog()
if os.environ.get("MLFLOW_USE_DEFAULT_TRACER_PROVIDER") == "false":
    if order == "vendor last":
        feedback.configure()
    mlflow.tracing.enable()
    if order == "vendor first":
        feedback.configure()
elif order == "vendor first":
    feedback.configure(tracer_provider=get_bridged_tracer_provider())
else:
    if order == "vendor last":
        feedback.configure()
    get_bridged_tracer_provider().add_span_processor(OutcomeSpanProcessor())
ask()
