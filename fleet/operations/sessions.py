"""Charging sessions as stations tell of them: late, twice, in the wrong order, or never.

Every operation may be repeated. A station's own instants are kept; nothing that a station reports is refused for being
old, and no transaction is lost: what began unseen is recorded when it is first heard of.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction

from common.errors import NotFound
from fleet.core.goals import next_ready_at
from fleet.models import SUPERSEDED, ChargerProtocol, ChargingSession, Evse, Vehicle, VehicleGoal
from fleet.operations.changes import announce_change
from fleet.operations.session_levels import note_levels, note_soc
from fleet.operations.session_progress import hear_event
from fleet.operations.stations import Authorisation, authorise_token, lock_evse

# In front of a transaction number of OCPP 1.6 that we never gave out: it can never be mistaken for one that we did.
NEVER_GIVEN = "unknown:"


class UnknownTransaction(NotFound):
    """The station speaks of a transaction that nobody has heard of."""

    code = "unknown_transaction"


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """What became of a start.

    `accepted` is whether the token may charge, `duplicate` whether the start was known already, `open` whether the
    session is still running: that of an old start may have ended long ago.
    """

    session_id: int
    transaction_id: str
    accepted: bool
    duplicate: bool
    open: bool = True
    vehicle_id: int | None = None
    reason: str = ""
    may_discharge: bool = False


@dataclass(frozen=True, slots=True)
class SessionUpdated:
    """What became of an update: whether the token that was shown may charge (true if none was), and whose session it is."""

    session_id: int
    open: bool
    vehicle_id: int | None
    accepted: bool = True
    reason: str = ""
    may_discharge: bool = False


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """What became of an end. `known` is whether the start had been heard of."""

    session_id: int
    duplicate: bool
    known: bool


@transaction.atomic
def start_session(
    *,
    identity: str,
    evse_number: int,
    transaction_id: str | None,
    id_token: str,
    started_at: datetime,
    meter_start_kwh: float | None,
    sequence_number: int = -1,
    now: datetime,
) -> SessionStarted:
    """A transaction has begun, now or while the station was offline.

    A session that is still open at the EVSE, or of the same vehicle elsewhere, is closed as "Superseded"; if it began
    later than this one, this one is recorded as closed already, until its own end arrives.

    Args:
        transaction_id: the station's own; None in OCPP 1.6, where the session's number is given out instead.
        started_at: by the station's clock; an instant that is still to come is taken as now.
        sequence_number: of the message, -1 where the protocol has none.

    Raises:
        UnknownEvse: the station has no such EVSE.
    """
    evse = lock_evse(identity, evse_number)
    authorisation = authorise_token(identity=identity, id_token=id_token, now=now)
    told_at, started_at = started_at, not_in_future(started_at, now)
    known = _find_start(evse, transaction_id, id_token, told_at, meter_start_kwh, clock_ahead=told_at != started_at)
    if known is not None:
        _complete_start(known, authorisation, id_token, started_at, meter_start_kwh, sequence_number, now)
        return _started(known, authorisation, duplicate=True)
    vehicle = _lock_vehicle(authorisation)
    still_open = _make_room(evse, vehicle, started_at, now)
    session = ChargingSession(
        id=_next_session_id(),
        charger_id=evse.charger_id,
        evse=evse,
        id_token=id_token,
        started_at=started_at,
        meter_start_kwh=meter_start_kwh,
    )
    hear_event(session, sequence_number)
    session.transaction_id = transaction_id or str(session.pk)
    if not still_open:
        session.ended_at, session.stop_reason = started_at, SUPERSEDED
    _take_vehicle(session, vehicle, evse)
    session.save(force_insert=True)
    if still_open:
        _announce("arrival", evse)
    return _started(session, authorisation, duplicate=False)


@transaction.atomic
def update_session(
    *,
    identity: str,
    transaction_id: str,
    sequence_number: int,
    soc_fraction: float | None = None,
    energy_needed_kwh: float | None = None,
    max_charge_kw: float | None = None,
    max_discharge_kw: float | None = None,
    bidirectional: bool | None = None,
    departure_at: datetime | None = None,
    car_target_soc_fraction: float | None = None,
    car_minimum_kwh: float | None = None,
    id_token: str | None = None,
    now: datetime,
) -> SessionUpdated:
    """Something more is known of a transaction: what the car asks for and allows, who it is, how full it is.

    What is None stays as it is. Planning is told when it matters to it.

    Args:
        car_target_soc_fraction: set in the car; it holds where the driver has told the platform nothing.
        car_minimum_kwh: energy that brings the battery to the lowest level from which the car gives energy back.

    Raises:
        UnknownTransaction: nobody has heard of it; start it first.
    """
    session = _lock_session(identity, transaction_id)
    if session is None:
        raise UnknownTransaction(
            f"transaction {transaction_id!r} of {identity!r} is not known",
            field="transactionId",
            remedy="Start it first.",
        )
    before = _what_planning_reads(session)
    hear_event(session, sequence_number)
    told = {
        "energy_needed_kwh": energy_needed_kwh,
        "max_charge_kw": max_charge_kw,
        "max_discharge_kw": max_discharge_kw,
        "bidirectional": bidirectional,
        "departure_at": departure_at,
    }
    for field, value in told.items():
        if value is not None:
            setattr(session, field, value)
    authorisation = None
    if id_token:
        authorisation = authorise_token(identity=identity, id_token=id_token, now=now)
        _identify(session, authorisation, id_token, now)
    if soc_fraction is not None:
        note_soc(session, soc_fraction, now)
    note_levels(session, car_target_soc_fraction, car_minimum_kwh)
    session.save()
    if session.ended_at is None and _what_planning_reads(session) != before:
        _announce("arrival", session.evse)
    return SessionUpdated(
        session_id=session.pk,
        open=session.ended_at is None,
        vehicle_id=session.vehicle_id,
        accepted=authorisation is None or authorisation.accepted,
        reason="" if authorisation is None else authorisation.reason,
        may_discharge=session.vehicle is not None and session.vehicle.v2g_capable,
    )


@transaction.atomic
def end_session(
    *,
    identity: str,
    transaction_id: str,
    ended_at: datetime,
    meter_stop_kwh: float | None,
    stop_reason: str,
    sequence_number: int,
    now: datetime,
    evse_number: int | None = None,
    id_token: str = "",
) -> SessionEnded:
    """A transaction has ended, now or while the station was offline. A second end changes nothing.

    One that nobody has heard of is recorded as begun and ended at `ended_at`, at `evse_number` if given, else at the
    station's first EVSE.

    Raises:
        UnknownEvse: the transaction is unknown and the station has no such EVSE, or none.
    """
    ended_at = not_in_future(ended_at, now)
    session = _lock_session(identity, transaction_id) or _lock_session(identity, NEVER_GIVEN + transaction_id)
    if session is None:
        session = _record_unseen(identity, transaction_id, evse_number, id_token, ended_at)
        known, was_open = False, False
    else:
        known, was_open = True, session.ended_at is None
        if not was_open and session.stop_reason != SUPERSEDED:
            return SessionEnded(session.pk, duplicate=True, known=True)
    session.ended_at = max(ended_at, session.started_at)
    session.meter_stop_kwh = meter_stop_kwh
    session.stop_reason = stop_reason[:40]
    hear_event(session, sequence_number)
    session.save()
    if was_open:
        _announce("departure", session.evse)
    return SessionEnded(session.pk, duplicate=False, known=known)


def not_in_future(instant: datetime, now: datetime) -> datetime:
    """The station's instant, or now if its clock runs ahead by more than readings are allowed to."""
    return instant if instant <= now + timedelta(seconds=settings.READING_MAX_FUTURE_S) else now


