"""TLS and SASL/SCRAM on a real broker: the right settings deliver; wrong ones keep everything and are named.

All programs, an agent and the doctor for each of the settings, run side by side from the module's start: where
something is wrong, they mostly wait.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from opentelemetry.sdk.trace import TracerProvider

import otel_feedback as feedback
from otel_feedback import KafkaConfig
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from otel_feedback.settings.settings import get_settings
from tests.stack import kafka_clients
from tests.stack.kafka_security import SecureBroker, Variables
from tests.stack.waiting import wait_until
from tests.support import environment

ACTIONS = 300
THE_WORK = ["first", *["step"] * ACTIONS]
PROGRAMS_AT_ONCE = 8

AGENT = f"""
    import json, logging, statistics, sys, time
    logging.basicConfig(level=logging.INFO)
    logging.getLogger("otel_feedback").setLevel(logging.DEBUG)
    import otel_feedback as feedback
    from otel_feedback.settings.settings import get_settings

    def wait(ready):
        deadline = time.monotonic() + 40
        while not ready() and time.monotonic() < deadline: time.sleep(0.02)

    def work():
        took = []
        for i in range({ACTIONS}):
            started = time.perf_counter()
            with feedback.action("step", agent="a"): pass
            took.append(time.perf_counter() - started)
            if i % 10 == 0: time.sleep(0.001)
        return statistics.median(took)

    pipeline = feedback.configure(enable_kafka=False)
    pace_off = work()
    pipeline.shutdown()
    pipeline = feedback.configure()
    kafka = lambda: pipeline.metrics()["exporters"]["kafka"]
    with feedback.action("first"): pass
    # the worker is now in the middle of its first try; one whose client is in another process says so by what it met
    wait(lambda: "kafka.net.manager" in sys.modules or kafka()["last_error"] or not kafka()["pending"])
    pace = work()
    wait(lambda: kafka()["last_error"] or not kafka()["pending"])
    early = kafka()
    wait(lambda: kafka()["retries"] or not kafka()["pending"])
    live = kafka()
    pipeline.shutdown(0.5)
    print(json.dumps({{
        "slower": pace / pace_off, "early": early, "live": live, "metrics": pipeline.metrics(),
        "reprs": [repr(get_settings()), repr(get_settings().kafka), repr(pipeline)],
    }}))
