"""Which spans a provider of ours records though its sampler drops them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Decision

from otel_feedback.provider import OutcomeSampler


@pytest.mark.parametrize(
    ("attributes", "decision"),
    [
        (None, Decision.RECORD_ONLY),
        ({}, Decision.RECORD_ONLY),
        ({"gen_ai.operation.name": "chat"}, Decision.RECORD_ONLY),
        ({"http.method": "GET", "gen_ai.operation.name": "chat"}, Decision.RECORD_ONLY),
        ({"http.method": "GET", "url.full": "x", "server.address": "y"}, Decision.DROP),
        ({"db.system": "postgresql"}, Decision.DROP),
        ({"rpc.system": "grpc"}, Decision.DROP),
        ({"messaging.system": "kafka"}, Decision.DROP),
    ],
)
def test_what_the_sampler_drops_is_recorded_unless_it_is_plainly_infrastructure(
    attributes: Mapping[str, str] | None, decision: Decision
) -> None:
    assert OutcomeSampler(ALWAYS_OFF).should_sample(None, 1, "span", attributes=attributes).decision is decision


def test_what_the_sampler_keeps_is_kept() -> None:
    result = OutcomeSampler(ALWAYS_ON).should_sample(None, 1, "span", attributes={"http.method": "GET"})
    assert result.decision is Decision.RECORD_AND_SAMPLE
