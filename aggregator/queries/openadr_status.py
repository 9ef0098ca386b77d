"""The portfolio of a region as OpenADR reports tell it."""

from __future__ import annotations

from datetime import datetime

from aggregator.queries.delivery import latest_delivery
from aggregator.queries.flexibility import flexibility_now
from fleet.queries.assets import fleet_snapshot
from fleet.queries.places import regions
from grid.core.openadr.reporting import CURTAILED, HEIGHTENED, NORMAL, Status
from grid.queries import event

NO_PORTFOLIO = Status(0.0, None, 0.0, 0.0, 0.0, None, 0.0, 0.0, NORMAL)


def portfolio_status(region_code: str, *, running_event_id: int | None, now: datetime) -> Status:
    """What the steered assets of a region do, hold and offer now; during an event against its baseline."""
    region = next((region for region in regions() if region.code == region_code), None)
    if region is None:
        return NO_PORTFOLIO
    assets = [a for a in fleet_snapshot(region_id=region.region_id, now=now).assets if not a.left_out_because]
    offered = flexibility_now(now=now, region_code=region_code)[0]
    held = offered.held[0]
    capacity_kwh = sum(asset.capacity_kwh for asset in assets)
    energy_kwh = sum(asset.energy_kwh for asset in assets)
    power_kw, baseline_kw, state = offered.power_kw, None, NORMAL
    if running_event_id is not None:
        running = event(running_event_id)
        state = CURTAILED if running.direction == "reduce" else HEIGHTENED
        baseline_kw = running.baseline_kw
        seen = latest_delivery(event_id=running_event_id)
        if seen is not None:
            power_kw, baseline_kw = seen.measured_kw, seen.baseline_kw
    return Status(
        power_kw=power_kw,
        baseline_kw=baseline_kw,
        up_kw=held.reduction_kw,
        down_kw=held.increase_kw,
        usable_kwh=sum(max(0.0, asset.capacity_kwh - asset.floor_kwh) for asset in assets),
        soc_fraction=energy_kwh / capacity_kwh if capacity_kwh > 0 else None,
        max_charge_kw=sum(asset.charge_kw for asset in assets),
        max_discharge_kw=sum(asset.discharge_kw for asset in assets),
        operating_state=state,
    )
