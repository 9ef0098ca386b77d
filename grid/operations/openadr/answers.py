"""The portfolio's answer to an event of our own VTN: as a node it promises, and says so in a report."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F

from grid.core.openadr.reporting import AGGREGATED, period
from grid.core.openadr.timing import Span
from grid.core.openadr.wishes import Portfolio
from grid.models import AnswerState, OpenAdrAnswer, OpenAdrEvent
from grid.operations.openadr.portfolio_node import bound_programme, enrol_portfolio, portfolio_caller
from grid.operations.openadr.promises import Outcome, Request, answer_request, withdraw_request
from grid.operations.openadr.reports import create_report
from grid.queries.openadr.objects import granted_targets

MOST_AT_ONCE = 100


def answer_event(object_id: str, *, portfolio: Callable[[str], Portfolio], now: datetime) -> Outcome:
    """Answer the newest revision of an event, once. An event of a programme that is none of ours, or whose targets the
    portfolio was not granted, is not for the portfolio.

    Args:
        portfolio: what a region's assets do and can do now.
    """
    with transaction.atomic():
        row = (
            OpenAdrEvent.objects.select_for_update(of=("self",))
            .select_related("program")
            .filter(object_id=object_id, answered_revision__lt=F("revision"))
            .first()
        )
        if row is None:
            return Outcome()
        row.answered_revision = row.revision
        row.save(update_fields=["answered_revision"])
        programme = bound_programme(row.program, now)
        if programme is None or not _meant_for(row, programme.region_code):
            return withdraw_answers(row, now=now)
        enrol_portfolio(row.program, now=now)
        outcome = answer_request(
            Request(
                source=source_of(row.object_id),
                revision=row.revision,
                requested_by=row.program.operator_name,
                code=programme.code,
                event=row.body,
                program=row.program.body,
                received_at=row.modified_at,
            ),
            portfolio=portfolio,
            now=now,
        )
        _tell(row, programme.region_code, now)
    return outcome


def withdraw_answers(event: OpenAdrEvent, *, now: datetime) -> Outcome:
    """Call off what the portfolio promised for an event."""
    return withdraw_request(source_of(event.object_id), requested_by=event.program.operator_name, now=now)


def unanswered_events() -> list[str]:
    """Events whose newest revision is not answered: a task was lost, or the portfolio could not be read."""
    rows = OpenAdrEvent.objects.filter(answered_revision__lt=F("revision")).order_by("id")
    return list(rows.values_list("object_id", flat=True)[:MOST_AT_ONCE])


def source_of(object_id: str) -> str:
    """How answers name an event of our own VTN."""
    return f"vtn:{object_id}"


def answer_resources(answers: Iterable[OpenAdrAnswer]) -> list[dict[str, Any]]:
    """A report's resources that tell the answers, one interval each.

    ANSWER is ACCEPTED, PARTIAL, REFUSED or NOTED and the reason; PROMISED_CHANGE the change promised in kW, positive =
    consume more. Both are our own words; OPERATING_STATE is OpenADR's.
    """
    intervals = []
    for answer in answers:
        out = answer.state == AnswerState.REFUSED
        payloads: list[dict[str, Any]] = [
            {"type": "ANSWER", "values": [answer.state.upper(), *([answer.reason] if answer.reason else [])]},
            {"type": "OPERATING_STATE", "values": ["RUNNING_OPTED_OUT" if out else "NORMAL"]},
        ]
        if answer.promised_kw is not None:
            payloads.append({"type": "PROMISED_CHANGE", "values": [round(answer.promised_kw, 3)]})
        interval: dict[str, Any] = {"id": answer.interval_id, "payloads": payloads}
        if answer.starts_at is not None:
            interval["intervalPeriod"] = period(Span(answer.starts_at, answer.ends_at))
        intervals.append(interval)
    return [{"resourceName": AGGREGATED, "intervals": intervals}]


def answer_body(*, source: str, revision: int, event_id: str, client_name: str) -> dict[str, Any]:
    """The report that tells the answers to a revision of an event."""
    answers = OpenAdrAnswer.objects.filter(source=source, revision=revision).order_by("position")
    return {
        "eventID": event_id,
        "clientName": client_name,
        "reportName": "answer",
        "payloadDescriptors": [
            {"objectType": "REPORT_PAYLOAD_DESCRIPTOR", "payloadType": "PROMISED_CHANGE", "units": "KW"}
        ],
        "resources": answer_resources(answers),
    }


def _tell(row: OpenAdrEvent, region_code: str, now: datetime) -> None:
    caller = portfolio_caller(region_code)
    body = answer_body(
        source=source_of(row.object_id), revision=row.revision, event_id=row.object_id, client_name=caller.name
    )
    create_report(caller=caller, body=body, now=now, origin_key=f"answer-{row.revision}")


def _meant_for(row: OpenAdrEvent, region_code: str) -> bool:
    if not row.targets:
        return True
    return not granted_targets(portfolio_caller(region_code).client_id).isdisjoint(row.targets)
