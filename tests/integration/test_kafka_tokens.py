"""OAUTHBEARER on a real broker that checks signatures, audience and end of tokens: agents, doctor and readers."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import otel_feedback as feedback
from otel_feedback.errors import ConfigError
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from tests.stack import kafka_clients
from tests.stack.kafka_tokens import TokenAuthority, broker_of_tokens
from tests.stack.waiting import wait_until
from tests.support import run_cli

PROVIDER = "tokens_of_the_test:token"


class Listening:
    """Where tokens are taken, by whom they are signed, and the folder of the module that gives them."""

    def __init__(self, plain: str, listener: str, authority: TokenAuthority, folder: Path) -> None:
        self.plain, self.listener, self.authority, self.folder = plain, listener, authority, folder

    def gives(self, *tokens: str, name: str = "token") -> None:
        """Write the module: its function returns these, one after the other, and the last one again and again."""
        code = f"TOKENS = {list(tokens)!r}\ndef {name}():\n    return TOKENS.pop(0) if len(TOKENS) > 1 else TOKENS[0]\n"
        (self.folder / "tokens_of_the_test.py").write_text(code)

    def variables(self) -> dict[str, str]:
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.listener, "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "KAFKA_SASL_MECHANISM": "OAUTHBEARER", "KAFKA_SASL_OAUTH_TOKEN_PROVIDER": PROVIDER,
            "PYTHONPATH": str(self.folder),
        }  # fmt: skip

    def configure(self, provider: Any, **settings: Any) -> FeedbackPipeline:
        return feedback.configure(
            kafka_bootstrap_servers=self.listener, kafka_security_protocol="SASL_PLAINTEXT",
            kafka_sasl_mechanism="OAUTHBEARER", kafka_sasl_oauth_token_provider=provider, enable_outcome_logging=False,
            kafka_sender="thread",  # what gives them is of this process
            **settings,
        )  # fmt: skip


@pytest.fixture(scope="module")
def listening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    authority = TokenAuthority()
    with broker_of_tokens(authority) as (broker, listener):
        yield Listening(broker.bootstrap_servers, listener, authority, tmp_path_factory.mktemp("provider"))


@pytest.mark.brief
@pytest.mark.usefixtures("client")
def test_events_arrive_and_a_connection_gets_a_new_token_before_the_old_one_ends(listening: Listening) -> None:
    asked: list[str] = []

    def give() -> str:
        asked.append(listening.authority.token())
        return asked[-1]

    topic = unique("outcomes")
    pipeline = listening.configure(give, kafka_outcome_topic=topic)
    for step in range(20):
        with feedback.action("step", metadata={"step": step}):
            pass
    assert pipeline.force_flush(40), pipeline.metrics()
    logins = len(asked)
    wait_until(lambda: len(asked) >= logins + 2, timeout_s=60, what="tokens for connections that go on")
    with feedback.action("later"):
        pass
    assert pipeline.force_flush(40), pipeline.metrics()
    kafka = pipeline.metrics()["exporters"]["kafka"]
    assert (kafka["delivered"], kafka["lost"], kafka["healthy"]) == (21, {}, True)
    assert len(kafka_clients.read_topic(listening.plain, topic, 21)) == 21


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize("wrong", ["another's signature", "another audience", "ended"])
def test_a_token_that_the_broker_refuses_keeps_events_and_the_next_one_delivers(
    listening: Listening, caplog: pytest.LogCaptureFixture, wrong: str
) -> None:
    bad = {
        "another's signature": TokenAuthority().token(),
        "another audience": listening.authority.token(audience="others"),
        "ended": listening.authority.token(life_s=-60),
    }[wrong]
    given = [bad]
    pipeline = listening.configure(lambda: given[0], kafka_outcome_topic=unique("outcomes"))
    with feedback.action("step"):
        pass
    wait_until(lambda: pipeline.metrics()["exporters"]["kafka"]["retries"], timeout_s=60, what="the login to fail")
    kafka = pipeline.metrics()["exporters"]["kafka"]
    assert (kafka["delivered"], kafka["pending"], kafka["healthy"], kafka["lost"]) == (0, 1, False, {})
    # the broker closes the connection, often before its answer was read: which login that was is for the doctor to say
    assert listening.listener in kafka["last_error"]
    given[0] = listening.authority.token()
    assert pipeline.force_flush(60), pipeline.metrics()
    assert pipeline.metrics()["exporters"]["kafka"]["delivered"] == 1
    assert bad not in caplog.text
    assert given[0] not in caplog.text


@pytest.mark.usefixtures("client")
def test_a_function_that_raises_is_named_without_what_it_said(
    listening: Listening, caplog: pytest.LogCaptureFixture
) -> None:
    def give() -> str:
        raise LookupError("the secret is tr0ub4dor")

    pipeline = listening.configure(give, kafka_outcome_topic=unique("outcomes"))
    with feedback.action("step"):
        pass
    wait_until(lambda: pipeline.metrics()["exporters"]["kafka"]["last_error"], timeout_s=60, what="the login to fail")
    wait_until(lambda: "raised LookupError" in caplog.text, timeout_s=60, what="the reason to be told")
    assert "tr0ub4dor" not in caplog.text
    assert "tr0ub4dor" not in json.dumps(pipeline.metrics())
    assert pipeline.shutdown(0.5) is False


def test_the_doctor_and_readers_log_in_by_the_same_variable(listening: Listening, client: str, tmp_path: Path) -> None:
    topic = unique("outcomes")
    variables = {**listening.variables(), "KAFKA_CLIENT": client, "KAFKA_OUTCOME_TOPIC": topic}
    listening.gives(listening.authority.token())
    assert run_cli("topics", folder=tmp_path, variables=variables).returncode == 0
    pipeline = listening.configure(listening.authority.token, kafka_outcome_topic=topic)
    with feedback.action("read me"):
        pass
    assert pipeline.force_flush(40), pipeline.metrics()
    done = run_cli("stats", "--json", folder=tmp_path, variables=variables)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["total"]["executions"] == 1
    done = run_cli("verify", "--json", folder=tmp_path, variables=variables)
    assert done.returncode == 0, done.stderr + done.stdout
    checks = _doctor(tmp_path, **variables)
    assert checks["Kafka tokens"]["found"] == f"{PROVIDER} gives one"
    assert checks["Kafka login"]["found"] == "logged in by OAUTHBEARER"
    assert checks["Kafka write"]["state"] == "ok"

    listening.gives(listening.authority.token(audience="others"))
    login = _doctor(tmp_path, **variables)["Kafka login"]
    assert (login["state"], "KAFKA_SASL_OAUTH_TOKEN_PROVIDER" in login["todo"]) == ("failed", True), login


@pytest.mark.usefixtures("client")
def test_what_cannot_be_imported_is_refused_at_once(listening: Listening) -> None:
    for provider, why in (
        ("no_such_module:token", "No module named 'no_such_module'"),
        ("json:no_such_function", "no attribute 'no_such_function'"),
        ("json:__version__", "not str"),
    ):
        with pytest.raises(ConfigError, match=f"KAFKA_SASL_OAUTH_TOKEN_PROVIDER='{provider}'.*{why}"):
            listening.configure(provider)


def _doctor(folder: Path, **variables: str) -> dict[str, dict[str, str]]:
    done = run_cli("doctor", "--json", folder=folder, variables=variables)
    return {check["check"]: check for check in json.loads(done.stdout)["checks"]}


def unique(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"
