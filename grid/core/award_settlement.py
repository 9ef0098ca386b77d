"""Settling power that was sold to a market: capacity, energy up and down, imbalance, penalty, shares. Pure.

The rules, version award-2026-11.1 (a change of any of them is a new version, kept with every settlement):

1. delivered = baseline − metered of all participants together, up is positive; where either is not metered nothing is
   delivered. It is judged against the order as the product's assessment says (`grid.core.compliance`).
2. ΔkW: every slot pays contracted kW · capacity price. The shortfall of a slot is the mean of what its judged intervals
   were short of; the penalty is multiplier · capacity price · shortfall, never more than multiplier · capacity payment.
3. kWh: energy in the direction ordered is paid up to what was ordered, up and down each at its price.
4. imbalance = delivered − ordered, at its price: a surplus is paid, a deficit costs.
5. payment = ΔkW + kWh + imbalance − penalty. Owners get their part of a payment above zero: what comes from ΔkW less
   penalty by committed kW, what comes from energy and imbalance by the energy that each asset delivered in the direction
   ordered. Where one of the two is a loss, the other's measure splits all. Assets without an owner count in the split and
   their part is the platform's; so is a loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from common.clock import Interval
from common.money import split_amount, to_ledger_amount
from grid.core.compliance import (
    DroopCurve,
    Judged,
    droop_up_kw,
    judge_call,
    judge_energy,
    judge_following,
    judge_limit,
    judge_slots,
)
from grid.core.settlement import distribute_energy, to_energy

Numbers = NDArray[np.float64]

RULE_VERSION = "award-2026-11.1"


@dataclass(frozen=True, slots=True)
class AwardTerms:
    """What was sold. `contracted_kw` holds in the direction of the order; prices in one currency."""

    assessment: str
    slots: tuple[Interval, ...]
    intervals_per_slot: int
    interval_s: float
    response_s: float
    tolerance_fraction: float
    penalty_multiplier: float
    contracted_kw: float
    capacity_price: Decimal
    up_energy_price_per_kwh: Decimal
    down_energy_price_per_kwh: Decimal
    imbalance_price_per_kwh: Decimal
    owner_share_fraction: Decimal
    droop: DroopCurve | None = None


@dataclass(frozen=True, eq=False)
class AwardMeasures:
    """What was ordered and measured in every judged interval, of all participants together. NaN: not known."""

    ordered_up_kw: Numbers  # [interval]
    frequency_hz: Numbers  # [interval]
    limit_kw: Numbers  # [interval]
    baseline_kw: Numbers  # [interval]
    metered_kw: Numbers  # [interval]
    available_kw: Numbers  # [interval]


@dataclass(frozen=True, slots=True)
class AwardSlot:
    """One settled market slot."""

    starts_at: datetime
    ends_at: datetime
    baseline_kw: float
    metered_kw: float
    ordered_up_kw: float
    delivered_up_kw: float
    short_kw: float
    compliant_fraction: float
    up_kwh: Decimal
    down_kwh: Decimal
    imbalance_kwh: Decimal
    capacity_payment: Decimal
    energy_payment: Decimal
    imbalance_payment: Decimal
    penalty: Decimal


@dataclass(frozen=True, slots=True)
class AwardShareResult:
    """One asset's part."""

    asset_id: int
    committed_kw: float
    delivered_kwh: Decimal
    payment: Decimal


@dataclass(frozen=True, slots=True)
class AwardResult:
    """A settled award. Totals are sums of the slots; Σ shares + platform = payment, exactly."""

    slots: tuple[AwardSlot, ...]
    shares: tuple[AwardShareResult, ...]
    compliant_fraction: float
    up_kwh: Decimal
    down_kwh: Decimal
    imbalance_kwh: Decimal
    capacity_payment: Decimal
    energy_payment: Decimal
    imbalance_payment: Decimal
    penalty: Decimal
    payment: Decimal
    platform_payment: Decimal


