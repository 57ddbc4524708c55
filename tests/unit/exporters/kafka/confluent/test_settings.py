"""Settings with confluent-kafka: their names in librdkafka, what it does not have, and that nothing is imported unasked."""

from __future__ import annotations

import logging
from typing import Any

import confluent_kafka
import pytest

import otel_feedback as feedback
from otel_feedback.errors import ConfigError
from otel_feedback.settings import kafka
from otel_feedback.settings.librdkafka import COUNTERPARTS, properties_of
from otel_feedback.settings.settings import get_settings
from otel_feedback.settings.table import KAFKA_SECURITY, SETTINGS
from tests.stack.processes import free_port
from tests.support import run_python


def options_of(**settings: Any) -> dict[str, Any]:
    return dict(get_settings(kafka_client="confluent", environ={}, **settings).kafka.client_options)


def test_every_setting_of_security_has_a_name_or_is_refused() -> None:
    options = {setting.name.removeprefix("kafka_") for setting in SETTINGS if setting.section == KAFKA_SECURITY}
    assert options - COUNTERPARTS.keys() == {"sasl_kerberos_domain_name"}


def test_the_names_are_librdkafkas() -> None:
    """It refuses one that it does not know."""
    values: dict[str, Any] = {
        "ssl_check_hostname": False,
        "request_timeout_ms": 1_000,
        "connections_max_idle_ms": 10_000,
    }
    properties = properties_of(values)
    assert properties == {
        "ssl.endpoint.identification.algorithm": "none", "request.timeout.ms": 1_000, "connections.max.idle.ms": 10_000,
    }  # fmt: skip
    assert not any(is_unknown(name, value) for name, value in properties.items())
    assert [name for name in COUNTERPARTS.values() if is_unknown(name, "?")] == ["oauth_cb"], "that is the binding's"


def is_unknown(name: str, value: object) -> bool:
    try:
        confluent_kafka.Producer({name: value}, logger=logging.getLogger(__name__))
    except confluent_kafka.KafkaException as exc:
        return "No such configuration property" in str(exc)
    except TypeError:
        return name == "oauth_cb"
    return False


def test_login_and_tls(tmp_path: Any) -> None:
    both = tmp_path / "both.pem"
    both.write_text("")
    options = options_of(
        kafka_security_protocol="sasl_ssl", kafka_sasl_mechanism="scram-sha-512", kafka_sasl_plain_username="u",
        kafka_sasl_plain_password="p", kafka_ssl_certfile=str(both), kafka_ssl_check_hostname=True,
    )  # fmt: skip
    assert properties_of(options) == {
        "security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "u", "sasl.password": "p",
        "ssl.certificate.location": str(both), "ssl.key.location": str(both),
        "ssl.endpoint.identification.algorithm": "https",
    }  # fmt: skip


LOGIN = {"kafka_security_protocol": "sasl_plaintext"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {**LOGIN, "kafka_sasl_mechanism": "aws_msk_iam"},
            "KAFKA_SASL_MECHANISM='AWS_MSK_IAM': expected OAUTHBEARER with KAFKA_SASL_OAUTH_TOKEN_PROVIDER",
        ),
        (
            {**LOGIN, "kafka_sasl_mechanism": "gssapi", "kafka_sasl_kerberos_domain_name": "here"},
            "KAFKA_SASL_KERBEROS_DOMAIN_NAME='here': expected nothing, since KAFKA_CLIENT is confluent",
        ),
    ],
)
def test_what_librdkafka_does_not_have_is_said(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        options_of(**settings)
    assert message in str(raised.value)
    get_settings(environ={}, **settings)  # kafka-python has it


def test_an_option_of_kafka_pythons_alone_is_said() -> None:
    with pytest.raises(
        ConfigError, match=r"client_options=\['socks5_proxy', 'ssl_context'\]: expected options that librdkafka has"
    ):
        feedback.KafkaConfig(client="confluent", client_options={"ssl_context": None, "socks5_proxy": "x"})


def test_a_request_that_is_too_small_for_librdkafka_is_said() -> None:
    with pytest.raises(ConfigError, match=r"KafkaConfig\.max_request_bytes=999: expected from 1000 to"):
        feedback.KafkaConfig(client="confluent", max_request_bytes=999)
    assert feedback.KafkaConfig(max_request_bytes=999)


def test_a_library_that_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"KAFKA_CLIENT='confluent'.*pip install 'otel-feedback\[confluent\]'"):
        feedback.configure(enable_kafka=True, kafka_client="confluent")


def test_a_librdkafka_without_gssapi_is_said() -> None:
    """As that of the wheels for Linux is."""
    with pytest.raises(ConfigError, match=r"KAFKA_SASL_MECHANISM='GSSAPI': .*has no GSSAPI"):
        feedback.configure(
            enable_kafka=True, kafka_client="confluent", kafka_security_protocol="sasl_plaintext", kafka_sasl_mechanism="gssapi",
        )  # fmt: skip


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_it_is_imported_by_who_asks_for_it_and_not_before_the_first_event(client: str) -> None:
    done = run_python(
        """
        import sys, time
        import otel_feedback as feedback

        def imported(*names):
            return [name for name in names if name in sys.modules]

        pipeline = feedback.configure(shutdown_timeout_s=0)
        print(imported("confluent_kafka", "kafka"))
        with feedback.action("a"): pass
        while not pipeline.metrics()["exporters"]["kafka"]["last_error"]: time.sleep(0.01)
        print(imported("confluent_kafka"))
        """,
        {
            "KAFKA_CLIENT": client, "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}", "OTEL_TRACES_EXPORTER": "none",
            "ENABLE_OUTCOME_LOGGING": "false", "OTEL_FEEDBACK_DURABILITY": "memory",
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[]", "[]" if client == "kafka-python" else "['confluent_kafka']"]
