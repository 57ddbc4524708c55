"""A broker with a listener for each way to be secure, and the settings of its clients, right or wrong.

plain     no TLS, no login: for the tests' own clients
tls       TLS
astray    TLS, with a certificate for another host
mutual    TLS, and the client must have a certificate
scram     TLS, and a login by SCRAM-SHA-256 or SCRAM-SHA-512
"""

from __future__ import annotations

import uuid
from pathlib import Path

from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker
from tests.stack.kafka_certificates import Authority, Certificate
from tests.stack.processes import LOOPBACK, free_port

MECHANISMS = ("SCRAM-SHA-256", "SCRAM-SHA-512")
_LOGIN_MODULE = "org.apache.kafka.common.security.scram.ScramLoginModule"
_PEM_LINE = 64  # characters; a key's last line may be so short that any text has it

Variables = dict[str, str]


class SecureBroker:
    """A broker of our own, and a folder with what its clients need.

    The authority that the broker trusts is `trusted`, another one `unknown`; of each there are `NAME.pem`, and a client's
    `NAME-cert.pem` and `NAME-key.pem`. `broker-revoked.pem` and `another-revoked.pem` are lists of revoked certificates. The
    user `agent` may log in.
    """

    def __init__(self, folder: Path) -> None:
        """Start it; stop it by `broker.stop()`."""
        self.folder = folder
        self.password, self.wrong_password, self.key_password = (uuid.uuid4().hex for _ in range(3))
        trusted, unknown = Authority("trusted"), Authority("unknown")
        for name, authority in (("trusted", trusted), ("unknown", unknown)):
            authority.write(folder, name)
            authority.issue("agent").write(folder, name, self.key_password)
        self.tls, self.astray, self.mutual, self.scram = (f"{LOOPBACK}:{free_port()}" for _ in range(4))
        self.broker = KafkaBroker.launch_own(self._properties(trusted))
        self.plain = self.broker.bootstrap_servers
        self.add_user("agent", self.password)

    def add_user(self, user: str, password: str) -> None:
        """Let a user log in by either mechanism, now or moments later."""
        for mechanism in MECHANISMS:  # Kafka takes one change of a user at a time
            kafka_clients.set_scram_password(self.plain, user, mechanism, password)

    def by_tls_without(self, revoked: str) -> Variables:
        """Return a client's settings for TLS where the certificate of the `broker`, or of `another`, is revoked."""
        ciphers = {"KAFKA_SSL_CIPHERS": "ECDHE+AESGCM"}
        return {**self.by_tls(), **ciphers, "KAFKA_SSL_CRLFILE": str(self.folder / f"{revoked}-revoked.pem")}

    def by_tls(self, server: str | None = None, *, authority: str = "trusted") -> Variables:
        """Return a client's settings for TLS at `tls`, or at another server."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": server or self.tls,
            "KAFKA_SECURITY_PROTOCOL": "SSL",
            "KAFKA_SSL_CAFILE": str(self.folder / f"{authority}.pem"),
        }

    def by_certificate(self, client: str = "trusted", *, key_password: str | None = None) -> Variables:
        """Return a client's settings for `mutual`."""
        return {
            **self.by_tls(self.mutual),
            "KAFKA_SSL_CERTFILE": str(self.folder / f"{client}-cert.pem"),
            "KAFKA_SSL_KEYFILE": str(self.folder / f"{client}-key.pem"),
            "KAFKA_SSL_PASSWORD": key_password or self.key_password,
        }

    def by_login(self, mechanism: str, *, user: str = "agent", password: str | None = None) -> Variables:
        """Return a client's settings for `scram`."""
        return {
            **self.by_tls(self.scram),
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": mechanism,
            "KAFKA_SASL_PLAIN_USERNAME": user,
            "KAFKA_SASL_PLAIN_PASSWORD": password or self.password,
        }

    def secrets_in(self, *texts: str) -> list[str]:
        """Return what nobody may read and yet is in one of the texts: passwords, and lines of the clients' key files."""
        secrets = [self.password, self.wrong_password, self.key_password]
        for keyfile in self.folder.glob("*-key.pem"):
            lines = keyfile.read_text().splitlines()[1:-1]
            secrets += [line for line in lines if len(line) == _PEM_LINE]
        return [secret for secret in secrets if any(secret in text for text in texts)]

    def _properties(self, authority: Authority) -> dict[str, str]:
        here = authority.issue("broker", LOOPBACK, "localhost")
        elsewhere = authority.issue("broker", "kafka.elsewhere.invalid")
        for name, revoked in (("broker", here), ("another", elsewhere)):
            (self.folder / f"{name}-revoked.pem").write_text(authority.revoke(revoked))
        # Names without SSL or SASL_: where it finds those, the Docker image asks for files that we do not have.
        listeners = f"TLS://{self.tls},ASTRAY://{self.astray},MUTUAL://{self.mutual},SCRAM://{self.scram}"
        plain = f"PLAINTEXT://{LOOPBACK}:{{broker_port}}"
        return {
            "listeners": f"{plain},CONTROLLER://{LOOPBACK}:{{controller_port}},{listeners}",
            "advertised.listeners": f"{plain},{listeners}",
            "listener.security.protocol.map": (
                "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,TLS:SSL,ASTRAY:SSL,MUTUAL:SSL,SCRAM:SASL_SSL"
            ),
            **_key_store("tls", here),
            **_key_store("astray", elsewhere),
            **_key_store("mutual", here),
            **_key_store("scram", here),
            "listener.name.mutual.ssl.client.auth": "required",
            "listener.name.mutual.ssl.truststore.type": "PEM",
            "listener.name.mutual.ssl.truststore.certificates": _one_line(authority.pem),
            "listener.name.scram.sasl.enabled.mechanisms": ",".join(MECHANISMS),
            **{
                f"listener.name.scram.{mechanism.lower()}.sasl.jaas.config": f"{_LOGIN_MODULE} required;"
                for mechanism in MECHANISMS
            },
        }


def _key_store(listener: str, certificate: Certificate) -> dict[str, str]:
    store = f"listener.name.{listener}.ssl.keystore"
    return {
        f"{store}.type": "PEM",
        f"{store}.certificate.chain": _one_line(certificate.pem),
        f"{store}.key": _one_line(certificate.key_pem()),
    }


def _one_line(pem: str) -> str:
    """Return PEM as a property's value: Kafka wants white space around the middle, whichever, and none within."""
    first, *middle, last = pem.splitlines()
    return f"{first} {''.join(middle)} {last}"
