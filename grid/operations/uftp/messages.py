"""Keeping UFTP messages: each that came in once, with its answer; each that goes out until it is taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from grid.core.uftp import DUPLICATE_IDENTIFIER
from grid.models import OutgoingState, UftpOutgoing, UftpReceived
from grid.models.uftp import LONGEST_REASON

# whoever claimed a message and died lets go of it after so long
CLAIMED_FOR = timedelta(minutes=2)
FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 600.0
MOST_ATTEMPTS = 50


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message whose signature holds. `rejection_reason` is empty if it is accepted."""

    participant_id: int
    message_id: UUID
    conversation_id: UUID
    kind: str
    xml: str
    rejection_reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What is to be told in reply."""

    message_id: UUID
    kind: str
    xml: str


@dataclass(frozen=True, slots=True)
class Due:
    """A message that is to be sent now."""

    row_id: int
    xml: str
    endpoint: str


def record_message(incoming: Incoming, *, answer: Callable[[str], Answer | None], now: datetime) -> tuple[str, bool]:
    """Keep a message and its answer in one transaction; returns why it is rejected (empty: accepted), and if it is new.

    The same message again has its first answer sent again and changes nothing else. Other content under a used
    identifier is rejected, and the first message stands.

    Args:
        answer: the reply for a reason of rejection (empty: accepted); None if the message asks for none.
    """
    with transaction.atomic():
        row, created = UftpReceived.objects.get_or_create(
            participant_id=incoming.participant_id,
            message_id=incoming.message_id,
            defaults={
                "conversation_id": incoming.conversation_id,
                "kind": incoming.kind,
                "xml": incoming.xml,
                "rejection_reason": incoming.rejection_reason[:LONGEST_REASON],
                "received_at": now,
            },
        )
        if not created and row.xml == incoming.xml:
            row.answers.all().update(state=OutgoingState.WAITING, due_at=now, attempts=0)
            return row.rejection_reason, False
        reason = incoming.rejection_reason if created else DUPLICATE_IDENTIFIER
        reply = answer(reason)
        if reply is not None:
            UftpOutgoing.objects.create(
                participant_id=incoming.participant_id,
                message_id=reply.message_id,
                kind=reply.kind,
                xml=reply.xml,
                answers=row if created else None,
                created_at=now,
                due_at=now,
            )
    return reason, created


def claim_due(*, now: datetime, limit: int = 50) -> list[Due]:
    """Take messages that are due, so that no other worker sends them meanwhile; the oldest first."""
    with transaction.atomic():
        rows = list(
            UftpOutgoing.objects.select_for_update(skip_locked=True, of=("self",))
            .select_related("participant")
            .filter(state=OutgoingState.WAITING, due_at__lte=now)
            .order_by("due_at", "pk")[:limit]
        )
        UftpOutgoing.objects.filter(pk__in=[row.pk for row in rows]).update(due_at=now + CLAIMED_FOR)
    return [Due(row.pk, row.xml, row.participant.endpoint) for row in rows]


def mark_sent(*, row_id: int, now: datetime) -> None:
    """The participant has taken the message."""
    UftpOutgoing.objects.filter(pk=row_id).update(state=OutgoingState.SENT, sent_at=now, last_error="")


def mark_failed(*, row_id: int, error: str, now: datetime) -> bool:
    """Try again later, ever more slowly; True if the message is given up."""
    with transaction.atomic():
        row = UftpOutgoing.objects.select_for_update().get(pk=row_id)
        row.attempts += 1
        row.last_error = error[:LONGEST_REASON]
        row.due_at = now + timedelta(seconds=min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(row.attempts, 20)))
        if row.attempts >= MOST_ATTEMPTS:
            row.state = OutgoingState.GIVEN_UP
        row.save(update_fields=["attempts", "last_error", "due_at", "state"])
    return row.state == OutgoingState.GIVEN_UP
