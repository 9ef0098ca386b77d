"""Rules of UFTP (Shapeshifter) that need nothing but the message: days, settlement periods, reasons for rejection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

# the protocol's own words (Shapeshifter specification, rejection reasons)
UNKNOWN_RECIPIENT = "Unknown Recipient"
BARRED_SENDER = "Barred Sender"
INVALID_SENDER = "Invalid Sender"
DUPLICATE_IDENTIFIER = "Duplicate Identifier"
ISP_DURATION_REJECTED = "ISP Duration Rejected"
TIME_ZONE_REJECTED = "TimeZone Rejected"
INVALID_CONGESTION_POINT = "Invalid Congestion Point"
UNKNOWN_REFERENCE = "Unknown Reference"
ISPS_OUT_OF_BOUNDS = "ISPs Out Of Bounds"
ISP_CONFLICT = "ISP Conflict"
PERIOD_OUT_OF_BOUNDS = "Period Out Of Bounds"
EXPIRATION_OUT_OF_BOUNDS = "Expiration DateTime Out Of Bounds"


@dataclass(frozen=True, slots=True)
class MarketTerms:
    """What is agreed for a congestion point: the length of a settlement period (ISP) and the zone its days follow."""

    isp_minutes: int
    time_zone: str


@dataclass(frozen=True, slots=True)
class FlexFrame:
    """What every flexibility message says about its time. `isps` are (first number, how many), numbered from 1."""

    isp_minutes: float
    time_zone: str
    period: date
    isps: tuple[tuple[int, int], ...]
    expires_at: datetime | None


def day_bounds(period: date, time_zone: str) -> tuple[datetime, datetime]:
    """When a local day begins and ends, in UTC; 23 or 25 hours where clocks change."""
    zone = ZoneInfo(time_zone)
    begins, ends = (datetime.combine(day, time(), zone).astimezone(UTC) for day in (period, period + timedelta(days=1)))
    return begins, ends


def frame_rejection(frame: FlexFrame, terms: MarketTerms, now: datetime) -> str:
    """Why a flexibility message cannot be for this congestion point and time, in the protocol's words; empty if it can."""
    if frame.isp_minutes != terms.isp_minutes:
        return ISP_DURATION_REJECTED
    if frame.time_zone != terms.time_zone:
        return TIME_ZONE_REJECTED
    begins, ends = day_bounds(frame.period, terms.time_zone)
    if ends <= now:
        return PERIOD_OUT_OF_BOUNDS
    wrong = _isp_rejection(frame.isps, int((ends - begins) / timedelta(minutes=terms.isp_minutes)))
    if wrong:
        return wrong
    last_ends = begins + timedelta(minutes=terms.isp_minutes * max(first + count - 1 for first, count in frame.isps))
    if last_ends <= now:
        return PERIOD_OUT_OF_BOUNDS
    if frame.expires_at is not None and not now < frame.expires_at <= last_ends:
        return EXPIRATION_OUT_OF_BOUNDS
    return ""


def _isp_rejection(isps: Sequence[tuple[int, int]], isps_of_day: int) -> str:
    after = 1
    for first, count in sorted(isps):
        if first < 1 or count < 1 or first + count - 1 > isps_of_day:
            return ISPS_OUT_OF_BOUNDS
        if first < after:
            return ISP_CONFLICT
        after = first + count
    return "" if isps else ISPS_OUT_OF_BOUNDS
