"""One plan for the regions of a portfolio, made piece by piece by whichever workers are there.

    begin → every region: sample → price → every region: plan within its part, and prove what the price proves → finish

Each piece is one call and one transaction: it reads what the pieces before it have committed, and may be done twice, by two
workers at once or after one was killed, without harm. What is missing can always be told from the rows (`missing_work`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from time import perf_counter
from uuid import UUID, uuid4

import numpy as np
from django.core.cache import cache
from django.db import IntegrityError, transaction
from django.db.models import Q
from numpy.typing import NDArray

from aggregator.core.dispatch import MissKind, plan_dispatch
from aggregator.core.dispatch.fleet.allotment import allot, at_duals, lower_bound, portfolio_rows
from aggregator.core.dispatch.fleet.coupling import Coupling
from aggregator.core.dispatch.fleet.sample import RegionSample, sample_of
from aggregator.core.dispatch.result import DispatchPlan, relative_gap
from aggregator.models import Portfolio, PortfolioPart, PortfolioPlan, PortfolioPlanState
from aggregator.operations.plan_inputs import lay_horizon
from aggregator.operations.plans import REGION_GAP, PlanOutcome, PlanOvertaken, keep_plan, make_plan
from aggregator.operations.region_facts import RegionFacts, read_facts, within_band
from aggregator.queries.portfolios import band_of, limits_by_step
from common.errors import Conflict
from common.horizon import Horizon
from grid.queries import open_events

# What is read for a plan is kept for its other pieces; one that comes later reads anew.
FACTS_KEPT_S = 900
# A plan that is not finished by then is given up for the next.
GIVEN_UP_AFTER = timedelta(minutes=5)
# A piece that nobody has done for so long is asked for again: its worker may have died.
ASKED_AGAIN_AFTER = timedelta(seconds=20)
OF_A_PART = (MissKind.PORTFOLIO_IMPORT_LIMIT, MissKind.PORTFOLIO_EXPORT_LIMIT)


class PortfolioPlanUnderWay(Conflict):
    """Another plan of the portfolio is being made."""

    code = "portfolio_plan_under_way"


class Piece(StrEnum):
    """A piece of work on a portfolio's plan."""

    SAMPLE = "sample"  # a region hands over its sample
    PRICE = "price"  # the samples are planned together
    PLAN = "plan"  # a region plans within its part
    PROVE = "prove"  # a region proves what it costs at least


@dataclass(frozen=True, slots=True)
class Work:
    """A piece that can be done now; `region_id` is None where it is of the whole portfolio."""

    piece: Piece
    portfolio_plan_id: int
    region_id: int | None = None


@dataclass(frozen=True, eq=False)
class _KeptFacts:
    """A region's facts under a name of their own."""

    name: UUID
    facts: RegionFacts
    sample: RegionSample


def begin_portfolio_plan(*, portfolio_id: int, trigger: str, now: datetime) -> list[Work]:
    """Lay the steps that all regions share, and ask every region for its sample.

    Raises PortfolioPlanUnderWay if one is being made and is not too old.
    """
    portfolio = Portfolio.objects.get(pk=portfolio_id)
    region_ids = sorted(portfolio.members.values_list("region_id", flat=True))
    events = [event for region_id in region_ids for event in open_events(region_id=region_id, now=now)]
    horizon = lay_horizon(now, events)
    limits = limits_by_step(portfolio_id=portfolio_id, horizon=horizon)
    under_way = Q(state__in=(PortfolioPlanState.SAMPLING, PortfolioPlanState.ALLOTTED))
    try:
        with transaction.atomic():
            PortfolioPlan.objects.filter(under_way, portfolio=portfolio, made_at__lt=now - GIVEN_UP_AFTER).update(
                state=PortfolioPlanState.ABANDONED, touched_at=now
            )
            plan = PortfolioPlan.objects.create(
                portfolio=portfolio,
                trigger=trigger,
                made_at=now,
                touched_at=now,
                step_h=horizon.step_h.tolist(),
                import_limit_kw=limits.import_limit_kw.tolist(),
                export_limit_kw=limits.export_limit_kw.tolist(),
                missed_price_per_kwh=limits.missed_price_per_kwh.tolist(),
            )
            PortfolioPart.objects.bulk_create(
                [PortfolioPart(portfolio_plan=plan, region_id=region_id) for region_id in region_ids]
            )
    except IntegrityError as error:
        if "portfolio_plan_one_under_way" not in str(error):
            raise
        raise PortfolioPlanUnderWay(
            "a plan of this portfolio is being made", remedy="Nothing to do: the next one has your change."
        ) from error
    return [Work(Piece.SAMPLE, plan.pk, region_id) for region_id in region_ids]


