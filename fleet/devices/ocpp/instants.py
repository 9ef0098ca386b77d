"""Instants as stations write them."""

from __future__ import annotations

from datetime import UTC, datetime

from fleet.devices.ocpp.schemas import PayloadError
from fleet.devices.ocpp.wire import V16

# A clock that was never set says 1970; before that, and long after us, there is no charging.
FIRST_YEAR, LAST_YEAR = 1970, 2199


def read_instant(text: str, *, field: str, version: str) -> datetime:
    """An instant in RFC 3339. One without a time zone is taken as UTC, which is what stations that leave it out mean.

    Raises:
        PayloadError: it is none; in the version's own terms, naming the field.
    """
    try:
        instant = datetime.fromisoformat(text.strip())
    except ValueError:
        code = "TypeConstraintViolation" if version == V16 else "FormatViolation"
        raise PayloadError(code, f"{field}: not a date and time in RFC 3339, such as 2026-11-23T18:30:00Z") from None
    if not FIRST_YEAR <= instant.year <= LAST_YEAR:
        raise PayloadError("PropertyConstraintViolation", f"{field}: not in the years {FIRST_YEAR} to {LAST_YEAR}")
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def write_instant(instant: datetime) -> str:
    """RFC 3339 in UTC to the second, which every station understands."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_exact_instant(instant: datetime) -> str:
    """RFC 3339 in UTC to the millisecond."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