"""


class Done(NamedTuple):
    """What became of a program: all that it said, and the files that it left in its folder."""

    folder: Path
    code: int
    out: str
    err: str
    files: dict[str, str]


Trials = dict[str, tuple[Future[Done], Future[Done]]]


class Wrong(NamedTuple):
    """Settings with one thing wrong, and what the doctor says: the check, one of these as found, this as to do."""

    settings: Callable[[SecureBroker], Variables]
    check: str
    found: tuple[str, ...]
    todo: str


RIGHT: dict[str, Callable[[SecureBroker], Variables]] = {
    "TLS": lambda secure: secure.by_tls(),
    "TLS, another is revoked": lambda secure: secure.by_tls_without("another"),
    "mutual TLS": lambda secure: secure.by_certificate(),
    "SCRAM-SHA-256": lambda secure: secure.by_login("SCRAM-SHA-256"),
    "SCRAM-SHA-512": lambda secure: secure.by_login("SCRAM-SHA-512"),
}
# which of the two depends on whether the broker's answer is read before it closes the connection
NO_LOGIN = ("invalid credentials with SASL mechanism SCRAM-SHA", "the broker closes the connection at the login")
LOGIN = "KAFKA_SASL_PLAIN_USERNAME and KAFKA_SASL_PLAIN_PASSWORD"
WRONG = {
    "wrong password": Wrong(
        lambda secure: secure.by_login("SCRAM-SHA-512", password=secure.wrong_password), "login", NO_LOGIN, LOGIN
    ),
    "unknown user": Wrong(lambda secure: secure.by_login("SCRAM-SHA-256", user="nobody"), "login", NO_LOGIN, LOGIN),
    "unknown authority": Wrong(
        lambda secure: secure.by_tls(authority="unknown"),
        "protocol", ("certificate verify failed",), "set KAFKA_SSL_CAFILE to the authority",
    ),
    "revoked certificate": Wrong(
        lambda secure: secure.by_tls_without("broker"),
        "protocol", ("certificate revoked",), "the authority has revoked the broker's certificate",
    ),
    "another host's certificate": Wrong(
        lambda secure: secure.by_tls(secure.astray),
        "protocol", ("certificate is not valid for '127.0.0.1'",), "use a host name that the broker's certificate has",
    ),
    "no client certificate": Wrong(
        lambda secure: secure.by_tls(secure.mutual),
        "protocol", ("the broker wants a certificate of its clients",), "set KAFKA_SSL_CERTFILE and KAFKA_SSL_KEYFILE",
    ),
    "unknown client certificate": Wrong(
        lambda secure: secure.by_certificate("unknown"),
        "protocol", ("does not take this client's certificate",), "from an authority that the broker trusts",
    ),
    "wrong key password": Wrong(
        lambda secure: secure.by_certificate(key_password=secure.wrong_password),
        "protocol", ("the password does not open the key",), "correct KAFKA_SSL_PASSWORD",
    ),
    "plaintext to a TLS port": Wrong(
        lambda secure: {"KAFKA_BOOTSTRAP_SERVERS": secure.tls},
        "protocol", ("this port speaks TLS",), "set KAFKA_SECURITY_PROTOCOL to SSL",
    ),
    "TLS to a plaintext port": Wrong(
        lambda secure: secure.by_tls(secure.plain), "protocol", ("Handshake failed",), "does this port speak TLS?"
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    made = SecureBroker(tmp_path_factory.mktemp("client"))
    with made.broker as broker:
        broker.create_topic("agent-outcomes")
        yield made


@pytest.fixture(scope="module", params=["kafka-python", "confluent"])
def sender(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(autouse=True)
def as_sent(sender: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_CLIENT", sender)


@pytest.fixture(scope="module", autouse=True)
def trials(sender: str, secure: SecureBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trials]:
    """An agent and the doctor, run with each of the settings."""
    base = environment(OTEL_TRACES_EXPORTER="none", PYTHONIOENCODING="utf-8")
    settings = {**RIGHT, **{name: wrong.settings for name, wrong in WRONG.items()}}
    with ThreadPoolExecutor(PROGRAMS_AT_ONCE) as pool:

        def start(name: str, *arguments: str) -> Future[Done]:
            variables = {
                **base, "OTEL_SERVICE_NAME": f"{name}, {sender}", "KAFKA_CLIENT": sender, **settings[name](secure)
            }  # fmt: skip
            return pool.submit(_run, arguments, tmp_path_factory.mktemp("trial"), variables)

        agent, doctor = ("-c", textwrap.dedent(AGENT)), ("-m", "otel_feedback", "doctor", "--json")
        yield {name: (start(name, *agent), start(name, *doctor)) for name in settings}
        pool.shutdown(cancel_futures=True)


def _run(arguments: Sequence[str], folder: Path, variables: Mapping[str, str]) -> Done:
    state = {"OTEL_FEEDBACK_LOG_FILE": str(folder / "outcomes.log"), "XDG_STATE_HOME": str(folder)}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder, env={**variables, **state}, stdin=subprocess.DEVNULL, start_new_session=True,
        capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    paths = [path for path in folder.rglob("*") if path.is_file()]
    files = {str(path.relative_to(folder)): path.read_bytes().decode(errors="replace") for path in paths}
    return Done(folder, done.returncode, done.stdout, done.stderr, files)


def arrived(secure: SecureBroker, service_name: str) -> list[str]:
    """Return the actions of a service whose outcomes are on the topic, sorted."""
    records = kafka_clients.read_all(secure.plain, "agent-outcomes")
    events = (json.loads(record.value or b"") for record in records)
    return sorted(event["action_type"] for event in events if event["service_name"] == service_name)


def everything_said(done: Done) -> list[str]:
    return [done.out, done.err, *done.files, *done.files.values()]


@pytest.mark.parametrize("name", RIGHT)
def test_the_right_variables_deliver(secure: SecureBroker, trials: Trials, sender: str, name: str) -> None:
    agent, doctor = (run.result() for run in trials[name])
    assert agent.code == 0, agent.err
    kafka = json.loads(agent.out)["metrics"]["exporters"]["kafka"]
    assert (kafka["delivered"], kafka["pending"], kafka["lost"]) == (ACTIONS + 1, 0, {})
    assert (kafka["healthy"], kafka["last_error"]) == (True, None)
    assert arrived(secure, f"{name}, {sender}") == THE_WORK
    assert doctor.code == 0, doctor.out
    assert secure.secrets_in(*everything_said(agent), *everything_said(doctor)) == []


@pytest.mark.parametrize("name", WRONG)
def test_an_agent_with_wrong_settings_goes_on_and_accounts_for_everything(
    secure: SecureBroker, trials: Trials, name: str
) -> None:
    agent = trials[name][0].result()
    assert agent.code == 0, agent.err
    told = json.loads(agent.out)
    assert told["slower"] < 3, "times the pace with Kafka off"
    early, live, after = told["early"], told["live"], told["metrics"]["exporters"]["kafka"]
    assert (live["appended"], live["delivered"], live["pending"], live["lost"]) == (ACTIONS + 1, 0, ACTIONS + 1, {})
    assert live["healthy"] is False
    named = (
        "KAFKA_SSL_KEYFILE" if name == "wrong key password" else WRONG[name].settings(secure)["KAFKA_BOOTSTRAP_SERVERS"]
    )
    assert named in early["last_error"], "also while it is tried for the first time"
    assert named in live["last_error"]
    assert f"kafka did not take events ({live['last_error']})" in agent.err
    assert (after["delivered"], after["pending"], after["lost"]) == (0, ACTIONS + 1, {})
    assert f"{ACTIONS + 1} events not delivered to kafka" in agent.err
    assert secure.secrets_in(*everything_said(agent)) == []


@pytest.mark.parametrize("name", WRONG)
def test_the_doctor_names_what_is_wrong(secure: SecureBroker, trials: Trials, name: str) -> None:
    wrong, doctor = WRONG[name], trials[name][1].result()
    assert (doctor.code, doctor.err) == (1, ""), doctor.out
    checks = {check["check"]: check for check in json.loads(doctor.out)["checks"]}
    failed = {name: check for name, check in checks.items() if check["state"] == "failed"}
    assert list(failed) == [f"Kafka {wrong.check}"]
    [finding] = failed.values()
    assert any(found in finding["found"] for found in wrong.found), finding
    assert wrong.todo in finding["todo"]
    assert secure.secrets_in(*everything_said(doctor)) == []


def by_name(variables: Variables) -> dict[str, Any]:
    return {variable.lower(): value for variable, value in variables.items()}


def by_kafka_config(variables: Variables) -> dict[str, Any]:
    options = {variable.removeprefix("KAFKA_").lower(): value for variable, value in variables.items()}
    servers = (options.pop("bootstrap_servers"),)
    client, sends_by = os.environ["KAFKA_CLIENT"], os.environ.get("KAFKA_SENDER", "thread")
    return {"kafka": KafkaConfig(bootstrap_servers=servers, client=client, sender=sends_by, client_options=options)}


@pytest.mark.parametrize("arguments", [by_name, by_kafka_config])
@pytest.mark.parametrize("name", RIGHT)
def test_the_right_arguments_deliver_and_are_not_told(
    secure: SecureBroker,
    caplog: pytest.LogCaptureFixture,
    sender: str,
    name: str,
    arguments: Callable[[Variables], dict[str, Any]],
) -> None:
    caplog.set_level(logging.INFO)
    caplog.set_level(logging.DEBUG, "otel_feedback")
    given = arguments(RIGHT[name](secure))
    pipeline = configure(**given)
    with feedback.action("step"):
        pass
    assert pipeline.force_flush(30) is True, account(pipeline)
    assert account(pipeline)["delivered"] == 1
    assert pipeline.shutdown(10) is True
    assert caplog.records or sender == "confluent", "kafka-python tells of its connections"
    settings = get_settings(**given)
    said = [caplog.text, repr(settings), repr(settings.kafka), repr(pipeline), json.dumps(pipeline.metrics())]
    assert secure.secrets_in(*said) == []


def test_the_next_process_with_the_right_password_delivers_what_was_left(
    secure: SecureBroker, trials: Trials, sender: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = trials["wrong password"][0].result()
    monkeypatch.setenv("XDG_STATE_HOME", str(left.folder))
    pipeline = configure(**by_name(secure.by_login("SCRAM-SHA-512")), service_name=f"wrong password, {sender}")
    with feedback.action("second process"):
        pass
    assert pipeline.force_flush(30) is True, account(pipeline)
    both = sorted([*THE_WORK, "second process"])
    wait_until(
        lambda: arrived(secure, f"wrong password, {sender}") == both, timeout_s=30, what="the events of both processes"
    )


def test_what_waits_for_a_user_to_be_added_arrives(secure: SecureBroker) -> None:
    """What is wrong is put right at the broker: the agent needs no restart, and nothing is lost."""
    user = f"late-{uuid.uuid4().hex[:8]}"
    topic = f"outcomes-of-{user}"
    pipeline = configure(**by_name(secure.by_login("SCRAM-SHA-512", user=user)), kafka_outcome_topic=topic)
    for step in range(50):
        with feedback.action("step", run_id="one", metadata={"step": step}):
            pass
    wait_until(lambda: not account(pipeline)["healthy"], timeout_s=40, what="the login to fail")
    assert (account(pipeline)["delivered"], account(pipeline)["pending"]) == (0, 50)
    secure.add_user(user, secure.password)
    assert pipeline.force_flush(40) is True, account(pipeline)
    kafka = account(pipeline)
    assert (kafka["delivered"], kafka["pending"], kafka["lost"]) == (50, 0, {})
    assert (kafka["healthy"], kafka["last_error"]) == (True, None)
    records = kafka_clients.read_topic(secure.plain, topic, 50)
    assert [json.loads(record.value or b"")["metadata"]["step"] for record in records] == list(range(50))


def configure(**settings: Any) -> FeedbackPipeline:
    provider = TracerProvider(shutdown_on_exit=False)
    return feedback.configure(tracer_provider=provider, enable_outcome_logging=False, **settings)


def account(pipeline: FeedbackPipeline) -> dict[str, Any]:
    return pipeline.metrics()["exporters"]["kafka"]
