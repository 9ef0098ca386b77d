"""Bank accounts as they are written."""

from __future__ import annotations

import re

_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_BIC = re.compile(r"[A-Z]{6}[A-Z0-9]{2}([A-Z0-9]{3})?")


def normalised_iban(text: str) -> str:
    """An IBAN without spaces, in capitals; empty if its form or its check digits (ISO 13616, modulo 97) are wrong."""
    iban = re.sub(r"\s", "", text).upper()
    if not _IBAN.fullmatch(iban):
        return ""
    digits = "".join(str(int(sign, 36)) for sign in iban[4:] + iban[:4])
    return iban if int(digits) % 97 == 1 else ""


def is_bic(text: str) -> bool:
    """Whether a text has the form of a BIC (ISO 9362)."""
    return _BIC.fullmatch(text) is not None
