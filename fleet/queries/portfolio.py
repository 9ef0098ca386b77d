"""What owners have in the fleet: their cars, what they wish and allow, where they are plugged in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any

from django.db.models import Prefetch, QuerySet

from fleet.core.goals import next_ready_at
from fleet.models import (
    Charger,
    ChargingSession,
    CommandKind,
    CommandState,
    Consent,
    DeviceCommand,
    Meter,
    MeterRole,
    Owner,
    Vehicle,
    VehicleGoal,
    VehicleModel,
)
from fleet.queries.state import latest_states

DEFAULT_TIME_ZONE = "UTC"
DEFAULT_CURRENCY = "EUR"


@dataclass(frozen=True, slots=True)
class OwnerView:
    """Who is logged in as an owner."""

    owner_id: int
    identity: str
    name: str


@dataclass(frozen=True, slots=True)
class GoalView:
    """A driver's wish; `ready_at` is the next instant by which the car must be ready, if there is one."""

    kind: str
    weekdays: tuple[int, ...]
    ready_by: time | None
    once_at: datetime | None
    ready_at: datetime | None
    target_soc_fraction: float
    floor_soc_fraction: float
    keep_charging_if_late: bool
    charge_now_until: datetime | None


@dataclass(frozen=True, slots=True)
class StayView:
    """A car at an EVSE: the open session and the charger's state."""

    session_id: int
    asset_id: int
    site_id: int
    charger_identity: str
    connected: bool
    fault: str
    last_seen_at: datetime | None
    started_at: datetime
    departure_at: datetime | None
    charge_kw: float
    site_import_limit_kw: float
    site_emergency: bool


@dataclass(frozen=True, slots=True)
class ComputerView:
    """The computer on board."""

    computer_id: int
    identity: str
    cpu_cores: int
    active_power_kw: float


@dataclass(frozen=True, slots=True)
class OwnedCar:
    """One car of an owner, with its wish, where it is plugged in, and what its owner allows."""

    vehicle_id: int
    identity: str
    label: str
    model: str
    battery_capacity_kwh: float
    charge_kw: float
    charge_efficiency: float
    km_per_kwh: float
    v2g_capable: bool
    soc_fraction: float | None
    soc_measured_at: datetime | None
    site_name: str
    region_id: int | None
    time_zone: str
    currency: str
    goal: GoalView
    stay: StayView | None
    computer: ComputerView | None
    consents: frozenset[str]


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A vehicle model that an owner may pick."""

    model_id: int
    make: str
    name: str
    battery_capacity_kwh: float
    max_charge_kw: float
    max_discharge_kw: float

    @property
    def label(self) -> str:
        return f"{self.make} {self.name}"


@dataclass(frozen=True, slots=True)
class ConsentRecord:
    """One line of the history of consents."""

    vehicle_id: int
    vehicle_label: str
    service: str
    terms_version: str
    granted_at: datetime
    withdrawn_at: datetime | None


@dataclass(frozen=True, slots=True)
class ChargerCheck:
    """What somebody who enters a charger's code is told; `shared` where it stands in nobody's home."""

    identity: str
    site_identity: str
    site_name: str
    owner_id: int | None
    shared: bool
    connected: bool
    last_seen_at: datetime | None


@dataclass(frozen=True, slots=True)
class SentCommand:
    """The newest power command to an asset and how far it has come."""

    command_id: int
    state: str
    queued_at: datetime
    sent_at: datetime | None
    answered_at: datetime | None
    valid_until: datetime
    plan_id: int | None
    power_kw: tuple[float, ...]


def owner_of_user(*, user_id: int) -> OwnerView | None:
    """The owner that a login belongs to, if any."""
    row = Owner.objects.filter(user_id=user_id).first()
    return None if row is None else OwnerView(row.pk, row.identity, row.name)


def _owned(owner_id: int) -> QuerySet[Vehicle]:
    stays = ChargingSession.objects.filter(ended_at__isnull=True).select_related(
        "evse__asset__site__grid_node__region", "charger"
    )
    return (
        Vehicle.objects.filter(owner_id=owner_id, withdrawn_at__isnull=True)
        .select_related("model", "goal", "computer", "home_site__grid_node__region")
        .prefetch_related(
            Prefetch("sessions", queryset=stays, to_attr="open_sessions"),
            Prefetch("consents", queryset=Consent.objects.filter(withdrawn_at__isnull=True), to_attr="open_consents"),
        )
        .order_by("pk")
    )


def owned_cars(*, owner_id: int, now: datetime) -> list[OwnedCar]:
    """The cars of an owner, in the order of enrolment. Three queries, however many cars."""
    return [_owned_car(row, now) for row in _owned(owner_id)]


def owned_car(*, owner_id: int, vehicle_id: int, now: datetime) -> OwnedCar | None:
    """One car, if it is this owner's."""
    row = _owned(owner_id).filter(pk=vehicle_id).first()
    return None if row is None else _owned_car(row, now)


