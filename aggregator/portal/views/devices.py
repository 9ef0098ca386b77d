"""Devices for the operator: a list that stays fast, and one device with its state, trace and commands."""

from __future__ import annotations

import csv
import json
from datetime import datetime
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_safe

from aggregator.portal.access import for_operator
from aggregator.portal.pages import render_page
from fleet.queries.commands import StandingSchedule
from fleet.queries.devices import DeviceFilter, DeviceView, device, device_commands, devices
from fleet.queries.trace import TraceFilter, trace

TABS = ("state", "trace", "commands")
LONGEST_CSV = 10_000
KINDS = ("evse", "pack", "meter")
STATES = ("connected", "offline", "fault")
PROTOCOLS = ("ocpp1.6", "ocpp2.0.1", "ocpp2.1", "mqtt")


@require_safe
@for_operator
def device_list(request: HttpRequest) -> HttpResponse:
    """All filters stand in the address, so that it can be shared."""
    given = {name: request.GET.get(name, "")[:60] for name in ("q", "kind", "state", "region", "protocol")}
    narrowed = DeviceFilter(
        given["q"].strip(),
        given["kind"],
        given["state"],
        given["region"],
        given["protocol"],
        request.GET.get("after", ""),
    )
    page = devices(narrowed=narrowed)
    kept = {name: value for name, value in given.items() if value}
    context = {
        "page": page,
        "given": given,
        "kinds": KINDS,
        "states": STATES,
        "protocols": PROTOCOLS,
        "next_query": urlencode({**kept, "after": page.next_after}) if page.next_after else "",
        "first_query": urlencode(kept),
    }
    zone = page.rows[0].time_zone if page.rows else "UTC"
    return render_page(request, "portal/ops/devices.html", context, time_zone=zone)


@require_safe
@for_operator
def device_page(request: HttpRequest, identity: str) -> HttpResponse:
    """State, trace or commands, chosen by `tab`."""
    found = device(identity)
    if found is None:
        raise Http404
    tab = request.GET.get("tab", "state")
    if tab not in TABS:
        raise Http404
    if tab == "trace":
        return _trace(request, found)
    context: dict[str, object] = {"device": found, "tab": tab}
    if tab == "commands":
        before = request.GET.get("before", "")
        lines, next_before = device_commands(
            asset_ids=[point.asset_id for point in found.points], before=int(before) if before.isdecimal() else None
        )
        context |= {"lines": lines, "next_before": next_before}
    else:
        now = timezone.now()
        context["points"] = [(point, _told_now(point.schedule, now)) for point in found.points]
    return render_page(
        request,
        "portal/ops/device.html",
        context,
        time_zone=found.time_zone,
        fragment=f"portal/ops/device_{tab}.html",
    )


def _told_now(schedule: StandingSchedule | None, now: datetime) -> dict[str, object] | None:
    """What the device's schedule says for this instant, and until when."""
    if schedule is None or schedule.valid_until <= now:
        return None
    after_s = (now - schedule.starts_at).total_seconds()
    index = max((i for i, offset in enumerate(schedule.offset_s) if offset <= after_s), default=0)
    return {"power_kw": schedule.power_kw[index], "valid_until": schedule.valid_until, "state": schedule.state}


def _local_instant(text: str, zone: str) -> datetime | None:
    """A time as a form sends it, meant in the device's zone; None if there is none, or it cannot be read."""
    try:
        at = parse_datetime(text) if text else None
    except ValueError:
        return None
    return at.replace(tzinfo=ZoneInfo(zone)) if at is not None and at.tzinfo is None else at


def _before(text: str) -> tuple[datetime, int] | None:
    """The key of a page: instant and identifier."""
    stamp, _, row_id = text.rpartition(",")
    try:
        at = parse_datetime(stamp)
    except ValueError:
        return None
    return (at, int(row_id)) if at is not None and at.tzinfo is not None and row_id.isdecimal() else None


def _trace(request: HttpRequest, found: DeviceView) -> HttpResponse:
    given = {name: request.GET.get(name, "")[:64] for name in ("dir", "action", "id", "text", "from", "to")}
    narrowed = TraceFilter(
        direction=given["dir"] if given["dir"] in {"in", "out"} else "",
        action=given["action"].strip(),
        message_id=given["id"].strip(),
        text=given["text"].strip(),
        from_at=_local_instant(given["from"], found.time_zone),
        to_at=_local_instant(given["to"], found.time_zone),
        before=_before(request.GET.get("before", "")),
    )
    kept = {name: value for name, value in given.items() if value}
    if request.GET.get("format") == "csv":
        return _trace_csv(found, narrowed)
    lines, next_key = trace(traced_as=found.traced_as, narrowed=narrowed)
    context = {
        "device": found,
        "tab": "trace",
        "lines": [(line, json.dumps(line.payload, ensure_ascii=False, indent=1)) for line in lines],
        "given": given,
        "csv_query": urlencode({"tab": "trace", "format": "csv", **kept}),
        "next_query": ""
        if next_key is None
        else urlencode({"tab": "trace", **kept, "before": f"{next_key[0].isoformat()},{next_key[1]}"}),
    }
    return render_page(request, "portal/ops/device.html", context, time_zone=found.time_zone)


def _trace_csv(found: DeviceView, narrowed: TraceFilter) -> HttpResponse:
    """Exactly what the filter shows, up to 10,000 messages."""
    lines, _ = trace(traced_as=found.traced_as, narrowed=narrowed, limit=LONGEST_CSV)
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    name = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in found.identity)
    response["Content-Disposition"] = f'attachment; filename="trace-{name}.csv"'
    writer = csv.writer(response)
    writer.writerow(["at", "device", "direction", "action", "message_id", "result", "reply_ms", "plan", "payload"])
    for line in lines:
        payload = json.dumps(line.payload, ensure_ascii=False)
        writer.writerow(
            [
                line.at.isoformat(),
                line.device_identity,
                line.direction,
                line.action,
                line.message_id,
                line.result,
                "" if line.reply_ms is None else line.reply_ms,
                line.plan_id or "",
                payload,
            ]
        )
    return response
