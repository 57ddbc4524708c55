"""What vendors' processors and exporters make of an action's span: the same, wherever the span comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.beside.running import PROGRAMS, run
from tests.conformance.wire.compare import Normal, decode
from tests.model.server import ModelServer

PROCESS = frozenset({"process.pid", "thread.id", "process.runtime.description", "service.instance.id"})
"""Attributes that say which process it was."""

VENDORS = ("logfire", "langfuse", "phoenix", "openinference", "traceloop")
PENDING = {"key": "logfire.span_type", "value": {"string_value": "pending_span"}, "key_strindex": 0}
"""On what Logfire sends of a span that is still open, where it stays open for long enough."""
ACTIONS = {"plan planner", "tool searcher", "renamed"}


def without_process(value: Any) -> Any:
    """Return a decoded request without the attributes that differ between processes."""
    if isinstance(value, dict):
        return {key: without_process(one) for key, one in value.items()}
    if isinstance(value, list):
        return [without_process(one) for one in value if not (isinstance(one, dict) and one.get("key") in PROCESS)]
    return value


def exported(server: ModelServer) -> list[list[Any]]:
    """Return all spans that have come, each with its scope and its resource, in the order in which they began."""
    rows = [
        [span, scope["scope"], scope["schema_url"], resource["resource"], resource["schema_url"]]
        for path, body in server.vendor_requests
        if path.endswith("/traces")
        for resource in decode(body)
        for scope in resource["scope_spans"]
        for span in scope["spans"]
    ]
    rows = [row for row in rows if PENDING not in row[0]["attributes"]]
    return sorted(rows, key=lambda row: (int(row[0]["start_time_unix_nano"]), int(row[0]["end_time_unix_nano"])))


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_vendor_gets_the_same_spans(vendor: str, vendors: Path, server: ModelServer, tmp_path: Path) -> None:
    got: dict[str, Any] = {}
    events: dict[str, Any] = {}
    for way in ("sdk", "patched"):
        server.forget()
        normal = Normal()
        ran = run(
            vendors, [str(PROGRAMS / "same_spans.py"), vendor, way], tmp_path / f"{way}.jsonl", hook=False,
            MODEL_SERVER=server.url, TRACELOOP_TELEMETRY="false",
        )  # fmt: skip
        assert (ran.code, "Traceback" in ran.err) == (0, False), ran.err
        rows = exported(server)
        assert {row[0]["name"] for row in rows} >= ACTIONS
        got[way] = normal(without_process(rows))
        events[way] = normal(ran.events)
    assert got["sdk"] == got["patched"]
    assert events["sdk"] == events["patched"]
    assert len(events["sdk"]) >= 3
