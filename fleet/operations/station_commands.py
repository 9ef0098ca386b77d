"""Commands of operators to stations: one, or the same one to many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from common.errors import Conflict, InvalidInput, NotFound
from fleet.core.station_commands import check_parameters, read_variable_name
from fleet.models import Charger, ChargerProtocol, CommandBatch, DeviceCommand, Evse
from fleet.operations.commands import queue_command

VALID_FOR = timedelta(minutes=10)
MOST_STATIONS = 10_000


class UnknownStation(NotFound):
    """There is no charging station of this identity that speaks OCPP."""

    code = "unknown_station"


@dataclass(frozen=True, slots=True)
class BatchFilter:
    """Which stations a batch is for: these, or those that match everything given."""

    identities: Sequence[str] = ()
    site: str = ""
    vendor: str = ""
    model: str = ""
    protocol: str = ""


def queue_station_command(
    *,
    identity: str,
    kind: str,
    parameters: Mapping[str, Any],
    now: datetime,
    valid_for: timedelta = VALID_FOR,
    requested_by: str = "",
    batch_id: int | None = None,
) -> int:
    """Queue a command to a station whose parameters are known to be right; returns the command's identifier.

    A command to the station as a whole travels under its first EVSE.

    Raises:
        UnknownStation: there is no such station, or it has no such EVSE.
    """
    evses = Evse.objects.filter(charger__identity=identity).exclude(charger__protocol=ChargerProtocol.MQTT)
    number = parameters.get("evse")
    evse = (evses.filter(number=number) if number else evses.order_by("number")).first()
    if evse is None:
        if number and evses.exists():
            raise InvalidInput(f"{identity!r} has no EVSE {number}.", field="parameters.evse")
        raise UnknownStation(f"{identity[:60]!r} is no charging station.", field="identity", remedy="Register it.")
    return queue_command(
        asset_id=evse.asset_id,
        kind=kind,
        parameters=dict(parameters),
        now=now,
        valid_until=now + valid_for,
        requested_by=requested_by,
        batch_id=batch_id,
    )


@transaction.atomic
def order_command(*, identity: str, kind: str, parameters: Mapping[str, Any], requested_by: str, now: datetime) -> int:
    """An operator gives a station a command. Returns the command's identifier.

    Raises:
        UnknownStation: there is no such station.
        InvalidInput: the station's version has no such command, or a parameter does not suit.
    """
    charger = Charger.objects.filter(identity=identity).exclude(protocol=ChargerProtocol.MQTT).first()
    if charger is None:
        raise UnknownStation(f"{identity[:60]!r} is no charging station.", field="identity", remedy="Register it.")
    checked = _check(kind, parameters, charger.protocol)
    return queue_station_command(identity=identity, kind=kind, parameters=checked, now=now, requested_by=requested_by)


def _check(kind: str, parameters: Mapping[str, Any], protocol: str) -> dict[str, Any]:
    checked = check_parameters(kind, parameters, protocol=protocol)
    for text in [*checked.get("variables", ()), *filter(None, [checked.get("variable")])]:
        if not read_variable_name(text).component and protocol != ChargerProtocol.OCPP_16:
            raise InvalidInput(
                f"{text!r} lacks its component.",
                field="parameters.variable",
                remedy="Write Component.Variable, such as OCPPCommCtrlr.HeartbeatInterval.",
            )
    if kind == "customer_information":
        if not (checked.get("report") or checked.get("erase")):
            raise InvalidInput("is missing.", field="parameters.report", remedy="Ask for report, erase, or both.")
        if ("id_token" in checked) == ("customer" in checked):
            raise InvalidInput("is missing.", field="parameters.id_token", remedy="Give either id_token or customer.")
    if kind == "update_firmware" and ("signature" in checked) != ("signing_certificate" in checked):
        raise InvalidInput(
            "comes with the other or not at all.",
            field="parameters.signature",
            remedy="Give signature and signing_certificate.",
        )
    return checked


@transaction.atomic
def order_batch(
    *,
    chosen: BatchFilter,
    kind: str,
    parameters: Mapping[str, Any],
    requested_by: str,
    idempotency_key: str,
    now: datetime,
    valid_for: timedelta = timedelta(hours=1),
) -> int:
    """The same command to many stations; returns the batch's identifier. Given again with the same key, it is the same.

    Stations that are offline get it when they come back within `valid_for`.

    Raises:
        InvalidInput: nothing is chosen, too many are, or the command does not suit every chosen station.
        UnknownStation: an identity that is named is none.
        Conflict: the key was used for another command.
    """
    known = CommandBatch.objects.filter(requested_by=requested_by, idempotency_key=idempotency_key).first()
    if known is not None:
        if known.kind != kind:
            raise Conflict("the key was used for another command.", field="idempotency_key", remedy="Use a new one.")
        return known.pk
    stations = list(_chosen(chosen).values_list("identity", "protocol"))
    if not stations or len(stations) > MOST_STATIONS:
        raise InvalidInput(
            f"{len(stations)} stations are chosen.", field="stations", remedy=f"Choose 1 to {MOST_STATIONS}."
        )
    missing = set(chosen.identities) - {identity for identity, _ in stations}
    if missing:
        raise UnknownStation(f"{sorted(missing)[0][:60]!r} is no charging station.", field="stations")
    checked = {protocol: _check(kind, parameters, protocol) for protocol in {each for _, each in stations}}
    batch = CommandBatch.objects.create(
        kind=kind,
        parameters=dict(parameters),
        requested_by=requested_by,
        idempotency_key=idempotency_key,
        requested_at=now,
    )
    for identity, protocol in stations:
        queue_station_command(
            identity=identity,
            kind=kind,
            parameters=checked[protocol],
            now=now,
            valid_for=valid_for,
            requested_by=requested_by,
            batch_id=batch.pk,
        )
    return batch.pk


def _chosen(chosen: BatchFilter) -> QuerySet[Charger]:
    given = {
        "identity__in": list(chosen.identities),
        "site__identity": chosen.site,
        "vendor__iexact": chosen.vendor,
        "model__iexact": chosen.model,
        "protocol": chosen.protocol,
    }
    narrowed = {name: value for name, value in given.items() if value}
    stations = Charger.objects.exclude(protocol=ChargerProtocol.MQTT).order_by("pk")
    return stations.filter(**narrowed) if narrowed else stations.none()


@transaction.atomic
def cancel_batch(*, batch_id: int, now: datetime) -> int:
    """Take back what of a batch has not been sent yet. Returns how many.

    Raises:
        NotFound: there is no such batch.
    """
    if not CommandBatch.objects.filter(pk=batch_id).exists():
        raise NotFound(f"There is no batch {batch_id}.", field="batch_id")
    waiting = DeviceCommand.objects.filter(batch_id=batch_id, state="queued")
    return waiting.update(state="superseded", answered_at=now)
