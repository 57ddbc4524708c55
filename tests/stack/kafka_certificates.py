"""Authorities, certificates and keys for TLS, made when a test needs them and good for a day."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# Either way round: clocks of containers and hosts differ a little.
_LIFE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate with its private key, both as PEM."""

    pem: str
    key: ec.EllipticCurvePrivateKey

    def key_pem(self, password: str | None = None) -> str:
        """Return the private key as PKCS #8, the only form that Kafka reads; encrypted if there is a password."""
        encryption: KeySerializationEncryption = NoEncryption()
        if password is not None:
            encryption = BestAvailableEncryption(password.encode())
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()

    def write(self, directory: Path, name: str, password: str | None = None) -> tuple[Path, Path]:
        """Write certificate and key, and return the two files."""
        certfile, keyfile = directory / f"{name}-cert.pem", directory / f"{name}-key.pem"
        certfile.write_text(self.pem)
        keyfile.touch(mode=0o600)
        keyfile.write_text(self.key_pem(password))
        return certfile, keyfile


class Authority:
    """Signs certificates; trusted by whoever has its file."""

    def __init__(self, name: str) -> None:
        """Make an authority that nobody knows yet."""
        self._name = _common_name(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        usage = _key_usage(key_cert_sign=True, crl_sign=True)
        builder = _builder(self._name, self._key.public_key(), self._name, self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.pem = _signed(builder.add_extension(usage, critical=True), self._key)

    def issue(self, name: str, *hosts: str) -> Certificate:
        """Sign a certificate.

        Args:
            name: whom it is for.
            hosts: host names and IP addresses; for a server. Without any it is a client's.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_common_name(name), key.public_key(), self._name, self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(digital_signature=True), critical=True)
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName(list(map(_host, hosts))), critical=False)
        return Certificate(_signed(builder, self._key), key)

    def revoke(self, certificate: Certificate) -> str:
        """Return the list of what is revoked, as PEM, with this certificate and no other in it."""
        now = datetime.now(timezone.utc)
        serial_number = x509.load_pem_x509_certificate(certificate.pem.encode()).serial_number
        revoked = x509.RevokedCertificateBuilder().serial_number(serial_number).revocation_date(now - _LIFE).build()
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._name)
        builder = builder.last_update(now - _LIFE).next_update(now + _LIFE).add_revoked_certificate(revoked)
        return builder.sign(self._key, SHA256()).public_bytes(Encoding.PEM).decode()

    def write(self, directory: Path, name: str) -> Path:
        """Write the authority's own certificate and return the file."""
        path = directory / f"{name}.pem"
        path.write_text(self.pem)
        return path


def _builder(
    subject: x509.Name, key: ec.EllipticCurvePublicKey, issuer: x509.Name, issuer_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(timezone.utc)
    # Python 3.13's strict verification wants both key identifiers.
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _LIFE)
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def _signed(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> str:
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM).decode()


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
