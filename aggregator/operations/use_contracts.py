"""Contracts of use in a plan: who may take part in further events, and when how much may be discharged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch import DispatchPlan, EventTarget
from common.horizon import Horizon
from fleet.core.flexibility import FlexibleAssets
from fleet.core.use_contract import discharge_parts
from fleet.queries.assets import FlexibleAsset
from grid.queries.events import participations

_LONGEST_MONTH = timedelta(days=32)
_USED_UP = 0.999


@dataclass(frozen=True, slots=True)
class ContractBinding:
    """A contract that a plan would have liked to exceed: `limit` is events or energy."""

    asset_id: int
    contract_id: int
    limit: str


@dataclass(frozen=True, eq=False)
class ContractLimits:
    """What contracts allow in a plan.

    Attributes:
        no_more_events: assets whose contract allows no further event this month.
        cut: where a contract's energy is what allows less discharge, [asset, step]; None where there is no contract.
    """

    no_more_events: tuple[ContractBinding, ...] = ()
    cut: NDArray[np.bool_] | None = None


def without_events_left(
    assets: Sequence[FlexibleAsset], *, region_id: int, now: datetime
) -> tuple[ContractBinding, ...]:
    """The assets whose contracts allow no further event in this local month. Reads nothing where no contract counts events.

    An event that is still to come and has them among its participants already is one of those that count, and stays theirs.
    """
    counted = [a for a in assets if a.allowance is not None and a.allowance.max_events_per_month is not None]
    if not counted:
        return ()
    events = participations(region_id=region_id, starts_at=now - _LONGEST_MONTH, ends_at=now + _LONGEST_MONTH)
    found = []
    for asset in counted:
        allowance = asset.allowance
        assert allowance is not None and allowance.max_events_per_month is not None  # chosen so above
        zone = ZoneInfo(allowance.time_zone)
        month = now.astimezone(zone).strftime("%Y-%m")
        served = {
            event_id
            for event_id, starts_at, participants in events
            if starts_at.astimezone(zone).strftime("%Y-%m") == month
            and any(
                stand in participants and begin <= starts_at and (starts_at < until or until >= now)
                for stand, begin, until in allowance.stands
            )
        }
        if len(served) >= allowance.max_events_per_month:
            found.append(ContractBinding(asset.asset_id, allowance.contract_id, "events"))
    return tuple(found)


def allow_by_contract(
    assets: FlexibleAssets,
    steered: Sequence[FlexibleAsset],
    horizon: Horizon,
    *,
    price_per_kwh: NDArray[np.float64],  # [step]
    targets: Sequence[EventTarget],
) -> tuple[FlexibleAssets, NDArray[np.bool_] | None]:  # cut: [asset, step]
    """The assets with the part of their discharge that contracts allow in each step.

    What a contract leaves of a day goes first to the steps of events, at what missing them costs, then to the dearest.
    """
    if all(asset.allowance is None for asset in steered):
        return assets, None
    worth = price_per_kwh.copy()
    for target in targets:
        missed = np.broadcast_to(np.asarray(target.missed_price_per_kwh, dtype=np.float64), worth.shape)
        worth += np.where(np.isnan(target.target_power_kw), 0.0, missed)
    parts = np.ones((len(steered), horizon.steps))
    cut = np.zeros((len(steered), horizon.steps), dtype=np.bool_)
    for row, asset in enumerate(steered):
        if asset.allowance is not None:
            parts[row], cut[row] = discharge_parts(
                asset.allowance, horizon, discharge_kw=asset.discharge_kw, worth_per_kwh=worth
            )
    return replace(assets, discharge_part=parts), cut


def binding_contracts(
    limits: ContractLimits, steered: Sequence[FlexibleAsset], assets: FlexibleAssets, plan: DispatchPlan
) -> list[ContractBinding]:
    """The contracts that kept a plan from more: no further events, or energy of some day that is used up by the plan."""
    found = list(limits.no_more_events)
    if limits.cut is None or assets.discharge_part is None:
        return found
    plugged = assets.plugged(plan.horizon.steps)
    for row in np.flatnonzero(limits.cut.any(axis=1)).tolist():
        allowance = steered[row].allowance
        allowed_kw = assets.discharge_kw[row] * assets.discharge_part[row] * plugged[row]
        allotted_kwh = float(allowed_kw @ plan.horizon.step_h)
        given_kwh = float(np.maximum(-plan.power_kw[row], 0.0) @ plan.horizon.step_h)
        if allowance is not None and given_kwh >= _USED_UP * allotted_kwh:
            found.append(ContractBinding(steered[row].asset_id, allowance.contract_id, "energy"))
    return found
