"""The doctor's look at Jaeger: does its query API answer, and has it seen this service?"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import requests

from otel_feedback.cli.doctor.findings import Finding, State
from otel_feedback.cli.network import CONNECT_S, REQUEST_S, UnreachableError, reach, within
from otel_feedback.settings.settings import Settings

__all__ = ["check_jaeger"]

DEFAULT_URL = "http://localhost:16686"


def check_jaeger(settings: Settings, url: str | None) -> Iterator[Finding]:
    """Say what Jaeger answers; one that nobody asked for, and that is not there, is off."""
    address = (url or DEFAULT_URL).rstrip("/")
    try:
        services = _services(address)
    except UnreachableError as exc:
        if url is None:
            todo = "docker compose up -d, or tell where it is: --jaeger URL"
            yield Finding("Jaeger", State.OFF, str(exc), todo)
        else:
            yield Finding("Jaeger", State.FAILED, str(exc), "start it (docker compose up -d), or correct --jaeger")
        return
    except ValueError as exc:
        state = State.WARNING if url is None else State.FAILED
        yield Finding("Jaeger", state, f"{address}: {exc}", "give the address of Jaeger's query API: --jaeger URL")
        return
    seen = settings.service_name in services
    number = f"{len(services)} service{'' if len(services) == 1 else 's'}"
    known = f"{settings.service_name} is one of them" if seen else f"{settings.service_name} has sent nothing yet"
    yield Finding("Jaeger", State.OK, f"{address} answers, {number}; {known}")


def _services(address: str) -> list[str]:
    """Return the names of all services that have sent a span.

    Raises:
        UnreachableError: Nobody answers.
        ValueError: It is no URL, or somebody answers who is not Jaeger.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("this is no URL such as http://localhost:16686")
    reach(parts.hostname, parts.port or (443 if parts.scheme == "https" else 80), CONNECT_S)
    try:
        response = within(REQUEST_S, lambda: requests.get(f"{address}/api/services", timeout=REQUEST_S))
    except (requests.RequestException, TimeoutError) as exc:
        raise UnreachableError(f"{address} takes connections, but does not answer: {type(exc).__name__}") from exc
    if response.status_code != 200:
        raise ValueError(f"/api/services answers HTTP {response.status_code}")
    try:
        services = response.json()["data"] or []
    except (ValueError, KeyError, TypeError):
        raise ValueError("what answers there is not Jaeger") from None
    return [str(service) for service in services]