def _owned_car(row: Any, now: datetime) -> OwnedCar:
    """A row of `_owned`, with its open sessions and consents."""
    session = row.open_sessions[0] if row.open_sessions else None
    site = row.home_site or (session.evse.asset.site if session is not None else None)
    region = site.grid_node.region if site is not None else None
    time_zone = site.time_zone if site is not None else DEFAULT_TIME_ZONE
    computer = getattr(row, "computer", None)
    return OwnedCar(
        vehicle_id=row.pk,
        identity=row.identity,
        label=row.label,
        model=str(row.model),
        battery_capacity_kwh=row.battery_capacity_kwh,
        charge_kw=row.model.max_charge_kw,
        charge_efficiency=row.model.charge_efficiency,
        km_per_kwh=1 / row.model.consumption_kwh_per_km,
        v2g_capable=row.v2g_capable,
        soc_fraction=row.soc_fraction,
        soc_measured_at=row.soc_measured_at,
        site_name=site.name if site is not None else "",
        region_id=region.pk if region is not None else None,
        time_zone=time_zone,
        currency=region.currency if region is not None else DEFAULT_CURRENCY,
        goal=_goal_view(getattr(row, "goal", None), time_zone, now),
        stay=None if session is None else _stay_view(session, row.model),
        computer=None
        if computer is None
        else ComputerView(computer.pk, computer.identity, computer.cpu_cores, computer.active_power_kw),
        consents=frozenset(consent.service for consent in row.open_consents),
    )


def _goal_view(row: VehicleGoal | None, time_zone: str, now: datetime) -> GoalView:
    goal = row or VehicleGoal(kind="none", weekdays=[])
    ready_at = next_ready_at(
        kind=goal.kind,
        weekdays=goal.weekdays,
        ready_by=goal.ready_by,
        ready_at=goal.ready_at,
        time_zone=time_zone,
        now=now,
    )
    return GoalView(
        kind=goal.kind,
        weekdays=tuple(goal.weekdays),
        ready_by=goal.ready_by,
        once_at=goal.ready_at,
        ready_at=ready_at,
        target_soc_fraction=goal.target_soc_fraction,
        floor_soc_fraction=goal.floor_soc_fraction,
        keep_charging_if_late=goal.keep_charging_if_late,
        charge_now_until=goal.charge_now_until,
    )


def _stay_view(session: ChargingSession, model: VehicleModel) -> StayView:
    evse = session.evse
    limits = [evse.max_charge_kw, model.max_charge_kw, session.max_charge_kw]
    return StayView(
        session_id=session.pk,
        asset_id=evse.asset_id,
        site_id=evse.asset.site_id,
        charger_identity=session.charger.identity,
        connected=evse.asset.connected,
        fault=evse.asset.fault,
        last_seen_at=session.charger.last_seen_at or evse.asset.last_seen_at,
        started_at=session.started_at,
        departure_at=session.departure_at,
        charge_kw=min(limit for limit in limits if limit),
        site_import_limit_kw=evse.asset.site.import_limit_kw,
        site_emergency=evse.asset.site.operation_mode == "emergency",
    )


def newest_power_commands(asset_ids: Iterable[int]) -> dict[int, SentCommand]:
    """The newest power command of each asset, whatever became of it, except those replaced before they were sent."""
    rows = (
        DeviceCommand.objects.filter(asset_id__in=list(asset_ids), kind=CommandKind.SET_POWER)
        .exclude(state=CommandState.SUPERSEDED)
        .order_by("asset_id", "-sequence")
        .distinct("asset_id")
    )
    return {
        row.asset_id: SentCommand(
            row.pk,
            row.state,
            row.queued_at,
            row.sent_at,
            row.answered_at,
            row.valid_until,
            row.plan_id,
            tuple(row.power_kw),
        )
        for row in rows
    }


def vehicle_models() -> list[ModelChoice]:
    """Every model that is known, by make and name."""
    return [
        ModelChoice(row.pk, row.make, row.name, row.battery_capacity_kwh, row.max_charge_kw, row.max_discharge_kw)
        for row in VehicleModel.objects.order_by("make", "name")
    ]


def consent_history(*, owner_id: int) -> list[ConsentRecord]:
    """Every consent of an owner for a car, the newest first."""
    rows = (
        Consent.objects.filter(owner_id=owner_id, vehicle__isnull=False)
        .select_related("vehicle")
        .order_by("-granted_at", "-pk")[:200]
    )
    return [
        ConsentRecord(
            row.vehicle.pk, row.vehicle.label, row.service, row.terms_version, row.granted_at, row.withdrawn_at
        )
        for row in rows
        if row.vehicle is not None
    ]


def charger_check(*, code: str) -> ChargerCheck | None:
    """The charger with this code, if there is one."""
    row = Charger.objects.select_related("site").filter(identity__iexact=code.strip()).first()
    if row is None:
        return None
    return ChargerCheck(
        identity=row.identity,
        site_identity=row.site.identity,
        site_name=row.site.name,
        owner_id=row.site.owner_id,
        shared=row.site.kind != "home",
        connected=bool(row.gateway_identity),
        last_seen_at=row.last_seen_at,
    )


def vehicle_token(*, owner_id: int, vehicle_id: int) -> str:
    """The token that a driver shows a station for this car; empty if it has none."""
    row = Vehicle.objects.filter(pk=vehicle_id, owner_id=owner_id).prefetch_related("tokens").first()
    tokens = [token.token for token in row.tokens.all() if not token.blocked] if row is not None else []
    return tokens[0] if tokens else ""


def site_loads_kw(site_ids: Iterable[int]) -> dict[int, float]:
    """What the rest of each site draws now, by its load meters; sites without one, or not heard of, are missing."""
    meters = list(
        Meter.objects.filter(asset__site_id__in=list(site_ids), role=MeterRole.LOAD).values_list(
            "asset_id", "asset__site_id"
        )
    )
    states = latest_states([asset_id for asset_id, _ in meters])
    loads_kw: dict[int, float] = {}
    for asset_id, site_id in meters:
        state = states.get(asset_id)
        if state is not None and state.power_kw is not None:
            loads_kw[site_id] = loads_kw.get(site_id, 0.0) + state.power_kw
    return loads_kw
