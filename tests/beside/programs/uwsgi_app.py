# pyright: basic, reportMissingImports=false
"""An application that acts while it is loaded, in uWSGI's master, and in each request. It answers with the worker's number."""

import os

import otel_feedback as feedback

pipeline = feedback.configure()
for number in range(int(os.environ.get("ACTIONS_AT_LOAD", "0"))):
    with feedback.action("load", metadata={"number": number}):
        pass


def application(environ, start_response):
    with feedback.action("request", metadata={"pid": os.getpid()}):
        start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {pipeline.producer_id} {pipeline.metrics()['journal']['kind']}".encode()]
