"""What handlers of all versions share: boot, tokens, status, and messages that need no more than a polite answer."""

from __future__ import annotations

import logging
from datetime import datetime
from functools import partial
from typing import Any

from fleet.devices.ocpp.configuration import configure_station
from fleet.devices.ocpp.instants import read_instant, write_exact_instant
from fleet.devices.ocpp.quirks import allowed_quirks
from fleet.devices.ocpp.station import Station
from fleet.devices.ocpp.writer import Work
from fleet.operations.stations import (
    Authorisation,
    UnknownEvse,
    accept_boot,
    authorise_token,
    record_connector_status,
)
from fleet.queries.sessions import session_evse_number

logger = logging.getLogger(__name__)

Payload = dict[str, Any]


async def boot(station: Station, *, vendor: str, model: str, serial_number: str, firmware_version: str) -> Payload:
    """A station has started: note what it is, greet it, and ask what it can do once it has its answer."""
    await station.books.write(
        Work(
            operation=partial(
                accept_boot,
                identity=station.identity,
                vendor=vendor,
                model=model,
                serial_number=serial_number,
                firmware_version=firmware_version,
                now=station.clock(),
            )
        )
    )
    station.quirks = allowed_quirks(vendor, model)
    station.booted = True
    station.follow_ups.append(configure_station)
    return {
        "currentTime": write_exact_instant(station.clock()),
        "interval": station.terms.heartbeat_interval_s,
        "status": "Accepted",
    }


def heartbeat(station: Station, payload: Payload) -> Payload:
    """The time. That the station lives is noted for every message alike."""
    return {"currentTime": write_exact_instant(station.clock())}


def acknowledge(station: Station, payload: Payload) -> Payload:
    """A notification that is kept in the trace and changes nothing else."""
    return {}


def unknown_vendor(station: Station, payload: Payload) -> Payload:
    """DataTransfer: we know no vendor's own messages."""
    return {"status": "UnknownVendorId"}


async def authorise(station: Station, id_token: str) -> Authorisation:
    """Look a token up, in the writer's thread: the answer then follows whatever was said before."""
    return await station.books.write(
        Work(operation=partial(authorise_token, identity=station.identity, id_token=id_token, now=station.clock()))
    )


async def connector_status(
    station: Station, *, evse_number: int, connector_number: int, status: str, detail: str, at: datetime
) -> None:
    """Note a connector's status; an EVSE that is not registered is logged, not refused, so that the station goes on."""
    try:
        await station.books.write(
            Work(
                operation=partial(
                    record_connector_status,
                    identity=station.identity,
                    evse_number=evse_number,
                    connector_number=connector_number,
                    status=status,
                    detail=detail,
                    # a clock that runs ahead must not keep later statuses out
                    at=min(at, station.clock()),
                )
            )
        )
    except UnknownEvse as error:
        station.say_once(f"evse {evse_number}", "%s", error)


async def evse_of_transaction(station: Station, transaction_id: str) -> int | None:
    """The EVSE of a transaction that a station names without saying where it is."""
    stay = station.stays.get(transaction_id)
    if stay is not None:
        return stay.evse_number
    number = await station.books.write(
        Work(operation=partial(session_evse_number, identity=station.identity, transaction_id=transaction_id))
    )
    if number is None and len(station.evses) == 1:
        return next(iter(station.evses))
    return number


def instant(station: Station, text: str | None, field: str) -> datetime:
    """An instant that a station wrote; now where it wrote none."""
    return station.clock() if text is None else read_instant(text, field=field, version=station.version)