def do_work(*, work: Work, now: datetime) -> list[Work]:
    """Do one piece. Returns the pieces that can be done now because of it."""
    plan_id, region_id = work.portfolio_plan_id, work.region_id
    if region_id is None:
        return price_portfolio(portfolio_plan_id=plan_id, now=now)
    if work.piece is Piece.SAMPLE:
        return hand_over_sample(portfolio_plan_id=plan_id, region_id=region_id, now=now)
    if work.piece is Piece.PLAN:
        plan_part(portfolio_plan_id=plan_id, region_id=region_id, now=now)
    else:
        prove_part(portfolio_plan_id=plan_id, region_id=region_id, now=now)
    return []


def hand_over_sample(*, portfolio_plan_id: int, region_id: int, now: datetime) -> list[Work]:
    """Read a region's facts and keep them, and its sample, for the pieces that follow."""
    part = _part(portfolio_plan_id, region_id)
    if part.portfolio_plan.state == PortfolioPlanState.SAMPLING:
        kept = _read_anew(part)
        PortfolioPart.objects.filter(pk=part.pk).update(facts=kept.name, sampled_at=now)
        _touch(portfolio_plan_id, now)
    return missing_work(portfolio_plan_id=portfolio_plan_id, only=(Piece.PRICE,))


def price_portfolio(*, portfolio_plan_id: int, now: datetime) -> list[Work]:
    """Plan the samples together, and allot to every region its part. Asks again for a sample that was lost.

    Raises SolverFailed if there is no price; devices stay on their last plans.
    """
    from aggregator.core.dispatch.fleet.regions import find_prices  # the solver, which most processes never need

    plan = PortfolioPlan.objects.get(pk=portfolio_plan_id)
    parts = list(plan.parts.order_by("region_id"))
    if plan.state != PortfolioPlanState.SAMPLING:
        return missing_work(portfolio_plan_id=portfolio_plan_id)
    kept = {part.pk: _kept(part) for part in parts}
    lost = [part.pk for part in parts if kept[part.pk] is None]
    if lost:
        PortfolioPart.objects.filter(pk__in=lost).update(sampled_at=None)
        return missing_work(portfolio_plan_id=portfolio_plan_id)
    known = [found for part in parts if (found := kept[part.pk]) is not None]
    unsteered_kw = sum(found.facts.unsteered_kw for found in known)
    rows = _rows(plan, unsteered_kw)
    prices = find_prices(rows, [found.sample for found in known], gap=REGION_GAP)
    least_kw, most_kw = allot(rows, prices)
    with transaction.atomic():
        locked = PortfolioPlan.objects.select_for_update().get(pk=portfolio_plan_id)
        if locked.state == PortfolioPlanState.SAMPLING:
            locked.state, locked.duals, locked.touched_at = PortfolioPlanState.ALLOTTED, prices.duals.tolist(), now
            locked.save(update_fields=["state", "duals", "touched_at"])
            for row, (part, found) in enumerate(zip(parts, known, strict=True)):
                part.least_kw = (least_kw[row] + found.facts.unsteered_kw).tolist()
                part.most_kw = (most_kw[row] + found.facts.unsteered_kw).tolist()
            PortfolioPart.objects.bulk_update(parts, ["least_kw", "most_kw"])
    return missing_work(portfolio_plan_id=portfolio_plan_id)


