"""Devices for the operator: lists by key, one device with what it does, its commands and its trace."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet

from fleet.models import Asset, AssetKind, Charger, ChargerProtocol, DeviceCommand, Pack
from fleet.queries.commands import StandingSchedule, standing_schedules
from fleet.queries.departures import DepartureView, recent_departures
from fleet.queries.state import AssetState, latest_states

PAGE = 50


@dataclass(frozen=True, slots=True)
class DeviceFilter:
    """What a list of devices is narrowed to; empty: everything. `after` is the last identity of the page before."""

    text: str = ""
    kind: str = ""
    state: str = ""  # connected, offline or fault
    region: str = ""
    protocol: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """One metered point. `device_identity` is what its page is found by: the charger's, or its own."""

    asset_id: int
    identity: str
    device_identity: str
    kind: str
    site_name: str
    region_code: str
    time_zone: str
    protocol: str
    connected: bool
    fault: str
    last_seen_at: datetime | None
    power_kw: float | None
    soc_fraction: float | None


@dataclass(frozen=True, slots=True)
class DevicePage:
    """One page of a list; `next_after` is empty on the last one. `total` counts what the filter leaves."""

    rows: tuple[DeviceRow, ...]
    total: int
    next_after: str


@dataclass(frozen=True, slots=True)
class PointView:
    """One metered point of a device: what it is told, what it does, what it may."""

    asset_id: int
    identity: str
    connectors: tuple[str, ...]
    connected: bool
    fault: str
    max_charge_kw: float
    max_discharge_kw: float
    fail_safe_kw: float | None
    state: AssetState | None
    schedule: StandingSchedule | None
    session_started_at: datetime | None
    vehicle_identity: str
    departures: tuple[DepartureView, ...] = ()


@dataclass(frozen=True, slots=True)
class DeviceView:
    """A charger, a pack or a meter. `facts` are (name, value) as the device told them; `traced_as` the identities that
    its messages are kept under; `der` whether it knows DER control."""

    identity: str
    kind: str
    site_name: str
    region_code: str
    time_zone: str
    protocol: str
    connected: bool
    last_seen_at: datetime | None
    facts: tuple[tuple[str, str], ...]
    points: tuple[PointView, ...]
    traced_as: tuple[str, ...]
    der: bool = False


@dataclass(frozen=True, slots=True)
class CommandLine:
    """One command and how far it has come."""

    command_id: int
    asset_identity: str
    kind: str
    state: str
    power_kw: tuple[float, ...]
    queued_at: datetime
    sent_at: datetime | None
    answered_at: datetime | None
    valid_until: datetime
    attempts: int
    plan_id: int | None
    grid_event_id: int | None
    answer: object


def devices(*, narrowed: DeviceFilter, page_size: int = PAGE) -> DevicePage:
    """A page of metered points by identity. Two queries, whatever the number of devices and the page."""
    rows = _filtered(narrowed)
    total = rows.count()
    if narrowed.after:
        rows = rows.filter(identity__gt=narrowed.after)
    found = list(rows.select_related("site__grid_node__region", "evse__charger").order_by("identity")[: page_size + 1])
    shown, more = found[:page_size], len(found) > page_size
    states = latest_states([row.pk for row in shown if row.connected])
    return DevicePage(
        rows=tuple(_device_row(row, states.get(row.pk)) for row in shown),
        total=total,
        next_after=shown[-1].identity if more else "",
    )


def _filtered(narrowed: DeviceFilter) -> QuerySet[Asset]:
    rows = Asset.objects.all()
    if narrowed.text:
        rows = rows.filter(Q(identity__icontains=narrowed.text) | Q(site__name__icontains=narrowed.text))
    if narrowed.kind:
        rows = rows.filter(kind=narrowed.kind)
    if narrowed.region:
        rows = rows.filter(site__grid_node__region__code=narrowed.region)
    if narrowed.protocol:
        rows = rows.filter(evse__charger__protocol=narrowed.protocol)
    if narrowed.state == "connected":
        rows = rows.filter(connected=True)
    elif narrowed.state == "offline":
        rows = rows.filter(connected=False)
    elif narrowed.state == "fault":
        rows = rows.exclude(fault="")
    return rows


def _device_row(row: Asset, state: AssetState | None) -> DeviceRow:
    evse = getattr(row, "evse", None)
    return DeviceRow(
        asset_id=row.pk,
        identity=row.identity,
        device_identity=evse.charger.identity if evse is not None else row.identity,
        kind=row.kind,
        site_name=row.site.name,
        region_code=row.site.grid_node.region.code,
        time_zone=row.site.time_zone,
        protocol=evse.charger.get_protocol_display() if evse is not None else "Modbus",
        connected=row.connected,
        fault=row.fault,
        last_seen_at=row.last_seen_at,
        power_kw=state.power_kw if state is not None else None,
        soc_fraction=state.soc_fraction if state is not None else None,
    )


def device(identity: str) -> DeviceView | None:
    """A charger by its identity, an EVSE's charger, a pack or a meter; None if there is no such device."""
    charger = (
        Charger.objects.select_related("site__grid_node__region")
        .filter(Q(identity=identity) | Q(evses__asset__identity=identity))
        .first()
    )
    if charger is not None:
        return _charger_view(charger)
    asset = (
        Asset.objects.select_related("site__grid_node__region", "pack__inverter", "meter")
        .filter(identity=identity)
        .exclude(kind=AssetKind.EVSE)
        .first()
    )
    return None if asset is None else _pack_or_meter_view(asset)


