"""What a mule of uWSGI runs, beside an application that its master has loaded: it acts, and lives on."""

import time

import otel_feedback as feedback

with feedback.action("mule"):
    pass
while True:
    time.sleep(3600)
