"""One reading of an outside VTN: enrol, take its events, hand over what is to be reported."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.conf import settings

from grid.core.openadr.wishes import Portfolio
from grid.markets.openadr_ven.client import Access, VtnAway, VtnClient, VtnRefuses, active_events
from grid.models import OutsideVtn, VtnTransport
from grid.operations.openadr.outside import (
    HeardEvent,
    mark_report,
    note_outage,
    note_success,
    take_events,
    unsent_reports,
)
from grid.operations.openadr.promises import Outcome


def read_vtn(vtn_id: int, *, portfolio: Callable[[str], Portfolio], now: datetime) -> Outcome:
    """Take an outside VTN's events. One that does not answer leaves everything as it is and is asked again later."""
    vtn = OutsideVtn.objects.filter(pk=vtn_id, enabled=True).first()
    if vtn is None:
        return Outcome()
    try:
        with VtnClient(access_of(vtn)) as client:
            ven_id = client.enrolled_ven(vtn.ven_name)
            subscription_id = _subscribed(client, vtn)
            heard = active_events(client, vtn.programmes, vtn.targets)
    except (VtnAway, VtnRefuses, KeyError, TypeError, ValueError) as error:
        note_outage(vtn_id=vtn_id, error=f"{type(error).__name__}: {error}", now=now)
        return Outcome()
    events = [HeardEvent(body, program) for body, program in heard]
    outcome = take_events(vtn_id=vtn_id, heard=events, portfolio=portfolio, now=now)
    note_success(vtn_id=vtn_id, ven_id=ven_id, subscription_id=subscription_id, now=now)
    return outcome


def send_reports(vtn_id: int, *, now: datetime) -> int:
    """Hand over what is to be reported, oldest first; what a VTN refuses is not tried again. Returns how many it took."""
    vtn = OutsideVtn.objects.filter(pk=vtn_id, enabled=True).first()
    waiting = unsent_reports(vtn_id=vtn_id) if vtn is not None else []
    if vtn is None or not waiting:
        return 0
    sent = 0
    with VtnClient(access_of(vtn)) as client:
        for report_id, body in waiting:
            try:
                client.request("POST", "/reports", json=body)
                mark_report(report_id=report_id, now=now)
                sent += 1
            except VtnRefuses as error:
                mark_report(report_id=report_id, now=now, refused=error.message)
            except VtnAway as error:
                note_outage(vtn_id=vtn_id, error=error.message, now=now)
                break
    return sent


def access_of(vtn: OutsideVtn) -> Access:
    """Where it is, and who we are there."""
    return Access(vtn.base_url, vtn.client_id, vtn.secret_variable, vtn.scope)


def _subscribed(client: VtnClient, vtn: OutsideVtn) -> str:
    """Our subscription, where the VTN shall call us and knows how to."""
    if vtn.transport != VtnTransport.WEBHOOK or not settings.OPENADR_CALLBACK_URL:
        return vtn.subscription_id
    entry: dict[str, Any] = {
        "objects": ["EVENT", "PROGRAM"],
        "operations": ["CREATE", "UPDATE", "DELETE"],
        "callbackUrl": f"{settings.OPENADR_CALLBACK_URL.rstrip('/')}/{vtn.name}",
        "bearerToken": vtn.callback_token,
    }
    body: dict[str, Any] = {"clientName": vtn.ven_name, "objectOperations": [entry]}
    if vtn.targets:
        body["targets"] = list(vtn.targets)
    return client.subscribed(vtn.subscription_id, body)
