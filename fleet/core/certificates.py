"""Certificates of charging stations and of the platform towards them (OCPP 2.0.1 part 2, block A; 1.6 security white paper).

Pure: keys, serial numbers and instants are given. Elliptic curves (P-256) for our own keys; stations may bring RSA.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from common.errors import InvalidInput

PrivateKey = ec.EllipticCurvePrivateKey
# Part 2, A00.FR.508 and 509: what a key must have at least
LEAST_RSA_BITS, LEAST_CURVE_BITS = 2048, 224
LARGEST_REQUEST = 5500
# clocks of stations may run a little behind ours
BACKDATED = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority: its certificate and the key that signs."""

    certificate: x509.Certificate
    key: PrivateKey


def root_certificate(
    key: PrivateKey, *, organisation: str, serial_number: int, now: datetime, valid: timedelta
) -> x509.Certificate:
    """The self-signed certificate of a new authority, which may sign stations and servers and no other authority."""
    name = _name("Charging station authority", organisation)
    return (
        _builder(name, name, key.public_key(), serial_number, now, valid)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def server_certificate(
    authority: Authority,
    public_key: ec.EllipticCurvePublicKey,
    *,
    names: Sequence[str],
    serial_number: int,
    now: datetime,
    valid: timedelta,
) -> x509.Certificate:
    """A certificate for a gateway under these host names or addresses.

    Raises:
        InvalidInput: no name is given.
    """
    if not names:
        raise InvalidInput("there is no name.", field="names", remedy="Give the host names that stations connect to.")
    alternatives = x509.SubjectAlternativeName([_alternative_name(name) for name in names])
    subject = _name(names[0], _organisation(authority))
    return _sign_leaf(
        authority, subject, public_key, serial_number, now, valid, ExtendedKeyUsageOID.SERVER_AUTH, alternatives
    )


def station_certificate(
    authority: Authority,
    public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    *,
    identity: str,
    serial_number: int,
    now: datetime,
    valid: timedelta,
) -> x509.Certificate:
    """A certificate with which a station logs in: its common name is its identity (A00.FR.511)."""
    subject = _name(identity, _organisation(authority))
    return _sign_leaf(authority, subject, public_key, serial_number, now, valid, ExtendedKeyUsageOID.CLIENT_AUTH, None)


def requested_key(pem: str, *, identity: str) -> ec.EllipticCurvePublicKey | rsa.RSAPublicKey:
    """The public key of a certificate signing request, once it has been checked.

    Raises:
        InvalidInput: it cannot be read, is not signed by its own key, is for another station, or its key is too weak.
    """
    if len(pem) > LARGEST_REQUEST:
        raise InvalidInput(f"it is longer than {LARGEST_REQUEST} characters.", field="csr")
    try:
        request = x509.load_pem_x509_csr(pem.encode())
        signed = request.is_signature_valid
    except (ValueError, InvalidSignature) as error:
        raise InvalidInput(f"it is no certificate signing request: {error}"[:200], field="csr") from error
    if not signed:
        raise InvalidInput("it is not signed by the key that it names.", field="csr")
    names = [item.value for item in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if names != [identity]:
        raise InvalidInput("its common name is not the identity of the station.", field="csr")
    key = request.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= LEAST_RSA_BITS:
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and key.key_size >= LEAST_CURVE_BITS:
        return key
    raise InvalidInput(
        f"its key is neither RSA of {LEAST_RSA_BITS} bits nor a curve of {LEAST_CURVE_BITS}.", field="csr"
    )


def fingerprint(der: bytes) -> str:
    """SHA-256 of a certificate in DER form, in hexadecimal."""
    return hashlib.sha256(der).hexdigest()


def pem_of(certificate: x509.Certificate) -> str:
    """A certificate as text."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def der_of(certificate: x509.Certificate) -> bytes:
    """A certificate as TLS carries it."""
    return certificate.public_bytes(serialization.Encoding.DER)


def hash_data(certificate: x509.Certificate, issuer: x509.Certificate) -> dict[str, str]:
    """CertificateHashDataType of OCPP: how stations name an installed certificate (RFC 6960, section 4.1.1)."""
    # a request for a certificate's status names it in the same way
    named = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, hashes.SHA256()).build()
    return {
        "hashAlgorithm": "SHA256",
        "issuerNameHash": named.issuer_name_hash.hex(),
        "issuerKeyHash": named.issuer_key_hash.hex(),
        "serialNumber": f"{named.serial_number:x}",
    }


def _name(common_name: str, organisation: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64]),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation[:64]),
        ]
    )


def _organisation(authority: Authority) -> str:
    found = authority.certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return str(found[0].value) if found else ""


def _alternative_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    serial_number: int,
    now: datetime,
    valid: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(serial_number)
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + valid)
    )


def _sign_leaf(
    authority: Authority,
    subject: x509.Name,
    public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    serial_number: int,
    now: datetime,
    valid: timedelta,
    purpose: x509.ObjectIdentifier,
    alternatives: x509.SubjectAlternativeName | None,
) -> x509.Certificate:
    # nothing outlives the authority that vouches for it
    valid = min(valid, authority.certificate.not_valid_after_utc - now)
    if valid <= timedelta(0):
        raise InvalidInput("the authority has expired.", field="authority", remedy="Make a new one with create_ca.")
    issuer_key = authority.key.public_key()
    builder = (
        _builder(subject, authority.certificate.subject, public_key, serial_number, now, valid)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )
    if alternatives is not None:
        builder = builder.add_extension(alternatives, critical=False)
    return builder.sign(authority.key, hashes.SHA256())


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
