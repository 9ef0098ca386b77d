"""May this computer compute now? The owner's terms against what is known of the car."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class OwnerTerms:
    """On which terms an owner rents out a computer.

    Attributes:
        minimum_soc_fraction: below it the battery is for driving.
        departure_margin_s: no computing within so many seconds of departure.
        floor_price_per_cpu_hour: the owner's own least price; None: the cost floor.
        energy_price_per_kwh: what charging costs the owner; None: the default of the currency.
    """

    minimum_soc_fraction: float
    departure_margin_s: int
    floor_price_per_cpu_hour: Decimal | None = None
    energy_price_per_kwh: Decimal | None = None


DEFAULT_TERMS = OwnerTerms(minimum_soc_fraction=0.3, departure_margin_s=600)


@dataclass(frozen=True, slots=True)
class CarCondition:
    """What is known of a car and its owner at one moment; None: not known."""

    enrolled: bool
    consented: bool
    plugged_in: bool
    emergency: bool
    soc_fraction: float | None
    departure_at: datetime | None


def refusal(condition: CarCondition, *, minimum_soc_fraction: float, departure_margin_s: int, now: datetime) -> str:
    """Why the car's computer may not compute now, in a word; empty if it may.

    no_consent, unplugged, emergency (the site keeps its energy), soc_unknown, low_battery (soc < minimum), departure (departure − now ≤ margin).
    """
    if not (condition.enrolled and condition.consented):
        return "no_consent"
    if not condition.plugged_in:
        return "unplugged"
    if condition.emergency:
        return "emergency"
    if condition.soc_fraction is None:
        return "soc_unknown"
    if condition.soc_fraction < minimum_soc_fraction:
        return "low_battery"
    if available_s(condition.departure_at, departure_margin_s=departure_margin_s, now=now) <= 0:
        return "departure"
    return ""


def available_s(departure_at: datetime | None, *, departure_margin_s: int, now: datetime) -> float:
    """Seconds for which the car will still compute; infinite while nobody has said when it leaves."""
    if departure_at is None:
        return math.inf
    return (departure_at - now).total_seconds() - departure_margin_s


def stricter_soc(known: float | None, told: float | None) -> float | None:
    """The lower of two words on a battery's level; None only if there is none."""
    levels = [level for level in (known, told) if level is not None]
    return min(levels) if levels else None


def earlier(first: datetime | None, second: datetime | None) -> datetime | None:
    """The earlier of two departures; None only if there is none."""
    instants = [instant for instant in (first, second) if instant is not None]
    return min(instants) if instants else None