def _find_start(
    evse: Evse,
    transaction_id: str | None,
    id_token: str,
    started_at: datetime,
    meter_start_kwh: float | None,
    *,
    clock_ahead: bool,
) -> ChargingSession | None:
    """The session that this start has made before, if it has."""
    sessions = ChargingSession.objects.select_for_update(of=("self",)).select_related("evse__charger__site__grid_node")
    if transaction_id is not None:
        return sessions.filter(charger_id=evse.charger_id, transaction_id=transaction_id).first()
    same = sessions.filter(evse=evse, id_token=id_token, meter_start_kwh=meter_start_kwh)
    # a clock that runs ahead is corrected to the instant of arrival, which differs each time the start is repeated
    return same.filter(ended_at=None).first() if clock_ahead else same.filter(started_at=started_at).first()


def _complete_start(
    session: ChargingSession,
    authorisation: Authorisation,
    id_token: str,
    started_at: datetime,
    meter_start_kwh: float | None,
    sequence_number: int,
    now: datetime,
) -> None:
    """A start that arrives after later messages of its transaction fills in what they did not know."""
    session.started_at = min(session.started_at, started_at)
    if session.meter_start_kwh is None:
        session.meter_start_kwh = meter_start_kwh
    hear_event(session, sequence_number)
    _identify(session, authorisation, id_token, now)
    session.save()