def _charger_view(charger: Charger) -> DeviceView:
    evses = list(charger.evses.select_related("asset").prefetch_related("connectors").order_by("number"))
    ids = [evse.asset_id for evse in evses]
    states, schedules = latest_states(ids), standing_schedules(ids)
    departures = recent_departures(ids)
    sessions = {
        session.evse_id: session for session in charger.sessions.filter(ended_at__isnull=True).select_related("vehicle")
    }
    points = []
    for evse in evses:
        session = sessions.get(evse.pk)
        points.append(
            PointView(
                asset_id=evse.asset_id,
                identity=evse.asset.identity,
                connectors=tuple(
                    f"{connector.number}: {connector.status}{f' ({connector.detail})' if connector.detail else ''}"
                    for connector in evse.connectors.all()
                ),
                connected=evse.asset.connected,
                fault=evse.asset.fault,
                max_charge_kw=evse.max_charge_kw,
                max_discharge_kw=evse.max_discharge_kw,
                fail_safe_kw=evse.fail_safe_kw,
                state=states.get(evse.asset_id),
                schedule=schedules.get(evse.asset_id),
                session_started_at=session.started_at if session is not None else None,
                vehicle_identity=session.vehicle.identity if session is not None and session.vehicle else "",
                departures=departures.get(evse.asset_id, ()),
            )
        )
    names = ("vendor", "model", "serial_number", "firmware_version", "gateway_identity")
    return DeviceView(
        identity=charger.identity,
        kind="charger",
        site_name=charger.site.name,
        region_code=charger.site.grid_node.region.code,
        time_zone=charger.site.time_zone,
        protocol=charger.get_protocol_display(),
        connected=bool(charger.gateway_identity),
        last_seen_at=charger.last_seen_at,
        facts=(
            *((name, getattr(charger, name)) for name in names if getattr(charger, name)),
            *((("smart_charging", "no"),) if charger.capabilities.get("smart_charging") is False else ()),
        ),
        points=tuple(points),
        traced_as=(charger.identity,),
        der=charger.protocol == ChargerProtocol.OCPP_21,
    )


def _pack_or_meter_view(asset: Asset) -> DeviceView:
    pack, meter = getattr(asset, "pack", None), getattr(asset, "meter", None)
    endpoint = pack.inverter if pack is not None else meter
    facts: list[tuple[str, str]] = []
    traced = [asset.identity]
    if pack is not None:
        traced.append(pack.inverter.identity)
        facts = [
            ("inverter", pack.inverter.identity),
            ("unit", str(pack.device_id)),
            *((("register_profile", pack.inverter.register_profile),) if pack.inverter.register_profile else ()),
            ("origin", pack.origin),
            ("nameplate", f"{pack.nameplate_kwh:g} kWh"),
            ("state_of_health", f"{pack.state_of_health_fraction:.0%}"),
            *_derating(pack),
        ]
    elif meter is not None:
        facts = [("role", meter.role), ("address", f"{meter.host}:{meter.port}/{meter.device_id}")]
    point = PointView(
        asset_id=asset.pk,
        identity=asset.identity,
        connectors=(),
        connected=asset.connected,
        fault=asset.fault,
        max_charge_kw=pack.max_charge_kw if pack is not None else 0.0,
        max_discharge_kw=pack.max_discharge_kw if pack is not None else 0.0,
        fail_safe_kw=0.0 if pack is not None else None,
        state=latest_states([asset.pk]).get(asset.pk),
        schedule=standing_schedules([asset.pk]).get(asset.pk),
        session_started_at=None,
        vehicle_identity="",
    )
    return DeviceView(
        identity=asset.identity,
        kind=asset.kind,
        site_name=asset.site.name,
        region_code=asset.site.grid_node.region.code,
        time_zone=asset.site.time_zone,
        protocol=endpoint.get_framing_display() if endpoint is not None else "",
        connected=asset.connected,
        last_seen_at=asset.last_seen_at,
        facts=tuple(facts),
        points=(point,),
        traced_as=tuple(traced),
    )


def _derating(pack: Pack) -> tuple[tuple[str, str], ...]:
    """How much of its power a pack may use now, and why not all."""
    if min(pack.charge_fraction, pack.discharge_fraction) >= 1:
        return ()
    return (
        ("derated_charge", f"{pack.charge_fraction:.0%}"),
        ("derated_discharge", f"{pack.discharge_fraction:.0%}"),
        ("derating_reason", pack.condition_reason),
    )


def device_commands(
    *, asset_ids: Iterable[int], before: int | None = None, limit: int = PAGE
) -> tuple[list[CommandLine], int | None]:
    """Commands of a device's points, the newest first, and the sequence to go on from (None on the last page)."""
    rows = DeviceCommand.objects.filter(asset_id__in=list(asset_ids)).select_related("asset").order_by("-sequence")
    if before is not None:
        rows = rows.filter(sequence__lt=before)
    found = list(rows[: limit + 1])
    shown = found[:limit]
    lines = [
        CommandLine(
            row.pk,
            row.asset.identity,
            row.kind,
            row.state,
            tuple(row.power_kw),
            row.queued_at,
            row.sent_at,
            row.answered_at,
            row.valid_until,
            row.attempts,
            row.plan_id,
            row.grid_event_id,
            row.answer,
        )
        for row in shown
    ]
    return lines, shown[-1].sequence if len(found) > limit else None
