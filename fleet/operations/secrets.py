"""Secrets of devices and agents: made here, kept as hashes only.

Three forms, told apart by their first characters:

- `sha256$salt$digest` for secrets that we generate: 192 random bits cannot be guessed, so a slow hash would only make
  a thousand chargers that boot at once wait;
- `scrypt$n$r$p$salt$digest` for secrets that people choose;
- `$7$iterations$salt$digest` (PBKDF2-SHA512 in Mosquitto's notation) for devices that log in at the MQTT broker.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets as random_source
from base64 import b64decode, b64encode

from common.errors import InvalidInput
from fleet.operations.broker_access import hash_broker_password

GENERATED_BYTES = 24
BROKER_FORM = "$7$"
SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**14, 8, 1
_SALT_BYTES = 16
_DIGEST_BYTES = 32


def generate_secret() -> str:
    """32 characters of 192 random bits, free of characters that need quoting in a URL, a header or a shell."""
    return random_source.token_urlsafe(GENERATED_BYTES)


def hash_secret(secret: str, *, generated: bool = False) -> str:
    """Hash a secret for keeping.

    Args:
        secret: what the device will show.
        generated: True for the result of `generate_secret` (or as random), which gets a fast hash; False for what a
            person chose.

    Raises:
        InvalidInput: the secret is empty.
    """
    _require_some(secret)
    salt = random_source.token_bytes(_SALT_BYTES)
    if generated:
        return f"sha256${_text(salt)}${_text(_sha256(secret, salt))}"
    digest = _scrypt(secret, salt, SCRYPT_N, SCRYPT_R, SCRYPT_P)
    return f"scrypt${SCRYPT_N}${SCRYPT_R}${SCRYPT_P}${_text(salt)}${_text(digest)}"


def hash_broker_secret(secret: str) -> str:
    """Hash a secret in the form that the MQTT broker itself verifies.

    Raises:
        InvalidInput: the secret is empty.
    """
    _require_some(secret)
    return hash_broker_password(secret)


def verify_secret(secret: str, stored: str) -> bool:
    """Whether a secret is the one that was hashed, in constant time; False for anything that is no hash of ours."""
    try:
        expected, shown = _expected_and_shown(secret, stored)
    except (ValueError, UnicodeEncodeError):
        return False
    return hmac.compare_digest(expected, shown)


def _expected_and_shown(secret: str, stored: str) -> tuple[bytes, bytes]:
    if stored.startswith(BROKER_FORM):
        _, _, iterations, salt, digest = stored.split("$")
        return b64decode(digest), hashlib.pbkdf2_hmac("sha512", secret.encode(), b64decode(salt), int(iterations))
    scheme, *parts = stored.split("$")
    if scheme == "sha256":
        salt, digest = parts
        return b64decode(digest), _sha256(secret, b64decode(salt))
    if scheme == "scrypt":
        n, r, p, salt, digest = parts
        return b64decode(digest), _scrypt(secret, b64decode(salt), int(n), int(r), int(p))
    raise ValueError("not a hash of ours")


def _sha256(secret: str, salt: bytes) -> bytes:
    return hashlib.sha256(salt + secret.encode()).digest()


def _scrypt(secret: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(secret.encode(), salt=salt, n=n, r=r, p=p, maxmem=2 * 128 * n * r, dklen=_DIGEST_BYTES)


def _text(value: bytes) -> str:
    return b64encode(value).decode()


def _require_some(secret: str) -> None:
    if not secret:
        raise InvalidInput("is empty", field="password", remedy="Leave it out to have one generated.")