def ordered_power(terms: AwardTerms, measures: AwardMeasures) -> Numbers:  # [interval]
    """What every interval asked for: the market's order, or the droop's answer to the frequency."""
    if terms.droop is not None:
        asked = droop_up_kw(terms.droop, measures.frequency_hz, terms.contracted_kw)
        return np.nan_to_num(asked)
    return np.nan_to_num(measures.ordered_up_kw)


def judge(terms: AwardTerms, measures: AwardMeasures) -> Judged:
    """Judge all intervals as the product's assessment says."""
    ordered = ordered_power(terms, measures)
    delivered = measures.baseline_kw - measures.metered_kw
    contracted, tolerance = terms.contracted_kw, terms.tolerance_fraction
    if terms.assessment in ("droop", "following"):
        return judge_following(
            ordered_up_kw=ordered,
            delivered_up_kw=delivered,
            contracted_kw=contracted,
            response_s=terms.response_s,
            interval_s=terms.interval_s,
            tolerance_fraction=tolerance,
        )
    if terms.assessment == "slots":
        return judge_slots(
            ordered_up_kw=ordered,
            delivered_up_kw=delivered,
            available_kw=measures.available_kw,
            contracted_kw=contracted,
            tolerance_fraction=tolerance,
        )
    if terms.assessment == "call":
        return judge_call(called=ordered > 0, delivered_up_kw=delivered, contracted_kw=contracted)
    if terms.assessment == "limit":
        return judge_limit(limit_kw=measures.limit_kw, metered_kw=measures.metered_kw)
    return judge_energy(
        ordered_up_kw=ordered, delivered_up_kw=delivered, contracted_kw=contracted, tolerance_fraction=tolerance
    )


def settle_award(
    *,
    terms: AwardTerms,
    measures: AwardMeasures,
    asset_ids: Sequence[int],
    committed_kw: Numbers,  # [asset]
    contributed_kwh: Numbers,  # [asset]
    has_owner: NDArray[np.bool_],  # [asset]
) -> AwardResult:
    """Settle an award by the rules of this module.

    Args:
        committed_kw: power that each asset stands for.
        contributed_kwh: energy that each asset delivered in the direction ordered, by `contribution_kwh`.
        has_owner: whether somebody other than the platform is paid for the asset.
    """
    judged = judge(terms, measures)
    ordered = judged.ordered_up_kw if terms.assessment != "limit" else np.zeros(len(judged.short_kw))
    slots = tuple(
        _slot(terms, slot, slice(at, at + terms.intervals_per_slot), measures, judged, ordered)
        for slot, at in zip(terms.slots, range(0, len(ordered), terms.intervals_per_slot), strict=True)
    )

    def total(name: str) -> Decimal:
        return sum((getattr(slot, name) for slot in slots), Decimal(0))

    capacity, energy, penalty = total("capacity_payment"), total("energy_payment"), total("penalty")
    imbalance = total("imbalance_payment")
    payment = capacity + energy + imbalance - penalty
    delivered = distribute_energy(to_energy(float(contributed_kwh.sum())), contributed_kwh)
    payments = _owners(terms, capacity - penalty, energy + imbalance, committed_kw, delivered, has_owner)
    return AwardResult(
        slots=slots,
        shares=tuple(
            AwardShareResult(int(asset_id), float(kw), kwh, part)
            for asset_id, kw, kwh, part in zip(asset_ids, committed_kw, delivered, payments, strict=True)
        ),
        compliant_fraction=judged.fraction,
        up_kwh=total("up_kwh"),
        down_kwh=total("down_kwh"),
        imbalance_kwh=total("imbalance_kwh"),
        capacity_payment=capacity,
        energy_payment=energy,
        imbalance_payment=imbalance,
        penalty=penalty,
        payment=payment,
        platform_payment=payment - sum(payments, Decimal(0)),
    )


