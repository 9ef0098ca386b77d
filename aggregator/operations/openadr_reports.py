"""The reports that OpenADR events asked of the portfolio: made once each, from meters and from what the fleet offers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from aggregator.queries.openadr_status import portfolio_status
from fleet.queries.state import metered_energy
from grid.core.openadr.reporting import Metered, due_reports, report_body
from grid.core.openadr.timing import Span
from grid.operations.openadr.outside import keep_report
from grid.operations.openadr.portfolio_node import portfolio_caller
from grid.operations.openadr.reports import create_report
from grid.queries.openadr.reportable import Reportable, reportable_events

LONGEST_KEY = 120


def make_due_reports(*, now: datetime) -> int:
    """Make what is due and does not exist yet; returns how many. Reports to outside VTNs are kept for their next reading."""
    made = 0
    for asked in reportable_events(now):
        for due in due_reports(asked.body, asked.received_at, now):
            key = due.key[:LONGEST_KEY]
            if key in asked.made:
                continue
            body = report_body(
                event_id=asked.event_id,
                client_name=asked.client_name,
                due=due,
                status=portfolio_status(asked.region_code, running_event_id=asked.running_event_id, now=now),
                metered=partial(_metered, asked.participants),
            )
            _keep(asked, key, body, now)
            made += 1
    return made


def _keep(asked: Reportable, key: str, body: dict, now: datetime) -> None:
    if asked.outside_id is None:
        create_report(caller=portfolio_caller(asked.region_code), body=body, now=now, origin_key=key)
    else:
        keep_report(outside_event_id=asked.outside_id, key=key, body=body, now=now)


def _metered(participants: Sequence[int], span: Span) -> Metered:
    """Energy of an event's participants over an interval; nothing is guessed where a meter was silent."""
    if not participants or span.ends_at is None or span.ends_at <= span.starts_at:
        return Metered(None)
    length_s = max(1, round((span.ends_at - span.starts_at).total_seconds()))
    energy = metered_energy(asset_ids=participants, starts_at=span.starts_at, ends_at=span.ends_at, slot_s=length_s)
    return Metered(float(energy.net_kwh.sum()) if energy.complete.all() else None)
