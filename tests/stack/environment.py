"""The variables by which a developer points the tests at services that run already.

Together they fit the services of docker-compose.yml.
"""

from __future__ import annotations

import os
from urllib.parse import urlsplit

KAFKA = "KAFKA_BOOTSTRAP_SERVERS"
COLLECTOR = "OTEL_FEEDBACK_TEST_COLLECTOR_ENDPOINT"
JAEGER = "OTEL_FEEDBACK_TEST_JAEGER_URL"
REGISTRY = "OTEL_FEEDBACK_TEST_REGISTRY_URL"
PROMETHEUS = "OTEL_FEEDBACK_TEST_PROMETHEUS_URL"


def given(variable: str) -> str | None:
    """Return the variable's value, or None where it is unset or empty."""
    return os.environ.get(variable, "").strip() or None


def is_ci() -> bool:
    """Whether a missing service is a failure, because nobody would notice a skip."""
    return os.environ.get("CI", "").lower() == "true"


def on_same_host(url: str, port: int) -> str:
    """Return the base URL of another port on the host that `url` names."""
    host = urlsplit(url if "://" in url else f"http://{url}").hostname or "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
