"""The files of our certificate authority: its key and certificate, and the gateways' own.

`ca.pem` may be read by anybody; `ca.key` and `server.pem`, which holds a key too, by their owner alone, and are refused
otherwise. The authority's key is encrypted where a passphrase is given; only the worker that signs needs it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from common.errors import Conflict, InvalidInput, NotAllowed, NotFound
from fleet.core.certificates import Authority, PrivateKey, pem_of, root_certificate, server_certificate

CA_KEY, CA_CERTIFICATE = "ca.key", "ca.pem"
# key and certificate together
SERVER_CERTIFICATE = "server.pem"
AUTHORITY_VALID = timedelta(days=3650)
SERVER_VALID = timedelta(days=365)
STATION_VALID = timedelta(days=365)
RENEW_SERVER_BEFORE = timedelta(days=30)


class NoAuthority(NotFound):
    """There is no certificate authority in the directory."""

    code = "no_authority"


class KeyExposed(NotAllowed):
    """Others than its owner can read a key."""

    code = "key_exposed"


def create_authority(*, directory: Path, organisation: str, passphrase: str, now: datetime) -> Authority:
    """Make an authority in an empty or new directory.

    Raises:
        Conflict: there is one already; its stations would lose their way in.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (directory / CA_KEY).exists() or (directory / CA_CERTIFICATE).exists():
        raise Conflict(f"{directory} holds an authority already.", field="directory", remedy="Choose another.")
    key = new_key()
    certificate = root_certificate(
        key,
        organisation=organisation,
        serial_number=x509.random_serial_number(),
        now=now,
        valid=AUTHORITY_VALID,
    )
    write_secret(directory / CA_KEY, key_text(key, passphrase))
    (directory / CA_CERTIFICATE).write_text(pem_of(certificate))
    return Authority(certificate, key)


def load_authority(*, directory: Path, passphrase: str) -> Authority:
    """The authority of a directory.

    Raises:
        NoAuthority: there is none.
        KeyExposed: others can read its key.
        InvalidInput: the passphrase does not open the key.
    """
    key_file = directory / CA_KEY
    if not key_file.is_file():
        raise NoAuthority(
            f"{directory} holds no authority.", field="OCPP_CERTIFICATES", remedy="Make one with create_ca."
        )
    require_private(key_file)
    try:
        key = serialization.load_pem_private_key(key_file.read_bytes(), passphrase.encode() or None)
    except (ValueError, TypeError) as error:
        raise InvalidInput("the passphrase does not open the key.", field="OCPP_CA_PASSPHRASE") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InvalidInput("the key is none that create_ca makes.", field=CA_KEY)
    return Authority(x509.load_pem_x509_certificate((directory / CA_CERTIFICATE).read_bytes()), key)


def issue_server_certificate(
    *, directory: Path, passphrase: str, names: Sequence[str], now: datetime, valid: timedelta = SERVER_VALID
) -> x509.Certificate:
    """Make the gateways a new key and certificate. Running gateways take them up within a minute."""
    authority = load_authority(directory=directory, passphrase=passphrase)
    key = new_key()
    certificate = server_certificate(
        authority,
        key.public_key(),
        names=names,
        serial_number=x509.random_serial_number(),
        now=now,
        valid=valid,
    )
    # both in one file, replaced in one step: a gateway must never read a key and another key's certificate
    chain = key_text(key, "") + pem_of(certificate)
    write_secret(directory / SERVER_CERTIFICATE, chain)
    return certificate


def renew_server_certificate(*, directory: Path, passphrase: str, now: datetime) -> bool:
    """Make the gateways a new certificate for the same names when the old one ends within a month.

    Returns whether that was so; False also where they have none, because nobody has said for which names.
    """
    expires_at = server_certificate_expires_at(directory)
    if expires_at is None or expires_at > now + RENEW_SERVER_BEFORE:
        return False
    old = x509.load_pem_x509_certificate((directory / SERVER_CERTIFICATE).read_bytes())
    names = old.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    given = [str(name.value) for name in names]
    issue_server_certificate(directory=directory, passphrase=passphrase, names=given, now=now)
    return True


def server_certificate_expires_at(directory: Path) -> datetime | None:
    """When the gateways' certificate ends; None if there is none."""
    file = directory / SERVER_CERTIFICATE
    if not file.is_file():
        return None
    return x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc


def new_key() -> PrivateKey:
    """A key of ours."""
    return ec.generate_private_key(ec.SECP256R1())


def key_text(key: PrivateKey, passphrase: str) -> str:
    """A key as PEM, encrypted where there is a passphrase."""
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        encryption = serialization.BestAvailableEncryption(passphrase.encode())
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption).decode()


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner can read, in place of an older one in one step."""
    unfinished = path.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    unfinished.replace(path)


def require_private(path: Path) -> None:
    """Refuse a key that others can read.

    Raises:
        KeyExposed: they can.
    """
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyExposed(f"others can read {path}.", field=path.name, remedy=f"Run: chmod 600 {path}")
