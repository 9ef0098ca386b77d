"""What the market does by the clock, and after somebody submitted, offered or ended something."""

from __future__ import annotations

import logging

from celery import shared_task
from django.utils import timezone
from kombu.exceptions import OperationalError

from compute_market.operations.expiry import expire_leases as expire
from compute_market.operations.matching import match_jobs as match

log = logging.getLogger(__name__)


@shared_task(name="compute_market.match_jobs", expires=30)
def match_jobs() -> int:
    """Clear the market; returns how many leases were granted."""
    return len(match(now=timezone.now()))


@shared_task(name="compute_market.expire_leases", expires=30)
def expire_leases() -> int:
    """End lost leases and missed deadlines, then clear the market; returns how many leases ended."""
    now = timezone.now()
    expired = expire(now=now)
    match(now=now)
    return expired.leases


def request_matching() -> None:
    """Ask for a clearing now. Without the broker the beat's next round does it instead: what is queued stays queued."""
    try:
        match_jobs.delay()
    except OperationalError as error:
        log.warning("matching was not enqueued: %s", error)


BEAT_SCHEDULE = {
    "compute_market.expire_leases": {
        "task": "compute_market.expire_leases",
        "schedule": 2.0,
        "options": {"expires": 4},
    },
}