def plan_part(*, portfolio_plan_id: int, region_id: int, now: datetime) -> PlanOutcome | None:
    """Plan a region within its part and keep that plan; None if that was done before.

    A region that was planned from newer facts meanwhile is planned once more, from facts as new as can be.
    """
    part = _part(portfolio_plan_id, region_id)
    if part.planned_at is not None or part.portfolio_plan.state != PortfolioPlanState.ALLOTTED:
        return None
    kept = _kept(part) or _read_anew(part)
    try:
        return _plan_and_keep(part, kept.facts, kept.name, now)
    except PlanOvertaken:
        return _plan_and_keep(part, read_facts(region_id=region_id, now=now), uuid4(), now)


def _plan_and_keep(part: PortfolioPart, facts: RegionFacts, name: UUID, now: datetime) -> PlanOutcome:
    started = perf_counter()
    portfolio_plan = part.portfolio_plan
    within = within_band(facts, band_of(part, facts.inputs.problem.horizon))
    plan = make_plan(within)
    decided_at = now + timedelta(seconds=perf_counter() - started)
    with transaction.atomic():
        locked = PortfolioPlan.objects.select_for_update().get(pk=portfolio_plan.pk)
        outcome = keep_plan(facts=within, plan=plan, trigger=portfolio_plan.trigger, decided_at=decided_at)
        PortfolioPart.objects.filter(pk=part.pk).update(
            plan_id=outcome.plan_id,
            planned_at=decided_at,
            plan_facts=name,
            power_kw=(_by_step(portfolio_plan, plan) + facts.unsteered_kw).tolist(),
            cost=_own_cost(plan, portfolio_plan.portfolio.code),
        )
        _finish_if_complete(locked, decided_at)
    return outcome


def _by_step(portfolio_plan: PortfolioPlan, plan: DispatchPlan) -> NDArray[np.float64]:  # [step of the portfolio]
    """The plan's total power over the steps of the portfolio; before its first step as in that."""
    if plan.horizon.starts_at == portfolio_plan.made_at:
        return plan.total_power_kw
    starts_at, total_kw = plan.horizon.boundaries()[:-1], plan.total_power_kw
    mean_kw = _horizon(portfolio_plan).mean_of_series(starts_at, plan.horizon.step_s.tolist(), total_kw.tolist())
    return np.where(np.isnan(mean_kw), total_kw[0], mean_kw)


def _own_cost(plan: DispatchPlan, name: str) -> float:
    """A plan's cost without what lies beyond its part: only the portfolio's sum has a limit."""
    return plan.cost - sum(miss.money for miss in plan.missed if miss.kind in OF_A_PART and miss.event_id == name)


def prove_part(*, portfolio_plan_id: int, region_id: int, now: datetime) -> None:
    """Plan a region at the portfolio's price, for the lower bound alone: nothing of it is sent."""
    part = _part(portfolio_plan_id, region_id)
    if part.bound is not None or part.portfolio_plan.state != PortfolioPlanState.ALLOTTED:
        return
    kept = _kept(part) or _read_anew(part)
    duals = np.array(part.portfolio_plan.duals)
    plan = plan_dispatch(at_duals(kept.facts.inputs.problem, duals), gap=REGION_GAP)
    with transaction.atomic():
        locked = PortfolioPlan.objects.select_for_update().get(pk=portfolio_plan_id)
        bound = plan.lower_bound + float(duals @ np.full(duals.size, kept.facts.unsteered_kw))
        PortfolioPart.objects.filter(pk=part.pk).update(bound=bound, bound_facts=kept.name)
        _finish_if_complete(locked, now)


