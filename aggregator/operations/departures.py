"""When the cars that are plugged in will leave: forecast once per stay and wish, kept, and compared with what came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from django.conf import settings
from django.db import transaction
from numpy.typing import NDArray

from aggregator.models import DepartureForecast
from common.horizon import Horizon
from common.units import SECONDS_PER_HOUR
from fleet.core.departure import (
    QUANTILE_PROBABILITIES,
    Basis,
    RunningStay,
    StayHistory,
    forecast_departure,
    presence_probability,
)
from fleet.queries.assets import FlexibleAsset
from fleet.queries.stays import POOLED_FOR, StayNow, ended_stays, stays_now

_ROWS_PER_STATEMENT = 2_000


@dataclass(frozen=True, slots=True)
class Departure:
    """What a plan knows of one stay's end. `leaves_after` is None where the driver named no time."""

    leaves_after: datetime | None
    probability: float | None
    basis: str
    quantiles_s: tuple[float, ...]


def forecast_departures(
    *, region_id: int, assets: Sequence[FlexibleAsset], now: datetime
) -> dict[int, Departure]:  # by session
    """The forecast of every plugged-in car: the one that was made when it came or its driver changed the wish, or a new one.

    It is made once and stands. Were it made again while the car stays, the instant by which it must be ready would move
    away as time passes, and what was put off for it would be missing whenever the car leaves in the end.
    """
    plugged = {asset.session_id: asset for asset in assets if asset.session_id is not None}
    kept = _newest_forecasts(list(plugged))
    missing = {pk: asset for pk, asset in plugged.items() if pk not in kept or kept[pk].stated_at != asset.departure_at}
    if missing:
        kept |= _make(region_id, missing, now)
    return {session_id: _departure(row) for session_id, row in kept.items()}


def _newest_forecasts(session_ids: Sequence[int]) -> dict[int, DepartureForecast]:
    rows = DepartureForecast.objects.filter(session_id__in=session_ids, left_at__isnull=True)
    return {row.session_id: row for row in rows.order_by("session_id", "-made_at").distinct("session_id")}


def _make(region_id: int, plugged: Mapping[int, FlexibleAsset], now: datetime) -> dict[int, DepartureForecast]:
    stays = stays_now(session_ids=list(plugged))
    ended = ended_stays(region_id=region_id, vehicle_ids=[stay.vehicle_id for stay in stays.values()], now=now)
    history = StayHistory(ended, pooled_from_s=(now - POOLED_FOR).timestamp())
    rows = [_row(region_id, history, stay, plugged[session_id], now) for session_id, stay in stays.items()]
    DepartureForecast.objects.bulk_create(rows, batch_size=_ROWS_PER_STATEMENT, ignore_conflicts=True)
    return {row.session_id: row for row in rows}


def _row(region_id: int, history: StayHistory, stay: StayNow, asset: FlexibleAsset, now: datetime) -> DepartureForecast:
    running = RunningStay(
        stay.vehicle_id,
        stay.site_id,
        stay.arrived_at.timestamp(),
        np.nan if stay.stated_at is None else stay.stated_at.timestamp(),
    )
    served_s = now.timestamp() + _hours_to_serve(asset) * SECONDS_PER_HOUR
    told = forecast_departure(
        history, running, now_s=now.timestamp(), served_s=served_s, probability=settings.PLAN_PROBABILITY
    )
    leaves_after = _instant(told.leaves_after_s)
    return DepartureForecast(
        region_id=region_id,
        session_id=stay.session_id,
        vehicle_id=stay.vehicle_id,
        site_id=stay.site_id,
        made_at=now,
        arrived_at=stay.arrived_at,
        stated_at=stay.stated_at,
        expected_at=_instant(told.expected_s),
        served_at=_instant(served_s),
        # never later than the driver's word, not even by the rounding of a float
        leaves_after=leaves_after
        if stay.stated_at is None or leaves_after is None
        else min(leaves_after, stay.stated_at),
        probability=None if told.basis is Basis.STATED else told.probability,
        quantiles_at=[_instant(at_s) for at_s in told.quantiles_s],
        basis=told.basis,
        samples=told.samples,
    )


def _hours_to_serve(asset: FlexibleAsset) -> float:
    """Hours of charging at full power until the need is met; infinite if it cannot charge."""
    short_kwh = max(0.0, asset.required_kwh - asset.energy_kwh)
    gain_kw = asset.charge_kw * asset.charge_efficiency
    return short_kwh / gain_kw if gain_kw > 0.0 else np.inf if short_kwh > 0.0 else 0.0


def _instant(at_s: float) -> datetime | None:
    return datetime.fromtimestamp(at_s, UTC) if np.isfinite(at_s) else None


def _departure(row: DepartureForecast) -> Departure:
    return Departure(
        row.leaves_after if row.stated_at is not None else None,
        row.probability,
        row.basis,
        tuple(at.timestamp() for at in row.quantiles_at),
    )


def ready_steps(
    assets: Sequence[FlexibleAsset],
    departures: Mapping[int, Departure],
    horizon: Horizon,
    departure_step: NDArray[np.int64],
) -> NDArray[np.int64] | None:  # [asset]
    """From which step on each asset's need must be met, so that it is met should the driver leave early; None for no one."""
    ready_step = departure_step.copy()
    for row, asset in enumerate(assets):
        departure = departures.get(asset.session_id) if asset.session_id is not None else None
        if departure is None or departure.leaves_after is None or departure.leaves_after >= horizon.ends_at:
            continue
        first = 0 if departure.leaves_after <= horizon.starts_at else horizon.step_at(departure.leaves_after)
        ready_step[row] = min(first, departure_step[row])
    return ready_step if np.any(ready_step < departure_step - 1) else None


def presence_of(
    assets: Sequence[FlexibleAsset], departures: Mapping[int, Departure], horizon: Horizon
) -> NDArray[np.float64]:  # [asset, step]
    """Probability that each asset is there when each step begins; 1 for packs and where nothing is known."""
    quantiles_s = np.full((len(assets), QUANTILE_PROBABILITIES.size), np.nan)
    for row, asset in enumerate(assets):
        departure = departures.get(asset.session_id) if asset.session_id is not None else None
        if departure is not None and departure.quantiles_s:
            quantiles_s[row] = departure.quantiles_s
    now_s = horizon.starts_at.timestamp()
    return presence_probability(quantiles_s, now_s + horizon.offset_s[:-1], now_s)


def record_departures(*, now: datetime) -> int:
    """Note when the cars of open forecasts left; returns how many forecasts were closed."""
    closed = 0
    open_rows = DepartureForecast.objects.filter(left_at__isnull=True, made_at__lte=now).order_by("pk")
    last_pk = 0
    while batch := list(open_rows.filter(pk__gt=last_pk)[:_ROWS_PER_STATEMENT]):
        last_pk = batch[-1].pk
        stays = stays_now(session_ids={row.session_id for row in batch})
        ended = []
        for row in batch:
            stay = stays.get(row.session_id)
            if stay is not None and stay.left_at is not None:
                row.left_at, row.left_known = stay.left_at, stay.left_known
                ended.append(row)
        with transaction.atomic():
            closed += DepartureForecast.objects.bulk_update(ended, ["left_at", "left_known"]) if ended else 0
    return closed
