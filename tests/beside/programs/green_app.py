# pyright: basic, reportMissingImports=false
"""An application for gunicorn, loaded before the workers are forked, and before they are patched."""

import os

import otel_feedback as feedback

feedback.configure()
if os.environ.get("ACTS_AT_LOAD"):
    with feedback.action("load"):
        pass


def application(environ, start_response):
    with feedback.action("request"):
        start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"done"]
