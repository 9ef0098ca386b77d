"""Celery's side of the aggregator: each task translates, makes one call, and enqueues what comes next."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

from celery import Task, shared_task
from django.core.cache import cache
from django.utils import timezone
from kombu.exceptions import OperationalError
from oauth2_provider.models import clear_expired

from aggregator.core.dispatch import PlanCheckFailed, SolverFailed
from aggregator.operations import (
    baseline_watch,
    chain,
    departures,
    fairness,
    plans,
    portfolio_plans,
    presence,
    settlements,
    work,
)
from aggregator.operations.award_settlements import settle_award_of
from aggregator.operations.openadr_reports import make_due_reports
from aggregator.operations.plan_inputs import HORIZON_H
from aggregator.operations.plans import PlanOutcome, PlanOvertaken
from aggregator.operations.portfolio_plans import PortfolioPlanUnderWay
from aggregator.queries.flexibility import portfolio_of_region
from aggregator.queries.portfolios import limited_portfolios
from common.errors import PlatformError
from fleet.queries.assets import region_ids
from grid.operations.openadr.answers import answer_event, unanswered_events
from grid.operations.openadr.outside import due_vtns
from grid.operations.openadr.promises import Outcome
from grid.queries import event, events_to_settle, recently_settled_events
from grid.queries.awards import awards_to_settle
from grid.tasks import request_delivery

logger = logging.getLogger(__name__)

REPLAN_EVERY_S = 180
PLANNED_AHEAD = timedelta(hours=HORIZON_H)
SETTLE_EVERY_S = 5
BOOK_WORK_EVERY_S = 10
# Meter readings may come this late and still correct a settlement.
SETTLE_AGAIN_EVERY_S = 1800
SETTLE_AGAIN_WITHIN = timedelta(days=2)
RECORD_DEPARTURES_EVERY_S = 300
UPDATE_CONTRIBUTIONS_EVERY_S = 900
UPDATE_PRESENCE_EVERY_S = 21_600
ANSWER_EVERY_S = 10
READ_VTNS_EVERY_S = 5
REPORT_EVERY_S = 10
# A reader that dies frees its VTN after this long.
VTN_READING_LOCK_S = 120
CLEAR_TOKENS_EVERY_S = 86_400
VERIFY_LEDGER_EVERY_S = 86_400
# A planner that dies frees its region after this long.
PLANNING_LOCK_S = 60

# Work on a portfolio's plan that was lost with its worker is looked for this often.
RESUME_PORTFOLIO_PLANS_EVERY_S = 10

BEAT_SCHEDULE = {
    "read-outside-vtns": {
        "task": "aggregator.tasks.read_outside_vtns",
        "schedule": READ_VTNS_EVERY_S,
        "options": {"expires": READ_VTNS_EVERY_S},
    },
    "report-on-openadr-events": {
        "task": "aggregator.tasks.report_on_openadr_events",
        "schedule": REPORT_EVERY_S,
        "options": {"expires": REPORT_EVERY_S},
    },
    "answer-openadr-events": {
        "task": "aggregator.tasks.answer_openadr_events",
        "schedule": ANSWER_EVERY_S,
        "options": {"expires": ANSWER_EVERY_S},
    },
    "replan-all-regions": {"task": "aggregator.tasks.replan_all_regions", "schedule": REPLAN_EVERY_S},
    "resume-portfolio-plans": {
        "task": "aggregator.tasks.resume_portfolio_plans",
        "schedule": RESUME_PORTFOLIO_PLANS_EVERY_S,
    },
    "settle-ended-events": {"task": "aggregator.tasks.settle_ended_events", "schedule": SETTLE_EVERY_S},
    "settle-ended-awards": {"task": "aggregator.tasks.settle_ended_awards", "schedule": SETTLE_EVERY_S},
    "verify-ledger": {"task": "aggregator.tasks.verify_ledger", "schedule": VERIFY_LEDGER_EVERY_S},
    "clear-expired-tokens": {"task": "aggregator.tasks.clear_expired_tokens", "schedule": CLEAR_TOKENS_EVERY_S},
    "settle-again": {"task": "aggregator.tasks.settle_again", "schedule": SETTLE_AGAIN_EVERY_S},
    "record-departures": {"task": "aggregator.tasks.record_departures", "schedule": RECORD_DEPARTURES_EVERY_S},
    "update-contributions": {
        "task": "aggregator.tasks.update_contributions",
        "schedule": UPDATE_CONTRIBUTIONS_EVERY_S,
    },
    "update-presence-residuals": {
        "task": "aggregator.tasks.update_presence_residuals",
        "schedule": UPDATE_PRESENCE_EVERY_S,
    },
    "book-finished-work": {"task": "aggregator.tasks.book_finished_work", "schedule": BOOK_WORK_EVERY_S},
}


class RegionBusy(Exception):
    """Another worker plans this region now."""


@contextmanager
def only_planner_of(region_id: int) -> Iterator[None]:
    """Let one worker at a time plan a region; solving twice from the same facts helps nobody."""
    key = f"planning:{region_id}"
    if not cache.add(key, True, timeout=PLANNING_LOCK_S):
        raise RegionBusy
    try:
        yield
    finally:
        cache.delete(key)


def _log(outcome: PlanOutcome, trigger: str) -> None:
    logger.info(
        "plan %s (%s): %s assets, gap %.1e, %.2f s, %s schedules sent, %s promises missed",
        outcome.plan_id,
        trigger,
        outcome.assets,
        outcome.gap,
        outcome.solve_s,
        outcome.schedules_queued,
        outcome.missed,
    )


@shared_task(
    bind=True,
    queue="plans",
    autoretry_for=(RegionBusy, SolverFailed, PlanCheckFailed),
    max_retries=20,
    retry_backoff=False,
    default_retry_delay=0.5,
)
def plan_event(self: Task, event_id: int) -> None:
    """Plan the region of a new or changed event at once."""
    region_id = event(event_id).region_id
    with only_planner_of(region_id):
        _log(plans.plan_event(event_id=event_id, now=timezone.now()), f"event {event_id}")
    for portfolio in limited_portfolios(now=timezone.now(), until=timezone.now() + PLANNED_AHEAD):
        if region_id in portfolio.region_ids:  # its share of the room was dealt out without the event
            plan_portfolio.delay(portfolio.portfolio_id, "event")


@shared_task(bind=True, queue="plans", autoretry_for=(RegionBusy,), max_retries=20, default_retry_delay=0.5)
def replan_region(self: Task, region_id: int, trigger: str) -> None:
    """Plan a region anew because something changed in it."""
    with only_planner_of(region_id):
        try:
            _log(plans.plan_region(region_id=region_id, trigger=trigger, now=timezone.now()), trigger)
        except PlanOvertaken as overtaken:
            logger.info("%s", overtaken)


@shared_task
def replan_all_regions() -> None:
    """Plan every region on schedule; those that share limits together."""
    now = timezone.now()
    together: set[int] = set()
    for portfolio in limited_portfolios(now=now, until=now + PLANNED_AHEAD):
        plan_portfolio.delay(portfolio.portfolio_id, "schedule")
        together.update(portfolio.region_ids)
    for region_id in region_ids():
        if region_id not in together:
            replan_region.delay(region_id, "schedule")


@shared_task(queue="plans")
def plan_portfolio(portfolio_id: int, trigger: str) -> None:
    """Begin to plan the regions of a portfolio together; the pieces follow as tasks of their own."""
    try:
        _ask_for(portfolio_plans.begin_portfolio_plan(portfolio_id=portfolio_id, trigger=trigger, now=timezone.now()))
    except PortfolioPlanUnderWay as under_way:
        logger.info("portfolio %s: %s", portfolio_id, under_way)


@shared_task(queue="plans", autoretry_for=(SolverFailed, PlanCheckFailed), max_retries=5, default_retry_delay=0.5)
def work_on_portfolio_plan(piece: str, portfolio_plan_id: int, region_id: int | None) -> None:
    """Do one piece of a portfolio's plan, and ask for the pieces that can follow it."""
    logger.info("portfolio plan %s: %s %s", portfolio_plan_id, piece, region_id or "")
    work = portfolio_plans.Work(portfolio_plans.Piece(piece), portfolio_plan_id, region_id)
    _ask_for(portfolio_plans.do_work(work=work, now=timezone.now()))