def _identify(session: ChargingSession, authorisation: Authorisation, id_token: str, now: datetime) -> None:
    if id_token and not session.id_token:
        session.id_token = id_token
    if session.vehicle_id is None and authorisation.vehicle_id is not None and authorisation.accepted:
        vehicle = _lock_vehicle(authorisation)
        if session.ended_at is None:
            _close_elsewhere(session, vehicle, now)
        _take_vehicle(session, vehicle, session.evse)


def _lock_vehicle(authorisation: Authorisation) -> Vehicle | None:
    if not authorisation.accepted or authorisation.vehicle_id is None:
        return None
    return Vehicle.objects.select_for_update(of=("self",)).select_related("home_site").get(pk=authorisation.vehicle_id)


def _make_room(evse: Evse, vehicle: Vehicle | None, started_at: datetime, now: datetime) -> bool:
    """Close what is still open at the EVSE or of the vehicle. False if that began later: then this start is the old one."""
    open_sessions = ChargingSession.objects.select_for_update(of=("self",)).filter(ended_at=None)
    others = list(open_sessions.filter(evse=evse))
    if vehicle is not None:
        others += list(open_sessions.filter(vehicle=vehicle).exclude(evse=evse))
    if any(other.started_at > started_at for other in others):
        return False
    for other in others:
        _supersede(other, started_at)
    return True


def _close_elsewhere(session: ChargingSession, vehicle: Vehicle | None, now: datetime) -> None:
    open_sessions = ChargingSession.objects.select_for_update(of=("self",)).filter(ended_at=None, vehicle=vehicle)
    for other in open_sessions.exclude(pk=session.pk):
        _supersede(other, min(now, max(session.started_at, other.started_at)))


def _supersede(session: ChargingSession, at: datetime) -> None:
    session.ended_at = max(at, session.started_at)
    session.stop_reason = SUPERSEDED
    session.save(update_fields=["ended_at", "stop_reason"])
    _announce("departure", session.evse)


def _take_vehicle(session: ChargingSession, vehicle: Vehicle | None, evse: Evse) -> None:
    """The session is this vehicle's; what its driver wants holds for this stay."""
    if vehicle is None:
        return
    session.vehicle = vehicle
    goal = VehicleGoal.objects.filter(vehicle=vehicle).first()
    if goal is None:
        return
    site = vehicle.home_site or evse.charger.site
    departure_at = next_ready_at(
        kind=goal.kind,
        weekdays=goal.weekdays,
        ready_by=goal.ready_by,
        ready_at=goal.ready_at,
        time_zone=site.time_zone,
        now=session.started_at,
    )
    session.departure_at = session.departure_at or departure_at
    session.target_soc_fraction = goal.target_soc_fraction
    session.floor_soc_fraction = goal.floor_soc_fraction


def _what_planning_reads(session: ChargingSession) -> tuple:
    return (
        session.vehicle_id,
        session.energy_needed_kwh,
        session.max_charge_kw,
        session.max_discharge_kw,
        session.bidirectional,
        session.departure_at,
        session.target_soc_fraction,
        session.floor_soc_fraction,
    )


def _lock_session(identity: str, transaction_id: str) -> ChargingSession | None:
    return (
        ChargingSession.objects.select_for_update(of=("self",))
        .select_related("evse__charger__site__grid_node")
        .filter(charger__identity=identity, transaction_id=transaction_id[:64])
        .first()
    )


def _record_unseen(
    identity: str, transaction_id: str, evse_number: int | None, id_token: str, at: datetime
) -> ChargingSession:
    evse = lock_evse(identity, evse_number)
    ours = evse.charger.protocol == ChargerProtocol.OCPP_16
    session = ChargingSession(
        id=_next_session_id(),
        charger_id=evse.charger_id,
        evse=evse,
        transaction_id=((NEVER_GIVEN if ours else "") + transaction_id)[:64],
        id_token=id_token,
        started_at=at,
        ended_at=at,
    )
    session.save(force_insert=True)
    return session


def _next_session_id() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence('fleet_chargingsession', 'id'))")
        return cursor.fetchone()[0]


def _started(session: ChargingSession, authorisation: Authorisation, *, duplicate: bool) -> SessionStarted:
    return SessionStarted(
        session_id=session.pk,
        transaction_id=session.transaction_id,
        accepted=authorisation.accepted,
        duplicate=duplicate,
        open=session.ended_at is None,
        vehicle_id=session.vehicle_id,
        reason=authorisation.reason,
        may_discharge=authorisation.may_discharge,
    )


def _announce(kind: str, evse: Evse) -> None:
    announce_change(kind=kind, asset_id=evse.asset_id, region_id=evse.charger.site.grid_node.region_id)
