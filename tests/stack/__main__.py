"""`python -m tests.stack`: start everything, print where it is, run until Ctrl-C.

With `--build` only fill the cache with what the tests would otherwise build when first needed.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading

from tests.stack import builds, progress
from tests.stack.cache import cache_root
from tests.stack.collector import Collector
from tests.stack.environment import KAFKA
from tests.stack.errors import StackError
from tests.stack.jaeger import Jaeger
from tests.stack.kafka import KafkaBroker
from tests.stack.otlp_sink import OtlpSink
from tests.stack.prometheus import Prometheus
from tests.stack.registry import Registry


def _run() -> None:
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(KafkaBroker.launch())
        jaeger = stack.enter_context(Jaeger.launch())
        sink = stack.enter_context(OtlpSink.launch())
        collector = stack.enter_context(
            Collector.launch(jaeger_otlp_endpoint=jaeger.otlp_grpc_endpoint, logs_endpoint=sink.http_endpoint)
        )
        prometheus = stack.enter_context(Prometheus.launch(collector))
        registry = stack.enter_context(Registry.launch())
        rows = [
            ("Kafka", broker.bootstrap_servers),
            ("Schema registry", registry.url),
            ("Collector, OTLP/gRPC", collector.grpc_endpoint),
            ("Collector, OTLP/HTTP", collector.http_endpoint),
            ("Collector, Prometheus", collector.prometheus_url),
            ("Collector, health", collector.health_url),
            ("Jaeger, query API", jaeger.query_url),
            ("Jaeger, OTLP/gRPC", jaeger.otlp_grpc_endpoint),
            ("Prometheus", prometheus.url),
            ("OTLP sink for logs", sink.http_endpoint),
        ]
        for name, address in rows:
            sys.stdout.write(f"{name:<22} {address}\n")
        sys.stdout.write(f"\nexport {KAFKA}={broker.bootstrap_servers}\n")
        if collector.is_own:
            sys.stdout.write(f"export OTEL_EXPORTER_OTLP_ENDPOINT={collector.http_endpoint}\n")
        sys.stdout.write(f"export OTEL_FEEDBACK_UI_JAEGER={jaeger.query_url}\n")
        sys.stdout.write("\nRunning until Ctrl-C.\n")
        sys.stdout.flush()
        _wait_for_signal()
        progress.say("stopping")


def _wait_for_signal() -> None:
    is_over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: is_over.set())
    is_over.wait()


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.stack", description=__doc__)
    parser.add_argument("--build", action="store_true", help="only build, and keep the result")
    try:
        if parser.parse_args().build:
            builds.build_all()
            progress.say(f"all is built, in {cache_root()}")
        else:
            _run()
    except StackError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