@shared_task
def resume_portfolio_plans() -> None:
    """Ask again for what nobody has done: a worker may have died over it."""
    _ask_for(portfolio_plans.work_to_ask_again(now=timezone.now()))


def _ask_for(pieces: Iterable[portfolio_plans.Work]) -> None:
    for item in pieces:
        work_on_portfolio_plan.delay_on_commit(item.piece.value, item.portfolio_plan_id, item.region_id)


@shared_task
def settle_ended_events() -> None:
    """Settle what has ended; an event that cannot be settled yet does not hold up the others."""
    now = timezone.now()
    for ended in events_to_settle(now=now):
        try:
            settlements.settle_event(event_id=ended.event_id, now=now)
            watch_baseline.delay_on_commit(ended.event_id)
        except PlatformError as error:
            logger.warning("event %s is not settled yet: %s", ended.event_id, error)
        except OperationalError as error:
            logger.error("nobody looks at the baseline of event %s: %s", ended.event_id, error)


@shared_task
def settle_ended_awards() -> None:
    """Settle what was sold to markets and has ended; one that cannot be settled does not hold up the others."""
    now = timezone.now()
    for ended in awards_to_settle(now=now):
        try:
            settle_award_of(award_id=ended.award_id, now=now)
        except PlatformError as error:
            logger.warning("award %s is not settled yet: %s", ended.award_id, error)


