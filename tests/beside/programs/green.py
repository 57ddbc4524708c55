# pyright: basic, reportMissingImports=false, reportMissingModuleSource=false
"""A hundred actions in green threads: `green.py gevent|eventlet first|last|late`, by when the process is patched."""

import sys
import time

library, order = sys.argv[1:]


def patch():
    if library == "gevent":
        from gevent import monkey

        monkey.patch_all()
    else:
        import eventlet

        eventlet.monkey_patch()


def run_all(jobs):
    if library == "gevent":
        import gevent

        gevent.joinall([gevent.spawn(*job) for job in jobs], raise_error=True)
    else:
        import eventlet

        pool = eventlet.GreenPool()
        for job in jobs:
            pool.spawn_n(*job)
        pool.waitall()


def work(number):
    for step in range(10):
        with feedback.action("task", metadata={"number": 10 * number + step}):
            time.sleep(0.01)


if order == "first":
    patch()
import otel_feedback as feedback  # noqa: E402

pipeline = feedback.configure()
if order == "late":
    with feedback.action("early"):
        pass
if order != "first":
    patch()
run_all([(work, number) for number in range(10)])
until = time.monotonic() + 60
while any(account["pending"] for account in pipeline.metrics()["exporters"].values()) and time.monotonic() < until:
    time.sleep(0.05)  # they arrive by themselves, while the program goes on
print("pending", sum(account["pending"] for account in pipeline.metrics()["exporters"].values()))
assert pipeline.shutdown(30)
