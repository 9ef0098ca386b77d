"""Whether bytes are what their sender says they are."""

from __future__ import annotations

import hashlib
import hmac

from common.errors import InvalidInput


def sha256_hex(content: bytes) -> str:
    """Hexadecimal SHA-256 of the content."""
    return hashlib.sha256(content).hexdigest()


def require_sha256(content: bytes, stated: str, *, field: str) -> str:
    """Return the digest of the content.

    Raises:
        InvalidInput: it is not the stated one: the content was damaged or changed on its way.
    """
    digest = sha256_hex(content)
    if not hmac.compare_digest(digest.encode(), stated.strip().lower().encode()):
        raise InvalidInput(
            f"its SHA-256 is {digest}, not {stated[:64]} as stated",
            field=field,
            remedy="Send the content again with the digest of its bytes.",
        )
    return digest
