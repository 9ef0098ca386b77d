"""Settlement: from baselines and meters to delivered energy, payment and everybody's part of it. Pure.

The rules, version 2026-11.1 (a change of any of them is a new version, kept with every settlement):

1. delivered = baseline − metered for a reduction, metered − baseline for an increase; per asset and slot. Where either is
   not metered nothing is delivered: no evidence, no payment.
2. In every slot the energy delivered is paid up to what was asked for in full; more is not paid, less than nothing is 0.
3. After the ramp the target is owed. What is missing from it beyond the tolerance costs the programme's price; a slot that
   the ramp ends in owes the part of it that lies behind.
4. Capacity is paid per kW held: the mean over the slots after the ramp of the delivered power, between nothing and target.
5. payment = energy + capacity − penalty. Owners get the programme's share of a payment above zero, each by the energy that
   their asset delivered over the event; assets that worked against the event get nothing and pay nothing. The rest, a
   penalty beyond the earnings, and the parts of assets without an owner are the platform's.

Energy is kept to a milliwatt-hour (six digits of a kWh), money to the precision of the books; both are rounded here and
nowhere later, and every total is the sum of the rounded parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
from numpy.typing import NDArray

from common.clock import Interval
from common.errors import InvalidInput
from common.money import split_amount, to_ledger_amount

Numbers = NDArray[np.float64]

RULE_VERSION = "2026-11.1"
ENERGY_QUANTUM = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class SettlementTerms:
    """What was asked for and what it is worth. `direction` is "reduce" or "increase"; prices in one currency."""

    direction: str
    target_kw: float
    starts_at: datetime
    ends_at: datetime
    slot_s: int
    ramp_s: int
    energy_price_per_kwh: Decimal
    capacity_price_per_kw: Decimal
    missed_price_per_kwh: Decimal
    tolerance_fraction: float
    owner_share_fraction: Decimal


@dataclass(frozen=True, slots=True)
class SettledStep:
    """One slot. Powers are means over it; baseline and meter signed, delivered positive in the direction asked for."""

    starts_at: datetime
    ends_at: datetime
    in_ramp: bool
    baseline_kw: float
    metered_kw: float
    delivered_kw: float
    target_kw: float
    delivered_kwh: Decimal
    target_kwh: Decimal
    paid_kwh: Decimal
    missed_kwh: Decimal
    energy_payment: Decimal
    penalty: Decimal

    @property
    def payment(self) -> Decimal:
        """Energy less penalty; capacity is paid for the event, not for a slot."""
        return self.energy_payment - self.penalty


@dataclass(frozen=True, slots=True)
class SettledShare:
    """What one asset contributed over the event, and what its owner gets for it."""

    asset_id: int
    baseline_kwh: float
    metered_kwh: float
    delivered_kwh: Decimal
    payment: Decimal


@dataclass(frozen=True, slots=True)
class SettlementResult:
    """A settled event. Σ steps' delivered = Σ shares' delivered = `delivered_kwh`, and
    Σ shares' payment + `platform_payment` = `payment`, exactly."""

    steps: tuple[SettledStep, ...]
    shares: tuple[SettledShare, ...]
    delivered_kwh: Decimal
    target_kwh: Decimal
    missed_kwh: Decimal
    energy_payment: Decimal
    capacity_payment: Decimal
    penalty: Decimal
    payment: Decimal
    platform_payment: Decimal


@dataclass(frozen=True, eq=False)
class Contribution:
    """What the meters of some assets prove, condensed: energies over all of them, and over all slots, signed as at the
    meter. What is not proven counts on neither side."""

    asset_ids: tuple[int, ...]
    slot_baseline_kwh: Numbers  # [slot]
    slot_metered_kwh: Numbers  # [slot]
    baseline_kwh: Numbers  # [asset]
    metered_kwh: Numbers  # [asset]


def settle(
    *,
    terms: SettlementTerms,
    asset_ids: Sequence[int],
    baseline_kw: Numbers,  # [asset, slot]
    net_kwh: Numbers,  # [asset, slot]
    complete: NDArray[np.bool_],  # [asset, slot]
    has_owner: NDArray[np.bool_],  # [asset]
) -> SettlementResult:
    """Settle an event by the rules of this module, from the meters of all its participants at once.

    Args:
        baseline_kw: mean power that each asset would have drawn, NaN where that is not known.
        net_kwh: energy that went into each asset, by its meter.
        complete: whether the meter proves the energy of the slot.
        has_owner: whether somebody other than the platform is paid for the asset.

    Raises:
        InvalidInput: the arrays do not have one row per asset and one column per slot, or the direction is none.
    """
    part = condense(terms=terms, asset_ids=asset_ids, baseline_kw=baseline_kw, net_kwh=net_kwh, complete=complete)
    return settle_contribution(terms=terms, contribution=part, has_owner=has_owner)


