"""Outside VTNs: joining them, taking their events, and keeping reports until they are taken there."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import compare_digest, token_urlsafe
from typing import Any
from urllib.parse import urlsplit

from django.db import transaction
from django.db.models import F, Q

from common.errors import Conflict, InvalidInput, NotFound
from grid.core.openadr.wishes import Portfolio
from grid.models import OutsideEvent, OutsideReport, OutsideVtn, VtnTransport
from grid.operations.openadr.answers import answer_body
from grid.operations.openadr.promises import Outcome, Request, answer_request, withdraw_request
from grid.queries.programmes import programme_on

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
_VTN_WRITES = frozenset({"createdDateTime", "modificationDateTime", "objectType", "id"})
# an outage is asked for ever more slowly, but not more slowly than this
LONGEST_WAIT = timedelta(minutes=5)
LOOPBACK = ("127.0.0.1", "localhost", "::1")
MOST_REPORTS_AT_ONCE = 100


class VtnExists(Conflict):
    """The portfolio is enrolled at a VTN of that name already."""

    code = "vtn_exists"


class UnknownVtn(NotFound):
    """The portfolio is enrolled at no VTN of that name."""

    code = "unknown_vtn"


@dataclass(frozen=True, slots=True)
class HeardEvent:
    """An event as an outside VTN told it, with its programme."""

    body: Mapping[str, Any]
    program: Mapping[str, Any]


def join_vtn(
    *,
    name: str,
    base_url: str,
    client_id: str,
    secret_variable: str,
    ven_name: str,
    programmes: Mapping[str, str],
    transport: str = "poll",
    poll_s: int = 60,
    targets: Sequence[str] = (),
    scope: str = "",
    now: datetime,
) -> int:
    """Keep where and as whom the portfolio takes events; returns the VTN's key. The enrolment itself follows.

    Raises:
        InvalidInput, UnknownProgramme: what is given cannot work; names the field.
        VtnExists: the name is in use.
    """
    if not _NAME.fullmatch(name) or name == "vtn":
        raise InvalidInput(f"{name!r} is no name.", field="name", remedy="Give letters, digits, '.', '_' and '-'.")
    parts = urlsplit(base_url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise InvalidInput(f"{base_url!r} is not HTTPS.", field="base_url", remedy="Give an https:// address.")
    if transport not in VtnTransport.values:
        raise InvalidInput(
            f"{transport!r} is unknown.", field="transport", remedy=f"Give {', '.join(VtnTransport.values)}."
        )
    if not programmes:
        raise InvalidInput("There is no programme.", field="programmes", remedy="Give THEIR-NAME=OUR-CODE.")
    for code in programmes.values():
        programme_on(code, now)
    row, made = OutsideVtn.objects.get_or_create(
        name=name,
        defaults={
            "base_url": base_url.rstrip("/"),
            "client_id": client_id,
            "secret_variable": secret_variable,
            "ven_name": ven_name,
            "programmes": dict(programmes),
            "transport": transport,
            "poll_s": poll_s,
            "targets": list(targets),
            "scope": scope,
            "callback_token": token_urlsafe(32),
        },
    )
    if not made:
        raise VtnExists(f"{name!r} is in use.", field="name", remedy="Choose another name.")
    return row.pk


def due_vtns(*, now: datetime) -> list[int]:
    """Those whose turn it is to be asked."""
    rows = OutsideVtn.objects.filter(Q(due_at=None) | Q(due_at__lte=now), enabled=True)
    return list(rows.order_by("id").values_list("pk", flat=True))


def vtns_with_broker() -> list[OutsideVtn]:
    """Those whose changes come through their broker and at which our node is enrolled."""
    rows = OutsideVtn.objects.filter(enabled=True, transport=VtnTransport.MQTT).exclude(ven_id="")
    return list(rows.order_by("id"))


def note_success(*, vtn_id: int, ven_id: str, subscription_id: str, now: datetime) -> None:
    """It answered; it is asked again after its interval."""
    row = OutsideVtn.objects.get(pk=vtn_id)
    OutsideVtn.objects.filter(pk=vtn_id).update(
        ven_id=ven_id,
        subscription_id=subscription_id,
        due_at=now + timedelta(seconds=row.poll_s),
        last_success_at=now,
        last_error="",
        failures=0,
    )


def note_outage(*, vtn_id: int, error: str, now: datetime) -> None:
    """It did not answer: nothing that it asked for is touched, and it is asked again, ever more slowly."""
    row = OutsideVtn.objects.get(pk=vtn_id)
    wait = min(LONGEST_WAIT, timedelta(seconds=row.poll_s) * 2 ** min(row.failures, 10))
    OutsideVtn.objects.filter(pk=vtn_id).update(due_at=now + wait, last_error=error[:300], failures=F("failures") + 1)


def take_events(
    *, vtn_id: int, heard: Sequence[HeardEvent], portfolio: Callable[[str], Portfolio], now: datetime
) -> Outcome:
    """Answer what is new or changed, and call off what is no more there.

    Args:
        heard: all active events of the programmes that the portfolio takes part in, as one complete reading.
    """
    vtn = OutsideVtn.objects.get(pk=vtn_id)
    outcomes = [_take(vtn, event, portfolio, now) for event in heard]
    with transaction.atomic():
        missing = OutsideEvent.objects.select_for_update().filter(vtn=vtn, gone_at=None)
        for row in missing.exclude(event_id__in=[event.body["id"] for event in heard]).order_by("id"):
            row.gone_at = now
            row.save(update_fields=["gone_at"])
            outcomes.append(withdraw_request(_source(vtn, row.event_id), requested_by=vtn.name, now=now))
    return Outcome(
        tuple(dict.fromkeys(key for outcome in outcomes for key in outcome.grid_event_ids)),
        tuple(dict.fromkeys(key for outcome in outcomes for key in outcome.region_ids)),
    )


def keep_report(*, outside_event_id: int, key: str, body: Mapping[str, Any], now: datetime) -> None:
    """Keep a report until it is taken; one of the same key is kept once."""
    OutsideReport.objects.get_or_create(
        event_id=outside_event_id, key=key, defaults={"body": dict(body), "created_at": now}
    )


def unsent_reports(*, vtn_id: int) -> list[tuple[int, dict[str, Any]]]:
    """Reports that are still to be taken, oldest first: (key, body)."""
    rows = OutsideReport.objects.filter(event__vtn_id=vtn_id, sent_at=None, refused="").order_by("id")
    return [(row.pk, row.body) for row in rows[:MOST_REPORTS_AT_ONCE]]


def mark_report(*, report_id: int, now: datetime, refused: str = "") -> None:
    """It was taken, or will never be."""
    OutsideReport.objects.filter(pk=report_id).update(sent_at=None if refused else now, refused=refused[:300])


def wake(*, name: str, token: str, now: datetime) -> int:
    """An outside VTN says that something changed: it is asked at once. Returns its key.

    Raises:
        UnknownVtn: there is none of that name and token.
    """
    row = OutsideVtn.objects.filter(name=name, enabled=True).exclude(callback_token="").first()
    if row is None or not compare_digest(row.callback_token.encode(), token.encode()):
        raise UnknownVtn("There is no such call-back.")
    OutsideVtn.objects.filter(pk=row.pk).update(due_at=now)
    return row.pk


def _take(vtn: OutsideVtn, heard: HeardEvent, portfolio: Callable[[str], Portfolio], now: datetime) -> Outcome:
    body = {key: value for key, value in heard.body.items() if key not in _VTN_WRITES}
    program = {key: value for key, value in heard.program.items() if key not in _VTN_WRITES}
    code = vtn.programmes[heard.program["programName"]]
    with transaction.atomic():
        row, made = OutsideEvent.objects.select_for_update().get_or_create(
            vtn=vtn,
            event_id=heard.body["id"],
            defaults={"code": code, "body": body, "program_body": program, "received_at": now},
        )
        if not made:
            if (row.body, row.program_body, row.code) == (body, program, code) and row.gone_at is None:
                return Outcome()
            row.body, row.program_body, row.code, row.gone_at = body, program, code, None
            row.revision, row.received_at = row.revision + 1, now
            row.save()
        source = _source(vtn, row.event_id)
        outcome = answer_request(
            Request(source, row.revision, vtn.name, code, body, program, now), portfolio=portfolio, now=now
        )
        told = answer_body(source=source, revision=row.revision, event_id=row.event_id, client_name=vtn.ven_name)
        keep_report(outside_event_id=row.pk, key=f"answer-{row.revision}", body=told, now=now)
    return outcome


def _source(vtn: OutsideVtn, event_id: str) -> str:
    return f"{vtn.name}:{event_id}"
