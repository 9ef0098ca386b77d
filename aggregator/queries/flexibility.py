"""How far the portfolio's power can move now, and for how long, region by region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from fleet.core.flexibility import AvailableFlexibility, available_flexibility
from fleet.queries.assets import FlexibleAsset, fleet_snapshot
from fleet.queries.contracts import within_contracts
from fleet.queries.places import RegionView, regions
from grid.core.openadr.wishes import Portfolio

# for how long power is asked for, in hours, by the products that we know
DURATIONS_H = (0.25, 0.5, 1.0, 2.0, 4.0)
# a pack, or a car whose driver named no time, is taken to stay as long as any product asks
NO_DEPARTURE_H = 24.0


@dataclass(frozen=True, slots=True)
class HeldFlexibility:
    """Power that can be held for a duration. Neither is negative."""

    duration_h: float
    reduction_kw: float
    increase_kw: float


@dataclass(frozen=True, slots=True)
class RegionFlexibility:
    """What the assets of a region that may be steered can do now, from where they are. `power_kw` is signed."""

    region_code: str
    at: datetime
    assets: int
    left_out: int
    power_kw: float
    reduction_kw: float
    increase_kw: float
    held: tuple[HeldFlexibility, ...]


def flexibility_now(*, now: datetime, region_code: str = "") -> list[RegionFlexibility]:
    """The flexibility of every region, or of one; a region that is not known has none."""
    return [_of_region(region, now) for region in regions() if not region_code or region.code == region_code]


def portfolio_of_region(region_code: str, *, now: datetime) -> Portfolio:
    """The same for one region, as an answer to an OpenADR event weighs it."""
    found = flexibility_now(now=now, region_code=region_code)
    if not found:
        return Portfolio(0.0, ())
    held = tuple((entry.duration_h, entry.reduction_kw, entry.increase_kw) for entry in found[0].held)
    return Portfolio(found[0].power_kw, held)


def _of_region(region: RegionView, now: datetime) -> RegionFlexibility:
    everything = within_contracts(fleet_snapshot(region_id=region.region_id, now=now), now).assets
    steered = [asset for asset in everything if not asset.left_out_because and not asset.charge_now]
    offered = _offered(steered, now)
    return RegionFlexibility(
        region_code=region.code,
        at=now,
        assets=len(steered),
        left_out=len(everything) - len(steered),
        power_kw=round(sum(asset.power_kw for asset in steered), 3),
        reduction_kw=_total(offered.reduction_kw),
        increase_kw=_total(offered.increase_kw),
        held=tuple(
            HeldFlexibility(
                duration_h,
                _total(offered.reduction_kw[offered.reduction_h >= duration_h]),
                _total(offered.increase_kw[offered.increase_h >= duration_h]),
            )
            for duration_h in DURATIONS_H
        ),
    )


def _offered(assets: Sequence[FlexibleAsset], now: datetime) -> AvailableFlexibility:
    def column(name: str) -> NDArray[np.float64]:
        return np.array([getattr(asset, name) for asset in assets], dtype=np.float64)

    hours_left = [
        NO_DEPARTURE_H
        if asset.departure_at is None
        else min(NO_DEPARTURE_H, max(0.0, (asset.departure_at - now).total_seconds() / 3600.0))
        for asset in assets
    ]
    names = ("power_kw", "energy_kwh", "capacity_kwh", "floor_kwh", "required_kwh", "charge_kw", "discharge_kw")
    return available_flexibility(
        **{name: column(name) for name in (*names, "charge_efficiency", "discharge_efficiency")},
        hours_left=np.array(hours_left, dtype=np.float64),
    )


def _total(values: NDArray[np.float64]) -> float:
    return round(float(values.sum()), 3)