def contribution_kwh(
    ordered_up_kw: Numbers, baseline_kw: Numbers, metered_kw: Numbers, interval_h: float
) -> Numbers:  # [asset]
    """Energy that each asset delivered in the direction ordered: Σ sign(order) · (baseline − metered) · h.

    Args:
        baseline_kw, metered_kw: NaN where not known; counts nothing  # [asset, interval]
    """
    return np.nan_to_num(baseline_kw - metered_kw) @ np.sign(ordered_up_kw) * interval_h


def _slot(
    terms: AwardTerms, slot: Interval, inside: slice, measures: AwardMeasures, judged: Judged, ordered: Numbers
) -> AwardSlot:
    interval_h = terms.interval_s / 3600.0
    delivered = np.nan_to_num((measures.baseline_kw - measures.metered_kw)[inside])
    asked = ordered[inside]
    up = to_energy(float(np.clip(np.minimum(delivered, asked), 0.0, None)[asked > 0].sum()) * interval_h)
    down = to_energy(float(np.clip(np.minimum(-delivered, -asked), 0.0, None)[asked < 0].sum()) * interval_h)
    known = ~np.isnan((measures.baseline_kw - measures.metered_kw)[inside])
    off = to_energy(float(np.where(known | (asked != 0), delivered - asked, 0.0).sum()) * interval_h)
    short_kw = float(judged.short_kw[inside].mean())
    capacity = to_ledger_amount(Decimal(str(terms.contracted_kw)) * terms.capacity_price)
    penalty = min(
        Decimal(str(terms.penalty_multiplier)) * terms.capacity_price * Decimal(str(round(short_kw, 6))),
        Decimal(str(terms.penalty_multiplier)) * capacity,
    )
    return AwardSlot(
        starts_at=slot.starts_at,
        ends_at=slot.ends_at,
        baseline_kw=float(np.nan_to_num(measures.baseline_kw[inside]).mean()),
        metered_kw=float(np.nan_to_num(measures.metered_kw[inside]).mean()),
        ordered_up_kw=float(asked.mean()),
        delivered_up_kw=float(delivered.mean()),
        short_kw=short_kw,
        compliant_fraction=float(judged.compliant[inside].mean()),
        up_kwh=up,
        down_kwh=down,
        imbalance_kwh=off,
        capacity_payment=capacity,
        energy_payment=to_ledger_amount(up * terms.up_energy_price_per_kwh + down * terms.down_energy_price_per_kwh),
        imbalance_payment=to_ledger_amount(off * terms.imbalance_price_per_kwh),
        penalty=to_ledger_amount(penalty),
    )


def _owners(
    terms: AwardTerms,
    from_capacity: Decimal,
    from_energy: Decimal,
    committed_kw: Numbers,
    delivered_kwh: Sequence[Decimal],
    has_owner: NDArray[np.bool_],
) -> list[Decimal]:
    by_power = [Decimal(str(round(max(float(kw), 0.0), 6))) for kw in committed_kw]
    by_energy = [max(kwh, Decimal(0)) for kwh in delivered_kwh]
    total = from_capacity + from_energy
    nothing = [Decimal(0)] * len(by_power)
    if total <= 0:
        return nothing
    pots = [(max(from_capacity, Decimal(0)), by_power), (max(from_energy, Decimal(0)), by_energy)]
    if not any(by_energy):
        pots = [(total, by_power)]
    if not any(by_power):
        pots = [(total, by_energy)]
    whole = sum((pot for pot, _ in pots), Decimal(0))
    parts = nothing
    for pot, weights in pots:
        if pot > 0 and any(weights):
            amount = to_ledger_amount(pot / whole * total * terms.owner_share_fraction)
            parts = [held + part for held, part in zip(parts, split_amount(amount, weights), strict=True)]
    return [part if owned else Decimal(0) for part, owned in zip(parts, has_owner, strict=True)]
