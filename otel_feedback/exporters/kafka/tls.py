"""The TLS context of Kafka's clients, from the settings.

kafka-python makes one of its own, but hands a CRL on in a way that Python refuses, and knows no option for ciphers.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from typing import Any

from otel_feedback.errors import ExportError

__all__ = ["make_context", "with_context"]

_READ_HERE = (
    "ssl_check_hostname", "ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_password", "ssl_crlfile", "ssl_ciphers",
)  # fmt: skip


class _ClosingSocket(ssl.SSLSocket):
    """Closes when the handshake fails: kafka-python leaves that to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except BaseException:
            self.close()
            raise


def with_context(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return kafka-python's options with a context in place of the settings of TLS, where they ask for TLS.

    Raises:
        ExportError: A file is not what it should be, or no cipher of that name is known.
    """
    kept = {name: value for name, value in options.items() if name not in _READ_HERE}
    if str(options.get("security_protocol", "")).endswith("SSL") and options.get("ssl_context") is None:
        try:
            # without a password OpenSSL would ask at the terminal, and wait for an answer
            kept["ssl_context"] = make_context(options, options.get("ssl_password") or "")
        except (OSError, ValueError) as exc:  # ValueError: no password can be that long
            # without that of the password: what follows such a name looks like one, and is taken out of the log
            given = ", ".join(
                f"KAFKA_{name.upper()}" for name in _READ_HERE if options.get(name) and "pass" not in name
            )
            detail = f"TLS cannot be set up, by {given}: {exc}; `otel-feedback doctor` says which one is wrong"
            raise ExportError("unavailable", detail, retryable=True) from exc
    return kept


def make_context(options: Mapping[str, Any], password: str | Callable[[], str]) -> ssl.SSLContext:
    """Return a context by kafka-python's names of options.

    Args:
        password: Of the private key, or what tells it when it is needed.

    Raises:
        OSError: A file is not what it should be (`ssl.SSLError` is one), or no cipher of that name is known.
        ValueError: No password can be that long.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = _ClosingSocket
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = options.get("ssl_check_hostname") is not False
    if options.get("ssl_cafile"):
        context.load_verify_locations(options["ssl_cafile"])
    else:
        context.load_default_certs()
    if options.get("ssl_crlfile"):
        context.load_verify_locations(options["ssl_crlfile"])
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    if options.get("ssl_ciphers"):
        context.set_ciphers(options["ssl_ciphers"])
    if options.get("ssl_certfile"):
        context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"), password=password)
    return context