def condense(
    *,
    terms: SettlementTerms,
    asset_ids: Sequence[int],
    baseline_kw: Numbers,  # [asset, slot]
    net_kwh: Numbers,  # [asset, slot]
    complete: NDArray[np.bool_],  # [asset, slot]
) -> Contribution:
    """Condense the meters of some participants; see `settle` for the arguments."""
    slots = event_slots(terms)
    _check(terms, asset_ids, baseline_kw, net_kwh, complete, len(slots))
    slot_h = np.array([slot.duration_s / 3600.0 for slot in slots])
    proven = complete & ~np.isnan(baseline_kw)
    baseline_kwh = np.where(proven, np.nan_to_num(baseline_kw) * slot_h, 0.0)
    metered_kwh = np.where(proven, net_kwh, 0.0)
    return Contribution(
        asset_ids=tuple(int(asset_id) for asset_id in asset_ids),
        slot_baseline_kwh=baseline_kwh.sum(axis=0),
        slot_metered_kwh=metered_kwh.sum(axis=0),
        baseline_kwh=baseline_kwh.sum(axis=1),
        metered_kwh=metered_kwh.sum(axis=1),
    )


def combine(terms: SettlementTerms, parts: Sequence[Contribution]) -> Contribution:
    """The contribution of all assets of several parts together."""
    slots = len(event_slots(terms))
    return Contribution(
        asset_ids=tuple(asset_id for part in parts for asset_id in part.asset_ids),
        slot_baseline_kwh=sum((part.slot_baseline_kwh for part in parts), np.zeros(slots)),
        slot_metered_kwh=sum((part.slot_metered_kwh for part in parts), np.zeros(slots)),
        baseline_kwh=np.concatenate([np.zeros(0), *(part.baseline_kwh for part in parts)]),
        metered_kwh=np.concatenate([np.zeros(0), *(part.metered_kwh for part in parts)]),
    )


def settle_contribution(
    *, terms: SettlementTerms, contribution: Contribution, has_owner: NDArray[np.bool_]
) -> SettlementResult:
    """Settle an event from what its participants' meters come to, by the rules of this module.

    Args:
        has_owner: whether somebody other than the platform is paid for the asset  # [asset]

    Raises:
        InvalidInput: `has_owner` has not one value per asset.
    """
    if has_owner.shape != (len(contribution.asset_ids),):
        raise InvalidInput("has not one value per asset.", field="has_owner", remedy="Give [asset].")
    sign = _direction_sign(terms.direction)
    steps = tuple(
        _settle_step(terms, slot, float(b), float(m), float(sign * (m - b)))
        for slot, b, m in zip(
            event_slots(terms), contribution.slot_baseline_kwh, contribution.slot_metered_kwh, strict=True
        )
    )
    capacity_payment = _capacity_payment(terms, steps)
    delivered_kwh = sum((step.delivered_kwh for step in steps), Decimal(0))
    energy_payment = sum((step.energy_payment for step in steps), Decimal(0))
    penalty = sum((step.penalty for step in steps), Decimal(0))
    payment = energy_payment + capacity_payment - penalty
    parts_kwh = distribute_energy(delivered_kwh, sign * (contribution.metered_kwh - contribution.baseline_kwh))
    payments = owners_payments(payment, terms.owner_share_fraction, parts_kwh, has_owner)
    shares = tuple(
        SettledShare(asset_id, float(b), float(m), part_kwh, part)
        for asset_id, b, m, part_kwh, part in zip(
            contribution.asset_ids,
            contribution.baseline_kwh,
            contribution.metered_kwh,
            parts_kwh,
            payments,
            strict=True,
        )
    )
    return SettlementResult(
        steps=steps,
        shares=shares,
        delivered_kwh=delivered_kwh,
        target_kwh=sum((step.target_kwh for step in steps), Decimal(0)),
        missed_kwh=sum((step.missed_kwh for step in steps), Decimal(0)),
        energy_payment=energy_payment,
        capacity_payment=capacity_payment,
        penalty=penalty,
        payment=payment,
        platform_payment=payment - sum(payments, Decimal(0)),
    )


def event_slots(terms: SettlementTerms) -> list[Interval]:
    """The settlement slots of an event, from its start; the last may be shorter."""
    return Interval(terms.starts_at, terms.ends_at).slots(terms.slot_s)


def ramp_mean_fraction(terms: SettlementTerms, slot: Interval) -> float:
    """Mean over a slot of a target that rises linearly from nothing at the start to everything at the ramp's end."""
    if terms.ramp_s == 0:
        return 1.0
    low_s, high_s = _seconds_into(terms, slot)
    rising_low, rising_high = min(low_s, terms.ramp_s), min(high_s, terms.ramp_s)
    area_s = (rising_high**2 - rising_low**2) / (2 * terms.ramp_s) + (high_s - max(low_s, rising_high))
    return area_s / (high_s - low_s)


