"""Who is told of a change: written with the change itself, so that nothing is told that did not happen, or forgotten."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q

from grid.core.openadr.privacy import NOTHING, Ownership, Reader, shown_targets
from grid.core.openadr.topics import topics_of_change
from grid.models import (
    NotificationState,
    OpenAdrBrokerLogin,
    OpenAdrEvent,
    OpenAdrNotification,
    OpenAdrProgram,
    OpenAdrReport,
    OpenAdrResource,
    OpenAdrSubscription,
    OpenAdrVen,
)
from grid.queries.openadr.objects import granted_targets
from grid.queries.openadr.representations import OBJECT_TYPE, AnyObject, ownership, represent

# who holds a notification for delivery and dies frees it after this long
LEASE = timedelta(seconds=60)
FIRST_RETRY, LONGEST_RETRY = timedelta(seconds=5), timedelta(minutes=15)
# an end point that answers nothing for so long is broken, and is not called any more
BROKEN_AFTER = timedelta(hours=6)
MOST_AT_ONCE = 100
KEEP_DELIVERED = timedelta(days=7)
LONGEST_ERROR = 300


@dataclass(frozen=True, slots=True)
class Delivery:
    """One notification to deliver now: to `callback_url`, or to the broker's `topics`.

    Those of one `recipient` belong to each other in this order.
    """

    row_id: int
    recipient: str
    notification_id: str
    callback_url: str
    bearer_token: str
    topics: tuple[str, ...]
    payload: dict[str, Any]


def announce(row: AnyObject, operation: str, *, now: datetime) -> None:
    """Keep, in the transaction that changes an object, what each interested client is to be told of it."""
    owned = ownership(row)
    rows = [
        OpenAdrNotification(
            subscription=subscription,
            callback_url=url,
            payload=_payload(row, operation, shown, subscription.client_id),
            created_at=now,
            due_at=now,
        )
        for subscription, url, shown in _callbacks(row, operation, owned)
    ]
    rows += [
        OpenAdrNotification(
            topics=topics, payload=_payload(row, operation, shown, client_id), created_at=now, due_at=now
        )
        for client_id, topics, shown in _listeners(row, operation, owned, now)
    ]
    if rows:
        OpenAdrNotification.objects.bulk_create(rows)


def claim_due(*, now: datetime) -> list[Delivery]:
    """Take what is due, oldest first; nobody else gets it until the lease is over.

    A subscription that is broken is left alone.
    """
    with transaction.atomic():
        rows = list(
            OpenAdrNotification.objects.select_for_update(of=("self",), skip_locked=True)
            .select_related("subscription")
            .filter(Q(subscription=None) | Q(subscription__broken_at=None))
            .filter(state=NotificationState.WAITING, due_at__lte=now)
            .order_by("due_at", "id")[:MOST_AT_ONCE]
        )
        for row in rows:
            row.attempts += 1
            row.due_at = now + LEASE
        OpenAdrNotification.objects.bulk_update(rows, ["attempts", "due_at"])
    return [
        Delivery(
            row.pk,
            f"{row.subscription_id} {row.callback_url}",
            str(row.notification_id),
            row.callback_url,
            _bearer_token(row.subscription, row.callback_url),
            tuple(row.topics),
            row.payload,
        )
        for row in rows
    ]


def something_is_due(*, now: datetime) -> bool:
    """Whether anything waits to be told now."""
    return OpenAdrNotification.objects.filter(state=NotificationState.WAITING, due_at__lte=now).exists()


def mark_delivered(*, row_id: int) -> None:
    """It was told; its end point is well."""
    row = OpenAdrNotification.objects.filter(pk=row_id).first()
    if row is not None:
        OpenAdrNotification.objects.filter(pk=row_id).update(state=NotificationState.DELIVERED, last_error="")
        well = OpenAdrSubscription.objects.filter(notifications=row).exclude(failing_since=None)
        OpenAdrSubscription.objects.filter(pk__in=list(well.values_list("pk", flat=True))).update(failing_since=None)


def put_back(*, row_ids: Sequence[int], now: datetime) -> None:
    """They were claimed but not tried, because one before them failed: they wait as long as a first failure does."""
    OpenAdrNotification.objects.filter(pk__in=row_ids).update(due_at=now + FIRST_RETRY, attempts=F("attempts") - 1)


def mark_failed(*, row_id: int, error: str, now: datetime) -> bool:
    """Try again later, ever more slowly; True if the end point is broken by now."""
    with transaction.atomic():
        row = OpenAdrNotification.objects.select_for_update().filter(pk=row_id).first()
        if row is None:
            return False
        row.last_error = error[:LONGEST_ERROR]
        row.due_at = now + min(LONGEST_RETRY, FIRST_RETRY * 2 ** min(row.attempts - 1, 12))
        if row.subscription_id is None and now - row.created_at > BROKEN_AFTER:
            row.state = NotificationState.GIVEN_UP
        row.save(update_fields=["last_error", "due_at", "state"])
        if row.subscription_id is None:
            return False
        subscription = OpenAdrSubscription.objects.select_for_update().get(pk=row.subscription_id)
        subscription.failing_since = subscription.failing_since or now
        broken = now - subscription.failing_since >= BROKEN_AFTER
        subscription.broken_at = now if broken else None
        subscription.save(update_fields=["failing_since", "broken_at"])
        if broken:
            subscription.notifications.filter(state=NotificationState.WAITING).update(state=NotificationState.GIVEN_UP)
        return broken


def forget_old_notifications(*, now: datetime) -> int:
    """Drop what was told, or given up, long ago; returns how many."""
    old = OpenAdrNotification.objects.filter(created_at__lt=now - KEEP_DELIVERED)
    return old.exclude(state=NotificationState.WAITING).delete()[0]


def _payload(row: AnyObject, operation: str, shown: frozenset[str], client_id: str) -> dict[str, Any]:
    return {
        "objectType": OBJECT_TYPE[type(row)],
        "operation": operation,
        "object": represent(row, shown=shown, reader_client_id=client_id),
    }


def _callbacks(
    row: AnyObject, operation: str, owned: Ownership
) -> Iterator[tuple[OpenAdrSubscription, str, frozenset[str]]]:
    """Subscriptions that name this kind of change and may see the object, with each call-back once."""
    kind = OBJECT_TYPE[type(row)]
    candidates = _of_interested(OpenAdrSubscription.objects.filter(broken_at=None), owned)
    candidates = candidates.filter(program_ref__in=["", _program_id(row)])
    for subscription in candidates.order_by("id"):
        urls = {
            entry["callbackUrl"]: None
            for entry in subscription.body["objectOperations"]
            if kind in entry["objects"] and operation in entry["operations"]
        }
        if not urls:
            continue
        reader = Reader(subscription.client_id, subscription.is_business_logic)
        granted = granted_targets(reader.client_id) if owned.targets and owned.clients is None else NOTHING
        shown = shown_targets(owned, reader, requested=frozenset(subscription.targets), granted=granted)
        if shown is not None:
            yield from ((subscription, url, shown) for url in urls)


def _listeners(
    row: AnyObject, operation: str, owned: Ownership, now: datetime
) -> Iterator[tuple[str, list[str], frozenset[str]]]:
    """Clients at the broker that may see the object, with their own topics."""
    identifiers = {"id": row.object_id}
    if isinstance(row, OpenAdrEvent):
        identifiers["program"] = row.program.object_id
    if isinstance(row, OpenAdrResource):
        identifiers["ven"] = row.ven.object_id
    for login in _of_interested(OpenAdrBrokerLogin.objects.filter(expires_at__gt=now), owned).order_by("id"):
        reader = Reader(login.client_id, login.is_business_logic)
        granted = NOTHING
        ven_ids: tuple[str, ...] = ()
        if owned.clients is None and not reader.is_business_logic:
            granted = granted_targets(reader.client_id) if owned.targets else NOTHING
            ven_ids = tuple(OpenAdrVen.objects.filter(client_id=reader.client_id).values_list("object_id", flat=True))
        requested = granted if owned.targets and owned.clients is None else NOTHING
        shown = shown_targets(owned, reader, requested=requested, granted=granted)
        if shown is not None:
            kind = OBJECT_TYPE[type(row)]
            yield login.client_id, topics_of_change(login.client_id, kind, operation, identifiers, ven_ids), shown


def _of_interested(candidates: Any, owned: Ownership) -> Any:
    """Those whom the object may concern, before its targets are looked at."""
    operators = Q(is_business_logic=True)
    if owned.operators is not None:
        operators &= Q(client_id__in=owned.operators)
    nodes = Q(is_business_logic=False)
    if owned.clients is not None:
        nodes &= Q(client_id__in=owned.clients)
    return candidates.filter(operators | nodes)


def _program_id(row: AnyObject) -> str:
    """The programme that a change belongs to; empty for nodes and resources."""
    if isinstance(row, OpenAdrProgram):
        return row.object_id
    if isinstance(row, OpenAdrEvent):
        return row.program.object_id
    if isinstance(row, OpenAdrReport | OpenAdrSubscription):
        return row.program_ref
    return ""


def _bearer_token(subscription: OpenAdrSubscription | None, url: str) -> str:
    entries = subscription.body["objectOperations"] if subscription is not None else ()
    return next((entry.get("bearerToken") or "" for entry in entries if entry["callbackUrl"] == url), "")
