"""Misspelt variables: said once with the nearest name, by the program and by the doctor; those of others never."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from otel_feedback.settings.misspelt import misspelt
from tests.support import run_cli, run_python

RIGHT = {
    "KAFKA_BOOTSTRAP_SERVER": "KAFKA_BOOTSTRAP_SERVERS",
    "KAFKA_BOOSTRAP_SERVERS": "KAFKA_BOOTSTRAP_SERVERS",
    "KAFAK_BOOTSTRAP_SERVERS": "KAFKA_BOOTSTRAP_SERVERS",
    "KAFKA_BOOTSTRAPSERVERS": "KAFKA_BOOTSTRAP_SERVERS",
    "kafka_bootstrap_server": "KAFKA_BOOTSTRAP_SERVERS",
    "KAFKA_OUTCOMES_TOPIC": "KAFKA_OUTCOME_TOPIC",
    "KAFKA_SASL_PASSWORD": "KAFKA_SASL_PLAIN_PASSWORD",
    "OTEL_FEEDBACK_ENABLE_KAFKA": "ENABLE_KAFKA",
    "OTEL_FEEDBACK_SHUTDOWN_TIMEOUT_S": "OTEL_FEEDBACK_SHUTDOWN_TIMEOUT",
    "ENABLE_KAKFA": "ENABLE_KAFKA",
    "ENABLE_OUTCOMES_LOGGING": "ENABLE_OUTCOME_LOGGING",
    "ENABLE_OUTCOME_LOG": "ENABLE_OUTCOME_LOGGING",
    "OTEL_SERVICENAME": "OTEL_SERVICE_NAME",
    "OTEL_EXPORTER_OTLP_ENDPIONT": "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_ENDPOINT": "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_TRACE_EXPORTER": "OTEL_TRACES_EXPORTER",
    "OTEL_FEEBACK_DISABLED": "OTEL_FEEDBACK_DISABLED",
    "OTELFEEDBACK_DISABLED": "OTEL_FEEDBACK_DISABLED",
    "OTEL_FEEDBACK_LOGFILE": "OTEL_FEEDBACK_LOG_FILE",
    "OTEL_FEEDBACK_ENABLE": "OTEL_FEEDBACK_ENABLED",
}

_OF_OTHERS = """
KAFKA_ADVERTISED_LISTENERS KAFKA_BROKER_ID KAFKA_BROKERS KAFKA_HEAP_OPTS KAFKA_HOME KAFKA_LISTENERS KAFKA_LOG_DIRS
KAFKA_MAX_BATCH_SIZE KAFKA_OPTS KAFKA_PASSWORD KAFKA_PORT KAFKA_PORT_9092_TCP KAFKA_PORT_9092_TCP_ADDR KAFKA_SERVICE_HOST
KAFKA_SERVICE_PORT KAFKA_TOPIC KAFKA_USERNAME KAFKA_ZOOKEEPER_CONNECT ENABLE_DEBUG ENABLE_KAFKA_CONNECT ENABLE_METRICS
ENABLE_TRACING OTEL_BSP_SCHEDULE_DELAY OTEL_EXPORTER_OTLP_METRICS_ENDPOINT OTEL_EXPORTER_OTLP_LOGS_HEADERS
OTEL_EXPORTER_PROMETHEUS_PORT OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS
OTEL_PROPAGATORS OTEL_PYTHON_DISABLED_INSTRUMENTATIONS OTEL_PYTHON_LOG_CORRELATION OTEL_PYTHON_TRACER_PROVIDER
OTEL_RESOURCE_ATTRIBUTES OTEL_SEMCONV_STABILITY_OPT_IN OTEL_SERVICE_NAMESPACE OTEL_SERVICE_VERSION OTEL_TRACES_SAMPLER_ARG
OTHER_SETTING HOTEL_NAME PATH HOME KUBERNETES_SERVICE_HOST ENABLED OTEL_FEEDBACK_TEST_COLLECTOR_ENDPOINT
"""


@pytest.mark.parametrize(("given", "right"), RIGHT.items())
def test_the_nearest_name_is_found(given: str, right: str) -> None:
    assert misspelt({given: "x", "PATH": "/bin"}).get(given) == right


def test_an_unknown_name_of_ours_is_found_though_nothing_is_near() -> None:
    assert misspelt({"OTEL_FEEDBACK_XYZ": ""}) == {"OTEL_FEEDBACK_XYZ": None}


def test_variables_of_others_are_left_alone() -> None:
    assert misspelt(dict.fromkeys(_OF_OTHERS.split(), "x")) == {}


def test_what_is_spelt_right_as_well_is_somebody_elses() -> None:
    assert misspelt({"KAFKA_SSL_CA_FILE": "x"}) == {"KAFKA_SSL_CA_FILE": "KAFKA_SSL_CAFILE"}
    assert misspelt({"KAFKA_SSL_CA_FILE": "x", "KAFKA_SSL_CAFILE": "y"}) == {}


WRONG = {"KAFKA_BOOTSTRAP_SERVER": "k:9092", "OTEL_FEEDBACK_LOGFILE": "x", "OTEL_TRACES_EXPORTER": "none"}
SAID = """\
KAFKA_BOOTSTRAP_SERVER is no setting and changes nothing; did you mean KAFKA_BOOTSTRAP_SERVERS?
OTEL_FEEDBACK_LOGFILE is no setting and changes nothing; did you mean OTEL_FEEDBACK_LOG_FILE?
"""


@pytest.mark.parametrize("first", ["configure", "get_feedback_pipeline", "create_dispatcher"])
def test_a_program_says_it_once(first: str) -> None:
    done = run_python(
        f"""
        import os
        import otel_feedback as feedback
        feedback.{first}()
        feedback.get_feedback_pipeline().shutdown()
        feedback.configure()
        if not os.fork():
            feedback.get_feedback_pipeline().shutdown()
            feedback.configure()
        """,
        WRONG,
    )
    assert (done.returncode, done.stderr) == (0, SAID)


def test_a_program_that_is_switched_off_says_nothing() -> None:
    done = run_python(
        "import otel_feedback as feedback; feedback.configure()", {**WRONG, "OTEL_FEEDBACK_DISABLED": "true"}
    )
    assert done.stderr == ""


def test_the_hook_says_that_it_was_not_switched_on() -> None:
    done = run_python(
        "from otel_feedback.sdk.autoload import configure_if_enabled; configure_if_enabled()",
        {"OTEL_FEEDBACK_ENABLE": "true"},
    )
    assert (
        done.stderr == "OTEL_FEEDBACK_ENABLE is no setting and changes nothing; did you mean OTEL_FEEDBACK_ENABLED?\n"
    )


def test_the_doctor_says_it(tmp_path: Path) -> None:
    done = run_cli("doctor", variables={**WRONG, "COLUMNS": "200"}, folder=tmp_path)
    for line in SAID.splitlines():
        found, _, todo = line.partition("; ")
        assert found in done.stdout
        assert todo in done.stdout


def test_a_log_that_raises_costs_no_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of ours depends on a log line."""
    import otel_feedback as feedback

    def fail(record: logging.LogRecord) -> bool:
        raise OSError("no log")

    monkeypatch.setattr("otel_feedback.settings.misspelt._told", False)
    monkeypatch.setenv("OTEL_FEEDBACK_LOGFILE", "x")
    logger = logging.getLogger("otel_feedback.settings.misspelt")
    logger.addFilter(fail)
    try:
        assert feedback.configure(service_name="x").enabled
    finally:
        logger.removeFilter(fail)
