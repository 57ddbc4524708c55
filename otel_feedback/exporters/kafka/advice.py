"""What to do about an error of Kafka's that is about who sends, or where to; in one line for people."""

from __future__ import annotations

import re

__all__ = ["advice_on"]

_ADVICE = (
    (
        re.compile(r"AuthorizationFailed|AuthorizationError"),
        "grant it WRITE and DESCRIBE; `otel-feedback doctor` says how",
    ),
    (re.compile(r"TokenError|OAUTHBEARER"), "correct KAFKA_SASL_OAUTH_TOKEN_PROVIDER; `otel-feedback doctor` asks it"),
    (
        re.compile(
            r"SaslAuthenticationFailed|AuthenticationFailed|SaslMechanism|IllegalSasl|AuthenticationMethod|SASL authentication error"
        ),
        "correct KAFKA_SASL_MECHANISM, KAFKA_SASL_PLAIN_USERNAME and KAFKA_SASL_PLAIN_PASSWORD",
    ),
    (
        re.compile(r"UnknownTopicOrPartition|InvalidTopic"),
        "create it by `otel-feedback topics`, or correct KAFKA_OUTCOME_TOPIC",
    ),
    (re.compile(r"is it there\?"), "`otel-feedback doctor` looks"),
    (re.compile(r"CERTIFICATE_VERIFY_FAILED|certificate verify failed|SSLCert"), "correct KAFKA_SSL_CAFILE"),
)


def advice_on(detail: str) -> str | None:
    """Return what to do about an error, as `ExportError.detail` tells it; None: wait, or nobody knows."""
    return next((todo for signs, todo in _ADVICE if signs.search(detail)), None)