@shared_task
def watch_baseline(event_id: int) -> None:
    """Look whether the time that an event's baseline was read from was unlike other days."""
    conspicuous = baseline_watch.watch_baseline(event_id=event_id, now=timezone.now())
    if conspicuous:
        logger.warning("event %s: %s conspicuous baseline windows", event_id, conspicuous)


@shared_task
def settle_again() -> None:
    """Look once more at what was settled lately: readings that came late become corrections."""
    now = timezone.now()
    for settled in recently_settled_events(now=now, within=SETTLE_AGAIN_WITHIN):
        try:
            settlements.settle_event(event_id=settled.event_id, now=now)
        except PlatformError as error:
            logger.warning("event %s is not settled again: %s", settled.event_id, error)


@shared_task
def record_departures() -> None:
    """Compare what was forecast with when cars left."""
    departures.record_departures(now=timezone.now())


@shared_task
def update_contributions() -> None:
    """Bring the books of fairness up to date."""
    fairness.update_contributions(now=timezone.now())


@shared_task
def update_presence_residuals() -> None:
    """Learn how cars leave together."""
    presence.update_presence_residuals(now=timezone.now())


@shared_task
def clear_expired_tokens() -> None:
    """Drop the API's tokens that nobody can use any more."""
    clear_expired()


def request_plan(event_id: int) -> None:
    """Ask for a plan once the transaction has committed. Without the broker the next scheduled plan has the event."""
    try:
        plan_event.delay_on_commit(event_id)
    except OperationalError as error:
        logger.error("planning of event %s waits for the next scheduled plan: %s", event_id, error)


@shared_task(queue="plans")
def answer_openadr_event(object_id: str) -> None:
    """Let the portfolio answer an OpenADR event, and plan what it promised."""
    now = timezone.now()
    outcome = answer_event(object_id, portfolio=partial(portfolio_of_region, now=now), now=now)
    plan_what_changed(outcome)
    request_delivery()


@shared_task
def answer_openadr_events() -> None:
    """Answer what is unanswered still."""
    for object_id in unanswered_events():
        answer_openadr_event.delay(object_id)


@shared_task(queue="plans")
def read_outside_vtn(vtn_id: int) -> None:
    """Take an outside VTN's events and hand over our reports; one reading of a VTN at a time."""
    from grid.markets.openadr_ven.reading import read_vtn, send_reports  # who asks for tasks need not load it

    key = f"openadr-vtn:{vtn_id}"
    if not cache.add(key, True, timeout=VTN_READING_LOCK_S):
        # who reads now may have passed what this one was woken for
        read_outside_vtn.apply_async((vtn_id,), countdown=1)
        return
    try:
        now = timezone.now()
        plan_what_changed(read_vtn(vtn_id, portfolio=partial(portfolio_of_region, now=now), now=now))
        send_reports(vtn_id, now=timezone.now())
    finally:
        cache.delete(key)


@shared_task
def read_outside_vtns() -> None:
    """Read the outside VTNs whose turn it is."""
    for vtn_id in due_vtns(now=timezone.now()):
        read_outside_vtn.delay(vtn_id)


@shared_task
def report_on_openadr_events() -> None:
    """Make the reports that OpenADR events asked for and that are due."""
    make_due_reports(now=timezone.now())
    request_delivery()


def request_vtn_reading(vtn_id: int) -> None:
    """Read an outside VTN once the transaction has committed. Without the task queue its next turn does it."""
    try:
        read_outside_vtn.delay_on_commit(vtn_id)
    except OperationalError as error:
        logger.warning("the outside VTN %s is read at its next turn: %s", vtn_id, error)


def plan_what_changed(outcome: Outcome) -> None:
    """Plan anew what an OpenADR event changed: events that were promised or called off, prices, factors."""
    for grid_event_id in outcome.grid_event_ids:
        request_plan(grid_event_id)
    for region_id in outcome.region_ids:
        replan_region.delay_on_commit(region_id, "signals")


def request_openadr_answer(object_id: str) -> None:
    """Ask for the portfolio's answer once the transaction has committed. Without the broker the clock's next stroke
    brings it."""
    try:
        answer_openadr_event.delay_on_commit(object_id)
    except OperationalError as error:
        logger.error("the answer to OpenADR event %s waits: %s", object_id, error)


@shared_task
def book_finished_work() -> None:
    """Pay for verified computing."""
    work.book_finished_work(now=timezone.now())


@shared_task
def verify_ledger() -> None:
    """Look whether anything that was booked has been changed since."""
    report = chain.verify_ledger(now=timezone.now())
    for fault in report.faults:
        logger.critical("the books were tampered with: %s", fault)