def _finish_if_complete(plan: PortfolioPlan, now: datetime) -> None:
    """Add up what the regions have planned. The gap is told only if every bound is of the facts that were planned."""
    parts = list(plan.parts.order_by("region_id"))
    plan.touched_at = now
    if plan.state == PortfolioPlanState.ALLOTTED and all(
        part.planned_at is not None and part.bound is not None for part in parts
    ):
        rows = _rows(plan, 0.0)
        total_kw = np.sum([part.power_kw for part in parts], axis=0)
        missed_cost = rows.missed_cost(total_kw[None])
        plan.cost = sum(part.cost or 0.0 for part in parts) + missed_cost
        beyond_kw = np.maximum(total_kw - rows.upper_kw[0], 0.0) + np.maximum(rows.lower_kw[0] - total_kw, 0.0)
        plan.missed_kwh = float(beyond_kw @ rows.step_h)
        if all(part.plan_facts == part.bound_facts for part in parts):
            plan.lower_bound = lower_bound(rows, np.array(plan.duals), [part.bound or 0.0 for part in parts])
            plan.gap = relative_gap(plan.cost, plan.lower_bound)
        plan.state, plan.finished_at = PortfolioPlanState.FINISHED, now
    plan.save(update_fields=["state", "touched_at", "cost", "missed_kwh", "lower_bound", "gap", "finished_at"])


def missing_work(*, portfolio_plan_id: int, only: Sequence[Piece] = tuple(Piece)) -> list[Work]:
    """What can be done now for a plan, and is not done yet."""
    plan = PortfolioPlan.objects.get(pk=portfolio_plan_id)
    parts = list(plan.parts.order_by("region_id"))
    work: list[Work] = []
    if plan.state == PortfolioPlanState.SAMPLING:
        work = [Work(Piece.SAMPLE, plan.pk, part.region_id) for part in parts if part.sampled_at is None]
        work = work or [Work(Piece.PRICE, plan.pk)]
    if plan.state == PortfolioPlanState.ALLOTTED:  # plans first: devices wait for them
        work = [Work(Piece.PLAN, plan.pk, part.region_id) for part in parts if part.planned_at is None]
        work += [Work(Piece.PROVE, plan.pk, part.region_id) for part in parts if part.bound is None]
    return [item for item in work if item.piece in only]


def work_to_ask_again(*, now: datetime) -> list[Work]:
    """The missing pieces of plans on which nothing has gone on for a while; old plans are given up instead."""
    under_way = PortfolioPlan.objects.filter(state__in=(PortfolioPlanState.SAMPLING, PortfolioPlanState.ALLOTTED))
    under_way.filter(made_at__lt=now - GIVEN_UP_AFTER).update(state=PortfolioPlanState.ABANDONED, touched_at=now)
    work: list[Work] = []
    for plan_id in under_way.filter(touched_at__lt=now - ASKED_AGAIN_AFTER).values_list("pk", flat=True):
        _touch(plan_id, now)
        work += missing_work(portfolio_plan_id=plan_id)
    return work


def _part(portfolio_plan_id: int, region_id: int) -> PortfolioPart:
    return PortfolioPart.objects.select_related("portfolio_plan__portfolio").get(
        portfolio_plan_id=portfolio_plan_id, region_id=region_id
    )


def _touch(portfolio_plan_id: int, now: datetime) -> None:
    PortfolioPlan.objects.filter(pk=portfolio_plan_id, touched_at__lt=now).update(touched_at=now)


def _horizon(plan: PortfolioPlan) -> Horizon:
    return Horizon(plan.made_at, np.array(plan.step_h) * 3600.0)


def _rows(plan: PortfolioPlan, unsteered_kw: float) -> Coupling:
    """The portfolio's limits for what is steered."""
    return portfolio_rows(
        np.array(plan.step_h),
        np.array(plan.import_limit_kw) - unsteered_kw,
        np.array(plan.export_limit_kw) + unsteered_kw,
        np.array(plan.missed_price_per_kwh),
    )


def _key(part: PortfolioPart) -> str:
    return f"portfolio-facts:{part.portfolio_plan_id}:{part.region_id}"


def _kept(part: PortfolioPart) -> _KeptFacts | None:
    kept = cache.get(_key(part))
    return kept if isinstance(kept, _KeptFacts) else None


def _read_anew(part: PortfolioPart) -> _KeptFacts:
    """Facts as they are now, over the plan's steps, kept for its other pieces."""
    plan = part.portfolio_plan
    facts = read_facts(region_id=part.region_id, now=plan.made_at, horizon=_horizon(plan))
    kept = _KeptFacts(uuid4(), facts, sample_of(facts.inputs.problem))
    cache.set(_key(part), kept, FACTS_KEPT_S)
    return kept
