"""Reservations: an EVSE, or any of a station, kept for a driver for a while."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from common.errors import Conflict, InvalidInput, NotFound
from fleet.models import Charger, ChargerProtocol, CommandKind, Evse, Reservation, ReservationState
from fleet.operations.station_commands import UnknownStation, queue_station_command

LONGEST = timedelta(hours=24)
LONGEST_TOKEN_V16 = 20
_HOLDING = (ReservationState.REQUESTED, ReservationState.ACTIVE)
DELIVER_WITHIN = timedelta(minutes=2)


@transaction.atomic
def reserve(
    *, identity: str, evse_number: int, id_token: str, expires_at: datetime, requested_by: str, now: datetime
) -> int:
    """Ask a station to keep an EVSE (0: any) for a driver. Returns the reservation's number.

    Raises:
        UnknownStation: there is no such station.
        InvalidInput: it has no such EVSE, or the token or the end does not suit.
        Conflict: the EVSE is kept for somebody already.
    """
    charger = (
        Charger.objects.select_for_update(of=("self",))
        .filter(identity=identity)
        .exclude(protocol=ChargerProtocol.MQTT)
        .first()
    )
    if charger is None:
        raise UnknownStation(f"{identity[:60]!r} is no charging station.", field="identity")
    longest = LONGEST_TOKEN_V16 if charger.protocol == ChargerProtocol.OCPP_16 else 36
    if not 0 < len(id_token) <= longest:
        raise InvalidInput(f"1 to {longest} characters are expected.", field="id_token")
    if not now < expires_at <= now + LONGEST:
        raise InvalidInput("must lie within the next 24 hours.", field="expires_at")
    evse = Evse.objects.filter(charger=charger, number=evse_number).first() if evse_number else None
    if evse_number and evse is None:
        raise InvalidInput(f"{identity!r} has no EVSE {evse_number}.", field="evse")
    held = Reservation.objects.filter(charger=charger, state__in=_HOLDING, expires_at__gt=now)
    if evse is not None and held.filter(evse=evse).exists():
        raise Conflict(
            f"EVSE {evse_number} is reserved already.",
            field="evse",
            remedy="Cancel that reservation, or choose another.",
        )
    reservation = Reservation.objects.create(
        charger=charger, evse=evse, id_token=id_token, starts_at=now, expires_at=expires_at
    )
    queue_station_command(
        identity=identity,
        kind=CommandKind.RESERVE,
        parameters={
            "reservation_id": reservation.pk,
            "id_token": id_token,
            "expires_at": expires_at.isoformat(),
            "evse": evse_number,
        },
        now=now,
        valid_for=min(DELIVER_WITHIN, expires_at - now),
        requested_by=requested_by,
    )
    return reservation.pk


@transaction.atomic
def cancel_reservation(*, reservation_id: int, requested_by: str, now: datetime) -> None:
    """Ask the station to keep nothing for this reservation any more.

    Raises:
        NotFound: there is no such reservation.
        Conflict: it is over already.
    """
    reservation = (
        Reservation.objects.select_for_update(of=("self",)).select_related("charger").filter(pk=reservation_id).first()
    )
    if reservation is None:
        raise NotFound(f"There is no reservation {reservation_id}.", field="reservation_id")
    if reservation.state not in _HOLDING:
        raise Conflict(f"It is {reservation.state} already.", field="reservation_id")
    queue_station_command(
        identity=reservation.charger.identity,
        kind=CommandKind.CANCEL_RESERVATION,
        parameters={"reservation_id": reservation.pk},
        now=now,
        requested_by=requested_by,
    )


@transaction.atomic
def expire_reservations(*, now: datetime) -> int:
    """Close reservations whose time is over, and those that never reached their station. Returns how many."""
    rows = Reservation.objects.filter(state__in=_HOLDING)
    over = rows.filter(
        Q(expires_at__lte=now) | Q(state=ReservationState.REQUESTED, starts_at__lt=now - 2 * DELIVER_WITHIN)
    )
    return over.update(state=ReservationState.EXPIRED, ended_at=now)
