"""What an OpenADR event asks of a portfolio, interval by interval.

Signs: positive = consume more. OpenADR's set-points are consumption, so a relative one below zero asks for a reduction;
capacity limits are never negative.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any

from grid.core.openadr.timing import TimedInterval, timed_intervals

RELATIVE, ABSOLUTE, SIMPLE = "DISPATCH_SETPOINT_RELATIVE", "DISPATCH_SETPOINT", "SIMPLE"
IMPORT_LIMIT, EXPORT_LIMIT = "IMPORT_CAPACITY_LIMIT", "EXPORT_CAPACITY_LIMIT"
PRICE, EMISSIONS = "PRICE", "GHG"
# the first of them that an interval has is what it asks for
POWER_TYPES = (RELATIVE, ABSOLUTE, IMPORT_LIMIT, EXPORT_LIMIT, SIMPLE)
SIGNAL_TYPES = (PRICE, EMISSIONS)
MOST_INTERVALS = 500
MOST_SIMPLE_LEVEL = 3
_KW_PER_UNIT = {"KW": 1.0, "W": 1e-3, "MW": 1e3}
_KWH_PER_UNIT = {"KWH": 1.0, "MWH": 1e3}
_KG_PER_UNIT = {"GHG": 1e-3, "G": 1e-3}
PROGRAMME_ATTRIBUTE = "PROGRAMME"


class NotUnderstood(ValueError):
    """A payload that names a unit, value or time that nobody can act on; its text says which."""


@dataclass(frozen=True, slots=True)
class Portfolio:
    """The power of what can be steered, and how far it can move for how long: (hours, reduction, increase), by hours."""

    power_kw: float
    held: tuple[tuple[float, float, float], ...]

    def without(self, moved_kw: float) -> Portfolio:
        """As it would be if it had not been moved by so much (positive = it draws more)."""
        held = tuple((h, down + max(0.0, -moved_kw), up + max(0.0, moved_kw)) for h, down, up in self.held)
        return Portfolio(self.power_kw - moved_kw, held)

    def movable_kw(self, hours: float) -> tuple[float, float]:
        """Reduction and increase that can be held for so long; never negative. None beyond the longest that is known."""
        fitting = [entry for entry in self.held if entry[0] >= hours] or list(self.held[-1:])
        return (fitting[0][1], fitting[0][2]) if fitting else (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Wish:
    """What one interval asks for. `value` is in kW, a SIMPLE level, money per kWh, or kg per kWh, by `payload_type`.

    An empty `payload_type` asks for nothing that a portfolio acts on. `currency` is a price's.
    """

    position: int
    interval_id: int
    payload_type: str
    value: float
    starts_at: datetime
    ends_at: datetime | None
    currency: str = ""

    @property
    def hours(self) -> float:
        """Duration; endless ones count as a day."""
        return 24.0 if self.ends_at is None else (self.ends_at - self.starts_at).total_seconds() / 3600.0


def programme_code(program: Mapping[str, Any]) -> str:
    """The code of the platform's programme that an OpenADR programme means: its attribute PROGRAMME, else its name."""
    for attribute in program.get("attributes") or ():
        if attribute["type"] == PROGRAMME_ATTRIBUTE and attribute["values"] and isinstance(attribute["values"][0], str):
            return attribute["values"][0]
    return program["programName"]


def event_wishes(event: Mapping[str, Any], program: Mapping[str, Any], now: datetime) -> list[Wish]:
    """What each interval of an event asks for, in the order of the event; intervals without any time are left out.

    Raises:
        NotUnderstood: there are too many, or one cannot be acted on.
    """
    timed = list(islice(timed_intervals(event, now), MOST_INTERVALS + 1))
    if len(timed) > MOST_INTERVALS:
        raise NotUnderstood(f"more than {MOST_INTERVALS} intervals")
    descriptors = _descriptors(program) | _descriptors(event)
    return [_wish(position, interval, descriptors) for position, interval in enumerate(timed)]


def wanted_change_kw(wish: Wish, portfolio: Portfolio) -> float:
    """The change of power that a wish amounts to, positive = consume more; zero if there is nothing to do.

    - relative: as it stands;
    - absolute: from the power of now to the set-point;
    - import limit: down to it from a power above it; export limit: up to it from an export beyond it;
    - SIMPLE: level / 3 of the reduction that can be held for the interval.
    """
    if wish.payload_type == RELATIVE:
        return wish.value
    if wish.payload_type == ABSOLUTE:
        return wish.value - portfolio.power_kw
    if wish.payload_type == IMPORT_LIMIT:
        return min(0.0, wish.value - portfolio.power_kw)
    if wish.payload_type == EXPORT_LIMIT:
        return max(0.0, -wish.value - portfolio.power_kw)
    if wish.payload_type == SIMPLE:
        return -wish.value / MOST_SIMPLE_LEVEL * portfolio.movable_kw(wish.hours)[0]
    return 0.0


def joined(wishes: Sequence[Wish]) -> list[Wish]:
    """Wishes of one kind and value that follow each other without a gap, as one: a baseline that is read before each
    would else be read within the one before."""
    whole: list[Wish] = []
    for wish in wishes:
        last = whole[-1] if whole else None
        same = last is not None and (last.payload_type, last.value) == (wish.payload_type, wish.value)
        if last is not None and same and wish.payload_type in POWER_TYPES and last.ends_at == wish.starts_at:
            whole[-1] = replace(last, ends_at=wish.ends_at)
        else:
            whole.append(wish)
    return whole


def _wish(position: int, interval: TimedInterval, descriptors: Mapping[str, Mapping[str, Any]]) -> Wish:
    kind, value = _asked(interval.payloads)
    descriptor = descriptors.get(kind, {})
    unit = (descriptor.get("units") or "").upper()
    if kind in POWER_TYPES and kind != SIMPLE:
        value *= _factor(_KW_PER_UNIT, unit or "KW", kind)
    elif kind == PRICE:
        value /= _factor(_KWH_PER_UNIT, unit or "KWH", kind)
    elif kind == EMISSIONS:
        value *= _factor(_KG_PER_UNIT, unit or "GHG", kind)
    elif kind == SIMPLE and value not in range(MOST_SIMPLE_LEVEL + 1):
        raise NotUnderstood(f"SIMPLE is 0 to {MOST_SIMPLE_LEVEL}, not {value:g}")
    return Wish(
        position,
        interval.interval_id,
        kind,
        value,
        interval.span.starts_at,
        interval.span.ends_at,
        (descriptor.get("currency") or "").upper(),
    )


def _asked(payloads: Iterable[Mapping[str, Any]]) -> tuple[str, float]:
    given = {payload["type"]: payload["values"] for payload in reversed(list(payloads))}
    for kind in (*POWER_TYPES, *SIGNAL_TYPES):
        if kind in given:
            values = given[kind]
            if not values or isinstance(values[0], bool) or not isinstance(values[0], int | float):
                raise NotUnderstood(f"{kind} needs a number")
            if not math.isfinite(values[0]):
                raise NotUnderstood(f"{kind} needs a number")
            return kind, float(values[0])
    return "", 0.0


def _descriptors(owner: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    given = owner.get("payloadDescriptors") or ()
    return {entry["payloadType"]: entry for entry in given if entry.get("objectType") == "EVENT_PAYLOAD_DESCRIPTOR"}


def _factor(known: Mapping[str, float], unit: str, kind: str) -> float:
    if unit not in known:
        raise NotUnderstood(f"{kind} in {unit}; known are {', '.join(known)}")
    return known[unit]