def owed_fraction(terms: SettlementTerms, slot: Interval) -> float:
    """The part of a slot that lies behind the ramp."""
    low_s, high_s = _seconds_into(terms, slot)
    return max(0.0, high_s - max(low_s, terms.ramp_s)) / (high_s - low_s)


def distribute_energy(total_kwh: Decimal, measured_kwh: Numbers) -> list[Decimal]:
    """Measured energies rounded so that they add up to a total; the asset that moved most takes what rounding leaves."""
    parts = [to_energy(float(value)) for value in measured_kwh]
    if parts:
        largest = int(np.argmax(np.abs(measured_kwh)))
        parts[largest] += total_kwh - sum(parts, Decimal(0))
    return parts


def owners_payments(
    payment: Decimal, owner_share_fraction: Decimal, delivered_kwh: Sequence[Decimal], has_owner: NDArray[np.bool_]
) -> list[Decimal]:
    """What the owner of each asset gets: the owners' share of a payment above zero, by energy delivered.

    Assets without an owner count in the split, and their part stays with the platform.
    """
    nothing = [Decimal(0)] * len(delivered_kwh)
    weights = [max(part, Decimal(0)) for part in delivered_kwh]
    if payment <= 0 or not any(weights):
        return nothing
    parts = split_amount(to_ledger_amount(payment * owner_share_fraction), weights)
    return [part if owned else Decimal(0) for part, owned in zip(parts, has_owner, strict=True)]


def to_energy(energy_kwh: float | Decimal) -> Decimal:
    """Round an energy to the milliwatt-hour, half to even."""
    return Decimal(str(energy_kwh)).quantize(ENERGY_QUANTUM, rounding=ROUND_HALF_EVEN)


def _settle_step(
    terms: SettlementTerms, slot: Interval, baseline_kwh: float, metered_kwh: float, delivered: float
) -> SettledStep:
    slot_h = slot.duration_s / 3600.0
    owed = owed_fraction(terms, slot)
    delivered_kwh = to_energy(delivered)
    asked_kwh = to_energy(terms.target_kw * slot_h)
    tolerated_kwh = to_energy(terms.target_kw * owed * slot_h * (1.0 - terms.tolerance_fraction))
    paid_kwh = min(max(delivered_kwh, Decimal(0)), asked_kwh)
    # a slot without anything owed misses nothing, even where assets worked against the event
    missed_kwh = max(Decimal(0), tolerated_kwh - delivered_kwh) if owed > 0 else Decimal(0)
    target_kw = terms.target_kw * ramp_mean_fraction(terms, slot)
    return SettledStep(
        starts_at=slot.starts_at,
        ends_at=slot.ends_at,
        in_ramp=owed < 1.0,
        baseline_kw=baseline_kwh / slot_h,
        metered_kw=metered_kwh / slot_h,
        delivered_kw=delivered / slot_h,
        target_kw=target_kw,
        delivered_kwh=delivered_kwh,
        target_kwh=to_energy(target_kw * slot_h),
        paid_kwh=paid_kwh,
        missed_kwh=missed_kwh,
        energy_payment=to_ledger_amount(paid_kwh * terms.energy_price_per_kwh),
        penalty=to_ledger_amount(missed_kwh * terms.missed_price_per_kwh),
    )


def _capacity_payment(terms: SettlementTerms, steps: Sequence[SettledStep]) -> Decimal:
    owing = [step for step in steps if not step.in_ramp] or list(steps)
    held_kw = [min(max(step.delivered_kw, 0.0), terms.target_kw) for step in owing]
    mean_kw = Decimal(str(round(sum(held_kw) / len(held_kw), 6)))
    return to_ledger_amount(mean_kw * terms.capacity_price_per_kw)


def _direction_sign(direction: str) -> float:
    """Which way the meter moves when the event is served: down for a reduction."""
    return -1.0 if direction == "reduce" else 1.0


def _seconds_into(terms: SettlementTerms, slot: Interval) -> tuple[float, float]:
    return (
        (slot.starts_at - terms.starts_at) / timedelta(seconds=1),
        (slot.ends_at - terms.starts_at) / timedelta(seconds=1),
    )


def _check(
    terms: SettlementTerms,
    asset_ids: Sequence[int],
    baseline_kw: Numbers,
    net_kwh: Numbers,
    complete: NDArray[np.bool_],
    slots: int,
) -> None:
    if terms.direction not in ("reduce", "increase"):
        raise InvalidInput(f"{terms.direction!r} is none.", field="direction", remedy="Give reduce or increase.")
    wanted = (len(asset_ids), slots)
    for name, array in (("baseline_kw", baseline_kw), ("net_kwh", net_kwh), ("complete", complete)):
        if array.shape != wanted:
            raise InvalidInput(f"has shape {array.shape}, not {wanted}.", field=name, remedy="Give [asset, slot].")
