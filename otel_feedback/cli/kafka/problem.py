"""Why Kafka cannot be used, and what to do about it: from what kafka-python raised and logged to two lines.

Pure functions. kafka-python tries until its time is up and then raises "Unable to bootstrap"; what was wrong (a
certificate, a password) stands in its log only, among much that merely followed from it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from otel_feedback.settings.kafka import KafkaConfig

__all__ = ["KafkaSetupError", "judge", "refusal"]


class KafkaSetupError(Exception):
    """Kafka cannot be used.

    Args:
        step: How far one came: `"network"`, `"protocol"`, `"login"` or `"brokers"`.
        found: What was found, in one line.
        todo: What to do about it, in one line.
    """

    def __init__(self, step: str, found: str, todo: str) -> None:
        super().__init__(found)
        self.step = step
        self.found = found
        self.todo = todo


# a class of kafka-python or a part of a message, the step, what to do; what tells most comes first
_TELLING: tuple[tuple[str, str, str], ...] = (
    ("TokenError", "login", "correct KAFKA_SASL_OAUTH_TOKEN_PROVIDER, or what it asks"),
    ("SaslAuthenticationFailedError", "login", "correct {login}"),
    ("UnsupportedSaslMechanismError", "login", "set KAFKA_SASL_MECHANISM to one that the broker offers"),
    ("IllegalSaslStateError", "login", "this listener takes no login: set KAFKA_SECURITY_PROTOCOL to PLAINTEXT or SSL"),
    ("mismatch", "protocol", "use a host name that the broker's certificate has, or KAFKA_SSL_CHECK_HOSTNAME=false"),
    ("certificate has expired", "protocol", "renew the broker's certificate, unless it is this clock that is wrong"),
    (
        "certificate revoked",
        "protocol",
        "the authority has revoked the broker's certificate: give the broker a new one",
    ),
    (
        "certificate CRL",
        "protocol",
        "KAFKA_SSL_CRLFILE must have the list of the authority of the broker's certificate",
    ),
    ("CRL has expired", "protocol", "get a newer KAFKA_SSL_CRLFILE from the authority"),
    ("CERTIFICATE_VERIFY_FAILED", "protocol", "set KAFKA_SSL_CAFILE to the authority of the broker's certificate"),
    (
        "Handshake failed",
        "protocol",
        "does this port speak TLS? If not: KAFKA_SECURITY_PROTOCOL=PLAINTEXT or SASL_PLAINTEXT",
    ),
    ("InvalidReceiveError", "protocol", "this port seems to speak TLS: set KAFKA_SECURITY_PROTOCOL to SSL or SASL_SSL"),
)
# by which a broker answers, in TLS, to a client that has no certificate or not a good one
_ALERTS = ("ALERT_BAD_CERTIFICATE", "ALERT_CERTIFICATE_", "ALERT_UNKNOWN_CA")
_PLAINER = {
    "socket disconnected": "the broker closes the connection",
    "IllegalSaslStateError": "the broker does not expect a login here",
    "UnsupportedSaslMechanismError": "the broker does not offer this SASL mechanism",
}
_SILENCE = frozenset({"KafkaTimeoutError", "RequestTimedOutError"})
# settings that kafka-python documents and yet refuses, or hands on in a way that Python refuses
_NOT_TAKEN = frozenset({"KafkaConfigurationError", "TypeError"})
_COMPARE = "compare KAFKA_SECURITY_PROTOCOL ({}) and KAFKA_SASL_MECHANISM ({}) with the broker's listener"


def judge(
    config: KafkaConfig, exc: Exception, logged: Iterable[logging.LogRecord], *, spoke: bool, tls: bool = False
) -> KafkaSetupError:
    """Return what the exception and the library's log come to.

    Args:
        config: What was tried.
        exc: What the client raised.
        logged: What it logged meanwhile.
        spoke: Whether the broker has told its version: then it is Kafka, and what came after that failed.
        tls: Whether it has not, but answers to TLS.
    """
    options = config.client_options
    protocol = str(options.get("security_protocol", "PLAINTEXT"))
    if tls and protocol.endswith("PLAINTEXT"):
        todo = "set KAFKA_SECURITY_PROTOCOL to " + ("SASL_SSL" if protocol.startswith("SASL_") else "SSL or SASL_SSL")
        return KafkaSetupError("protocol", f"this port speaks TLS, and KAFKA_SECURITY_PROTOCOL is {protocol}", todo)
    causes: list[BaseException] = []
    for record in logged:
        if isinstance(record.args, tuple):
            causes.extend(argument for argument in record.args if isinstance(argument, BaseException))
    causes.append(exc)
    for cause in causes:
        if any(alert in str(cause) for alert in _ALERTS):
            return _refused_certificate(options, cause)
    for sign, step, todo in _TELLING:
        for cause in causes:
            if sign in {cls.__name__ for cls in type(cause).__mro__} or sign in str(cause):
                failed = "Kafka's protocol fails: " if step == "protocol" else ""
                return KafkaSetupError(step, failed + _said(cause), todo.format(login=_login(options)))
    # "Unable to bootstrap" is how each of them ends, and the last try is often cut short by that
    telling = [
        cause for cause in causes if not isinstance(cause, TimeoutError) and type(cause).__name__ not in _SILENCE
    ]
    if not telling:
        return KafkaSetupError("protocol", "takes connections, but does not answer", "is it Kafka, and is it well?")
    if type(telling[-1]).__name__ in _NOT_TAKEN:
        found = f"kafka-python does not take the settings: {_said(telling[-1])}"
        return KafkaSetupError("protocol", found, "unset what it names (KAFKA_SSL_…, KAFKA_SASL_…)")
    if spoke and "socket disconnected" in str(telling[-1]):
        # a broker that refuses a login closes the connection, often before its answer has been read
        if protocol.startswith("SASL_"):
            todo = f"correct KAFKA_SASL_MECHANISM, {_login(options)}"
            return KafkaSetupError("login", "the broker closes the connection at the login", todo)
        todo = "set KAFKA_SECURITY_PROTOCOL to SASL_PLAINTEXT or SASL_SSL, and KAFKA_SASL_MECHANISM"
        return KafkaSetupError("login", "the broker closes the connection: it wants a login", todo)
    todo = _COMPARE.format(protocol, options.get("sasl_mechanism", "none"))
    if protocol.endswith("SSL") and not options.get("ssl_certfile"):
        todo += "; does it want a certificate of its clients (KAFKA_SSL_CERTFILE)?"
    return KafkaSetupError("protocol", f"takes connections, but does not talk: {_said(telling[-1])}", todo)


def _login(options: Mapping[str, Any]) -> str:
    if options.get("sasl_mechanism") == "OAUTHBEARER":
        return "KAFKA_SASL_OAUTH_TOKEN_PROVIDER: issuer, audience and end of its tokens must be those that the broker takes"
    return "KAFKA_SASL_PLAIN_USERNAME and KAFKA_SASL_PLAIN_PASSWORD"


def _refused_certificate(options: Mapping[str, Any], alert: BaseException) -> KafkaSetupError:
    if options.get("ssl_certfile"):
        found = f"the broker does not take this client's certificate: {_said(alert)}"
        todo = "set KAFKA_SSL_CERTFILE to one that is valid and from an authority that the broker trusts"
    else:
        found = f"the broker wants a certificate of its clients, and this one has none: {_said(alert)}"
        todo = "set KAFKA_SSL_CERTFILE and KAFKA_SSL_KEYFILE"
    return KafkaSetupError("protocol", found, todo)


def _said(exc: BaseException) -> str:
    text = " ".join(str(exc).split())
    # kafka-python puts the class's name before the message, sometimes twice
    for _ in range(3):
        if text.startswith("[Error "):
            text = text.partition("] ")[2]
        text = text.removeprefix(f"{type(exc).__name__}: ")
    text = text or type(exc).__name__
    return _PLAINER.get(text, text[:200])


def refusal(code: int, message: str | None = None) -> str:
    """Return a broker's error code in words."""
    from kafka.errors import for_code

    error: Any = for_code(code)
    name = str(error.message or error.__name__).lower().replace("_", " ")
    return f"{name}: {message}" if message else name
