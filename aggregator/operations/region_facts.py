"""What planning knows of a region at one moment: its assets, and the problem that they, the prices and the events make."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from aggregator.core.dispatch.fleet.allotment import with_allotment
from aggregator.operations.departures import forecast_departures
from aggregator.operations.plan_inputs import HORIZON_H, PlanInputs, build_plan_inputs
from aggregator.queries.portfolios import RegionBand
from common.horizon import Horizon
from fleet.queries.assets import FlexibleAsset, fleet_snapshot
from grid.queries import open_events, prices


@dataclass(frozen=True, eq=False)
class RegionFacts:
    """The facts of a plan. `assets` has those that are left out of it, too."""

    region_id: int
    read_at: datetime
    assets: tuple[FlexibleAsset, ...]
    inputs: PlanInputs

    @property
    def unsteered_kw(self) -> float:
        """What chargers and packs draw that this plan leaves alone; taken to go on."""
        steered = {asset.asset_id for asset in self.inputs.steered}
        return float(np.sum([asset.power_kw for asset in self.assets if asset.asset_id not in steered]))


def read_facts(*, region_id: int, now: datetime, horizon: Horizon | None = None) -> RegionFacts:
    """Read all that is known at `now`; over the steps of `horizon` where regions plan together."""
    snapshot = fleet_snapshot(region_id=region_id, now=now)
    inputs = build_plan_inputs(
        snapshot=snapshot,
        events=open_events(region_id=region_id, now=now),
        prices=prices(region_id=region_id, starts_at=now, ends_at=now + timedelta(hours=HORIZON_H + 1)),
        region_id=region_id,
        now=now,
        departures=forecast_departures(region_id=region_id, assets=snapshot.assets, now=now),
        horizon=horizon,
    )
    return RegionFacts(region_id, now, snapshot.assets, inputs)


def within_band(facts: RegionFacts, band: RegionBand) -> RegionFacts:
    """The same facts, with the region's part of its portfolio's room to keep to."""
    problem = with_allotment(
        facts.inputs.problem,
        band.least_kw - facts.unsteered_kw,
        band.most_kw - facts.unsteered_kw,
        band.missed_price_per_kwh,
        band.name,
    )
    return replace(facts, inputs=replace(facts.inputs, problem=problem))
