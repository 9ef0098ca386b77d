"""Regions that share a limit, planned piece by piece: in any order, twice, or with pieces lost."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from django.core.cache import cache
from django.db import IntegrityError

from aggregator.models import Plan, Portfolio, PortfolioLimit, PortfolioPart, PortfolioPlan
from aggregator.operations.plans import plan_region
from aggregator.operations.portfolio_plans import (
    ASKED_AGAIN_AFTER,
    GIVEN_UP_AFTER,
    Piece,
    PortfolioPlanUnderWay,
    Work,
    begin_portfolio_plan,
    do_work,
    work_to_ask_again,
)
from aggregator.queries.portfolios import limited_portfolios, standing_band
from common.horizon import Horizon
from tests.integration.aggregator.parked_fleet import NOW
from tests.integration.aggregator.shared_limits import CHEAP_AFTER_H, limit_import, park_portfolio

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("servers")]

LIMIT_KW = 8.0


@pytest.fixture
def portfolio(transactional_db: None) -> Portfolio:
    """Three regions whose 24 cars would draw some 100 kW together."""
    cache.clear()
    portfolio = park_portfolio(vehicles=24, regions=3)
    limit_import(portfolio, LIMIT_KW)
    return portfolio


def begin(portfolio: Portfolio) -> list[Work]:
    return begin_portfolio_plan(portfolio_id=portfolio.pk, trigger="schedule", now=NOW)


def do_all(pieces: list[Work], *, twice: bool = False) -> PortfolioPlan:
    """Do every piece that is asked for, the newest first."""
    plan_id = pieces[0].portfolio_plan_id
    while pieces:
        piece = pieces.pop()
        for _ in range(2 if twice else 1):
            pieces += do_work(work=piece, now=NOW + timedelta(seconds=1))
    return PortfolioPlan.objects.get(pk=plan_id)


def limited_total_kw(plan: PortfolioPlan) -> np.ndarray:
    """What all regions draw together while the limit holds, from their own plans and what is not steered."""
    total_kw = np.sum([part.power_kw for part in plan.parts.all()], axis=0)
    return total_kw[np.isfinite(plan.import_limit_kw)]


def test_regions_keep_the_limit_together_and_it_is_proven(portfolio: Portfolio) -> None:
    assert [view.code for view in limited_portfolios(now=NOW, until=NOW + timedelta(hours=24))] == ["shared"]
    plan = do_all(begin(portfolio))
    assert plan.state == "finished"
    assert limited_total_kw(plan).size == 8
    assert np.all(limited_total_kw(plan) <= LIMIT_KW + 0.05)
    assert plan.missed_kwh == pytest.approx(0.0, abs=0.05)
    assert plan.gap is not None and plan.cost is not None and plan.lower_bound is not None
    assert plan.gap < 5e-3
    assert plan.lower_bound <= plan.cost
    assert max(plan.duals) > 0.0
    for part in plan.parts.all():
        assert part.plan is not None
        assert not any(miss["event_id"] == "shared" for miss in part.plan.missed)
    most_kw = np.sum([part.most_kw for part in plan.parts.all()], axis=0)
    assert np.allclose(most_kw, plan.import_limit_kw)


def test_apart_they_would_not_keep_it(portfolio: Portfolio) -> None:
    """What the limit is there for: the same regions, each for itself, draw more."""
    total_kw = 0.0
    for member in portfolio.members.all():
        plan = Plan.objects.get(pk=plan_region(region_id=member.region_id, trigger="schedule", now=NOW).plan_id)
        offset_s = np.concatenate([[0.0], np.cumsum(plan.step_h)[:-1]]) * 3600.0
        steps = (offset_s >= CHEAP_AFTER_H * 3600.0) & (offset_s < (CHEAP_AFTER_H + 4.0) * 3600.0)
        total_kw += np.sum([np.array(row.power_kw) for row in plan.schedules.all()], axis=0)[steps]
    assert np.max(total_kw) > LIMIT_KW + 10.0


def test_a_region_planned_alone_afterwards_stays_within_its_part(portfolio: Portfolio) -> None:
    do_all(begin(portfolio))
    later = NOW + timedelta(minutes=2)
    for member in portfolio.members.all():
        outcome = plan_region(region_id=member.region_id, trigger="arrival", now=later)
        plan = Plan.objects.get(pk=outcome.plan_id)
        horizon = Horizon(plan.starts_at, np.array(plan.step_h) * 3600.0)
        band = standing_band(region_id=member.region_id, horizon=horizon, now=later)
        assert band is not None
        total_kw = np.sum([np.array(row.power_kw) for row in plan.schedules.all()], axis=0)
        computing_kw = np.array(plan.computing_kw) if plan.computing_kw else 0.0
        assert np.all(total_kw + computing_kw <= band.most_kw + 0.05)
        assert np.isfinite(band.most_kw).any()


def test_pieces_done_twice_do_no_harm(portfolio: Portfolio) -> None:
    plan = do_all(begin(portfolio), twice=True)
    assert plan.state == "finished" and plan.gap is not None
    assert Plan.objects.count() == 3


def test_facts_that_were_lost_are_read_anew_and_no_gap_is_claimed(portfolio: Portfolio) -> None:
    pieces = begin(portfolio)
    follow = [item for piece in pieces for item in do_work(work=piece, now=NOW)]
    cache.clear()
    again = do_work(work=follow[-1], now=NOW)
    assert {item.piece for item in again} == {Piece.SAMPLE}  # the samples are gone: they are asked for again
    follow = [item for piece in again for item in do_work(work=piece, now=NOW)]
    planned = do_work(work=follow[-1], now=NOW)
    for piece in planned:
        if piece.piece is Piece.PROVE:
            cache.clear()
        do_work(work=piece, now=NOW)
    plan = PortfolioPlan.objects.get()
    assert plan.state == "finished" and plan.gap is None
    assert np.all(limited_total_kw(plan) <= LIMIT_KW + 0.05)


def test_what_died_with_its_worker_is_asked_for_again(portfolio: Portfolio) -> None:
    pieces = begin(portfolio)
    for piece in pieces[:-1]:
        do_work(work=piece, now=NOW)
    assert work_to_ask_again(now=NOW + timedelta(seconds=5)) == []
    late = NOW + ASKED_AGAIN_AFTER + timedelta(seconds=1)
    assert work_to_ask_again(now=late) == [pieces[-1]]
    assert work_to_ask_again(now=late) == []  # once, not at every look
    assert do_all([pieces[-1]]).state == "finished"


def test_one_plan_of_a_portfolio_at_a_time_and_an_old_one_is_given_up(portfolio: Portfolio) -> None:
    begin(portfolio)
    with pytest.raises(PortfolioPlanUnderWay):
        begin(portfolio)
    late = NOW + GIVEN_UP_AFTER + timedelta(seconds=1)
    begin_portfolio_plan(portfolio_id=portfolio.pk, trigger="schedule", now=late)
    assert sorted(PortfolioPlan.objects.values_list("state", flat=True)) == ["abandoned", "sampling"]


def test_a_region_overtaken_by_newer_facts_is_planned_from_those(portfolio: Portfolio) -> None:
    pieces = begin(portfolio)
    follow = [item for piece in pieces for item in do_work(work=piece, now=NOW)]
    planned = do_work(work=follow[-1], now=NOW)
    region_id = portfolio.members.order_by("region_id")[0].region_id
    plan_region(region_id=region_id, trigger="arrival", now=NOW + timedelta(seconds=3))
    for piece in planned:
        do_work(work=piece, now=NOW + timedelta(seconds=4))
    plan = PortfolioPlan.objects.get()
    part = PortfolioPart.objects.get(portfolio_plan=plan, region_id=region_id)
    assert plan.state == "finished" and plan.gap is None
    assert part.plan is not None and part.plan.made_at == NOW + timedelta(seconds=4)
    assert len(part.power_kw) == len(plan.step_h)
    assert np.all(limited_total_kw(plan) <= LIMIT_KW + 1.0)


def test_two_limits_at_once_are_refused(portfolio: Portfolio) -> None:
    with pytest.raises(IntegrityError, match="portfolio_limit_no_overlap"):
        limit_import(portfolio, 10.0)


def test_a_limit_without_a_number_is_refused(portfolio: Portfolio) -> None:
    with pytest.raises(IntegrityError, match="portfolio_limit_not_negative"):
        PortfolioLimit.objects.create(
            portfolio=portfolio, starts_at=NOW, ends_at=NOW + timedelta(minutes=5), missed_price_per_kwh=1
        )
