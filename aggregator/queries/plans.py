"""Plans for those who answer for them: what was promised with which probability, and what could not be kept and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from aggregator.core.fairness import gini
from aggregator.core.missed_sentences import describe_miss
from aggregator.core.sentences import Sentence
from aggregator.models import OwnerContribution, Plan
from common.errors import NotFound
from fleet.queries.names import asset_names, region_places, site_names

MOST_LINES = 200


class PlanNotFound(NotFound):
    """No such plan."""

    code = "plan_not_found"


@dataclass(frozen=True, slots=True)
class PlanLine:
    """One plan in a list."""

    plan_id: int
    region_code: str
    time_zone: str
    made_at: datetime
    trigger: str
    assets: int
    gap: float
    probability: float | None
    missed: int


@dataclass(frozen=True, slots=True)
class MissedPromiseLine:
    """A promise that a plan could not keep. `whose` names the asset or site, or is empty; `money` is kWh times price."""

    kind: str
    whose: str
    is_asset: bool
    event_id: int | None
    starts_at: datetime
    kw: float
    kwh: float
    price: float
    money: float
    sentence: Sentence
    reason: str


@dataclass(frozen=True, slots=True)
class PlanView:
    """One plan: its figures, its promises against departures, and what it misses (the first `MOST_LINES` of `missed`).

    `contracts` are those that kept it from more: asset and limit (events, energy), as many at most.
    """

    plan_id: int
    region_code: str
    time_zone: str
    currency: str
    made_at: datetime
    trigger: str
    status: str
    solver: str
    cost: float
    lower_bound: float
    gap: float
    solve_s: float
    assets: int
    probability: float | None
    departure_basis: tuple[tuple[str, int], ...]
    margins: tuple[tuple[int, float, float], ...]
    missed: int
    lines: tuple[MissedPromiseLine, ...]
    contracts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class FairnessView:
    """How calls were shared in a region: shares are kWh credited per kWh offered."""

    region_code: str
    as_of: datetime
    owners: int
    delivered_kwh: float
    least_share: float
    most_share: float
    gini: float


def recent_plans(*, limit: int, before_id: int | None = None) -> list[PlanLine]:
    """The newest plans of all regions."""
    rows = Plan.objects.order_by("-pk")
    if before_id is not None:
        rows = rows.filter(pk__lt=before_id)
    found = list(rows.defer("step_h", "price_per_kwh", "target_kw", "computing_kw")[:limit])
    places = region_places({row.region_id for row in found})
    return [
        PlanLine(
            row.pk,
            places[row.region_id][0],
            places[row.region_id][1],
            row.made_at,
            row.trigger,
            row.asset_count,
            row.gap,
            row.probability,
            len(row.missed),
        )
        for row in found
    ]


def plan_view(plan_id: int) -> PlanView:
    """One plan.

    Raises:
        PlanNotFound.
    """
    row = Plan.objects.filter(pk=plan_id).first()
    if row is None:
        raise PlanNotFound(f"There is no plan {plan_id}.", field="plan_id")
    code, zone, currency = region_places([row.region_id])[row.region_id]
    return PlanView(
        plan_id=row.pk,
        region_code=code,
        time_zone=zone,
        currency=currency,
        made_at=row.made_at,
        trigger=row.trigger,
        status=row.status,
        solver=row.solver,
        cost=row.cost,
        lower_bound=row.lower_bound,
        gap=row.gap,
        solve_s=row.solve_s,
        assets=row.asset_count,
        probability=row.probability,
        departure_basis=tuple(sorted(row.departure_basis.items())),
        margins=tuple((one["event_id"], one["target_kw"], one["margin_kw"]) for one in row.event_margins),
        missed=len(row.missed),
        lines=_lines(row, row.missed[:MOST_LINES]),
        contracts=_contracts(row.contracts[:MOST_LINES]),
    )


def _contracts(bindings: Sequence[dict[str, Any]]) -> tuple[tuple[str, str], ...]:
    if not bindings:
        return ()
    names = asset_names({one["asset_id"] for one in bindings})
    return tuple((names.get(one["asset_id"], ""), one["limit"]) for one in bindings)


def _lines(plan: Plan, missed: Sequence[dict[str, Any]]) -> tuple[MissedPromiseLine, ...]:
    assets = asset_names({miss["asset_id"] for miss in missed if miss.get("asset_id") is not None})
    sites = site_names({miss["site_id"] for miss in missed if miss.get("site_id") is not None})
    begins_s = np.concatenate([[0.0], np.cumsum(plan.step_h)]) * 3600.0
    lines = []
    for miss in missed:
        at = plan.starts_at + timedelta(seconds=float(begins_s[min(miss["step"], len(plan.step_h) - 1)]))
        asset = assets.get(miss.get("asset_id") or 0, "")
        event_id = miss.get("event_id")
        lines.append(
            MissedPromiseLine(
                kind=miss["kind"],
                whose=asset or sites.get(miss.get("site_id") or 0, ""),
                is_asset=bool(asset),
                event_id=event_id if isinstance(event_id, int) else None,
                starts_at=at,
                kw=miss["kw"],
                kwh=miss["kwh"],
                price=miss["price"],
                money=miss["money"],
                sentence=describe_miss(miss["kind"], kw=miss["kw"], kwh=miss["kwh"], price=miss["price"], at=at),
                reason=miss["reason"],
            )
        )
    return tuple(lines)


def fairness_by_region() -> list[FairnessView]:
    """How evenly owners were called in the last 30 days, region by region."""
    rows = OwnerContribution.objects.filter(offered_kwh__gt=0).values_list(
        "region_id", "as_of", "offered_kwh", "delivered_kwh"
    )
    of_region: dict[int, list[tuple[datetime, float, float]]] = {}
    for region_id, as_of, offered, delivered in rows:
        of_region.setdefault(region_id, []).append((as_of, offered, delivered))
    places = region_places(of_region)
    found = []
    for region_id, items in sorted(of_region.items()):
        offered_kwh = np.array([one for _, one, _ in items])
        delivered_kwh = np.array([one for _, _, one in items])
        share = delivered_kwh / offered_kwh
        found.append(
            FairnessView(
                places[region_id][0],
                max(as_of for as_of, _, _ in items),
                len(items),
                float(delivered_kwh.sum()),
                float(share.min()),
                float(share.max()),
                gini(share, offered_kwh),
            )
        )
    return found


def contribution_of_owner(owner_id: int) -> tuple[float, float, int]:
    """Hours offered, kWh credited and events of an owner in the last 30 days, all regions together."""
    rows = OwnerContribution.objects.filter(owner_id=owner_id).values_list("offered_h", "delivered_kwh", "events")
    return (
        sum(row[0] for row in rows),
        sum(row[1] for row in rows),
        sum(row[2] for row in rows),
    )
