"""A broker that takes signed tokens (OAUTHBEARER), and the authority that signs them and tells its public key by HTTP (JWKS)."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from tests.stack.kafka import KafkaBroker
from tests.stack.processes import LOOPBACK, free_port

AUDIENCE = "kafka-of-the-tests"
_CLASSES = "org.apache.kafka.common.security.oauthbearer."


class TokenAuthority:
    """Signs tokens. One made twice has another key each time."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(65_537, 2_048)

    def token(self, subject: str = "agent", *, audience: str = AUDIENCE, life_s: float = 3_600) -> str:
        """Return a token (JWT, RS256) of a subject for an audience, which ends so many seconds from now."""
        now = int(time.time())
        claims = {"sub": subject, "aud": audience, "iat": now, "exp": int(now + life_s), "scope": "write"}
        signed = f"{_part({'alg': 'RS256', 'kid': 'the-key', 'typ': 'JWT'})}.{_part(claims)}"
        return f"{signed}.{_base64(self._key.sign(signed.encode(), padding.PKCS1v15(), SHA256()))}"

    def keys(self) -> str:
        """Return the public key as JWKS."""
        numbers = self._key.public_key().public_numbers()
        told = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "the-key"}
        return json.dumps({"keys": [{**told, "n": _number(numbers.n), "e": _number(numbers.e)}]})


@contextmanager
def broker_of_tokens(authority: TokenAuthority) -> Generator[tuple[KafkaBroker, str], None, None]:
    """Run a broker; yield it and its listener for which a token is needed. A connection is asked for a new one every 3 s."""
    listener = f"{LOOPBACK}:{free_port()}"
    plain = f"PLAINTEXT://{LOOPBACK}:{{broker_port}}"
    with _told(authority.keys()) as url:
        of_tokens = "listener.name.tokens"
        properties = {
            "listeners": f"{plain},CONTROLLER://{LOOPBACK}:{{controller_port}},TOKENS://{listener}",
            "advertised.listeners": f"{plain},TOKENS://{listener}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,TOKENS:SASL_PLAINTEXT",
            f"{of_tokens}.sasl.enabled.mechanisms": "OAUTHBEARER",
            f"{of_tokens}.oauthbearer.connections.max.reauth.ms": "3000",
            f"{of_tokens}.oauthbearer.sasl.jaas.config": f"{_CLASSES}OAuthBearerLoginModule required;",
            f"{of_tokens}.oauthbearer.sasl.server.callback.handler.class": f"{_CLASSES}OAuthBearerValidatorCallbackHandler",
            # Kafka 4.1's default looks at no signature
            f"{of_tokens}.sasl.oauthbearer.jwt.validator.class": f"{_CLASSES}BrokerJwtValidator",
            f"{of_tokens}.sasl.oauthbearer.jwks.endpoint.url": url,
            f"{of_tokens}.sasl.oauthbearer.expected.audience": AUDIENCE,
        }
        allowed = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={url}"
        with KafkaBroker.launch_own(properties, java_options=[allowed]) as broker:
            yield broker, listener


@contextmanager
def _told(text: str) -> Generator[str, None, None]:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    with ThreadingHTTPServer((LOOPBACK, 0), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{LOOPBACK}:{server.server_address[1]}/keys"
        server.shutdown()


def _part(claims: Mapping[str, object]) -> str:
    return _base64(json.dumps(claims).encode())


def _number(number: int) -> str:
    return _base64(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
