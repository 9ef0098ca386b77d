"""What the grid side does after a commit and by the clock."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

from celery import shared_task
from django.conf import settings
from django.utils import timezone
from kombu.exceptions import OperationalError

from common.errors import PlatformError
from grid.markets.openadr_notifier import broker, webhook
from grid.markets.uftp.sending import send_message
from grid.operations.openadr.broker_logins import dismiss_expired_logins
from grid.operations.openadr.notifications import (
    Delivery,
    claim_due,
    forget_old_notifications,
    mark_delivered,
    mark_failed,
    put_back,
    something_is_due,
)
from grid.operations.uftp import messages as uftp_messages

logger = logging.getLogger(__name__)

# what a lost task or a retry leaves behind is picked up so often
DELIVER_EVERY_S = 5.0
TIDY_EVERY_S = 600.0
CALLS_AT_ONCE = 16

BEAT_SCHEDULE = {
    "grid.deliver_notifications": {
        "task": "grid.deliver_notifications",
        "schedule": DELIVER_EVERY_S,
        "options": {"expires": 2 * DELIVER_EVERY_S},
    },
    "grid.send_uftp_messages": {
        "task": "grid.send_uftp_messages",
        "schedule": DELIVER_EVERY_S,
        "options": {"expires": 2 * DELIVER_EVERY_S},
    },
    "grid.tidy_openadr": {"task": "grid.tidy_openadr", "schedule": TIDY_EVERY_S},
}


@shared_task(name="grid.deliver_notifications")
def deliver_notifications() -> int:
    """Tell OpenADR clients what changed, until nothing is due; returns how many were told."""
    told = 0
    while due := claim_due(now=timezone.now()):
        told += _deliver(due)
    return told


@shared_task(name="grid.tidy_openadr")
def tidy_openadr() -> None:
    """Dismiss clients from the broker whose tokens are over, and forget what was told long ago."""
    dismiss_expired_logins(now=timezone.now())
    forget_old_notifications(now=timezone.now())


@shared_task(name="grid.send_uftp_messages")
def send_uftp_messages() -> int:
    """Send UFTP messages until none is due; returns how many were taken."""
    taken = 0
    while due := uftp_messages.claim_due(now=timezone.now()):
        with ThreadPoolExecutor(CALLS_AT_ONCE) as pool:
            outcomes = list(pool.map(_send_uftp, due))
        for message, error in zip(due, outcomes, strict=True):
            now = timezone.now()
            if error is None:
                uftp_messages.mark_sent(row_id=message.row_id, now=now)
                taken += 1
            elif uftp_messages.mark_failed(row_id=message.row_id, error=f"{error.field}: {error.message}", now=now):
                logger.warning("UFTP message %s to %s given up: %s", message.row_id, message.endpoint, error.message)
    return taken


def request_uftp_sending() -> None:
    """Have answers sent once they are committed. Without the task queue the clock's next stroke does it."""
    try:
        send_uftp_messages.delay_on_commit()
    except OperationalError as error:
        logger.warning("UFTP messages wait for the next round: %s", error)


def _send_uftp(message: uftp_messages.Due) -> PlatformError | None:
    """How it failed; no database here: it runs on a thread."""
    try:
        send_message(
            message.xml,
            endpoint=message.endpoint,
            own_domain=settings.UFTP_DOMAIN,
            private_key=settings.UFTP_PRIVATE_KEY,
            allow_insecure=settings.UFTP_ALLOW_INSECURE_ENDPOINTS,
        )
    except PlatformError as error:
        return error
    return None


def request_delivery() -> None:
    """Have changes told once the transaction has committed. Without the task queue the clock's next stroke does it."""
    if not something_is_due(now=timezone.now()):
        return
    try:
        deliver_notifications.delay_on_commit()
    except OperationalError as error:
        logger.warning("notifications wait for the next round: %s", error)


def _deliver(due: list[Delivery]) -> int:
    """Call many recipients at once, so that one that is slow holds up nobody else, and each in the order of changes."""
    queues: dict[str, list[Delivery]] = {}
    for delivery in due:
        queues.setdefault(delivery.recipient, []).append(delivery)
    with ThreadPoolExecutor(CALLS_AT_ONCE) as pool:
        outcomes = pool.map(_send_in_order, queues.values())
        return sum(_note(queue, *outcome) for queue, outcome in zip(queues.values(), outcomes, strict=True))


def _send_in_order(queue: list[Delivery]) -> tuple[int, PlatformError | None]:
    """How many were told until one failed, and how it failed; no database here: it runs on a thread."""
    for number, delivery in enumerate(queue):
        try:
            if delivery.topics:
                broker.publish((topic, delivery.payload) for topic in delivery.topics)
            else:
                webhook.notify(
                    delivery.callback_url,
                    delivery.bearer_token,
                    delivery.payload,
                    notification_id=delivery.notification_id,
                )
        except PlatformError as error:
            return number, error
    return len(queue), None


def _note(queue: list[Delivery], told: int, error: PlatformError | None) -> int:
    for delivery in queue[:told]:
        mark_delivered(row_id=delivery.row_id)
    if error is not None:
        failed, now = queue[told], timezone.now()
        put_back(row_ids=[delivery.row_id for delivery in queue[told + 1 :]], now=now)
        if mark_failed(row_id=failed.row_id, error=error.message, now=now):
            logger.warning("the subscription to %s is broken: %s", failed.callback_url, error.message)
    return told
