"""Asking a station what it will do, after it has accepted a profile: what it says must be what it was told.

At most once a minute and asset: the meter shows the rest, and the station's one call at a time is for set-points.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from common.units import amperes_to_kw, watts_to_kw
from fleet.devices.ocpp.configuration import remember
from fleet.devices.ocpp.connection import CallRefused, NoAnswer, StationConnection
from fleet.devices.ocpp.profiles import AMPERES, ProfileTerms, schedule_segments
from fleet.devices.ocpp.wire import V16
from fleet.devices.ocpp.writer import Work
from fleet.operations.commands import DueCommand
from fleet.operations.compliance import note_composite

ASK_EVERY = timedelta(seconds=60)
# what the station says for the next seconds is compared; it need not lay out a day
AHEAD_S = 60
UNKNOWN = ("NotImplemented", "NotSupported")


class Verifier:
    """Which assets' schedules have been compared lately."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._asked_at: dict[int, datetime] = {}

    def verify_later(self, connection: StationConnection, command: DueCommand, terms: ProfileTerms) -> None:
        """Ask for the composite schedule, if that is due and the station knows how."""
        now, capabilities = self._clock(), connection.station.capabilities
        last = self._asked_at.get(command.asset_id)
        judgeable = terms.control.by_setpoint and capabilities.get("composite") is not False
        # one that is yet to begin is preceded by what held before
        if not judgeable or command.starts_at > now or (last is not None and now - last < ASK_EVERY):
            return
        self._asked_at[command.asset_id] = now
        connection.start(self._verify(connection, command, terms))

    async def _verify(self, connection: StationConnection, command: DueCommand, terms: ProfileTerms) -> None:
        station = connection.station
        place = {"connectorId" if terms.version == V16 else "evseId": terms.evse_number}
        try:
            answer = await connection.call("GetCompositeSchedule", {"duration": AHEAD_S, **place})
        except CallRefused as error:
            if error.code in UNKNOWN:
                remember(station, {"composite": False})
            return
        except NoAnswer:
            return
        found_kw = read_composite(answer, terms)
        if found_kw is None:
            return
        now = self._clock()
        _, segments = schedule_segments(
            starts_at=command.starts_at,
            offset_s=command.offset_s,
            power_kw=command.power_kw,
            valid_until=command.valid_until,
            now=now,
            terms=terms,
        )
        agrees = await station.books.write(
            Work(
                operation=partial(
                    note_composite,
                    asset_id=command.asset_id,
                    told_kw=segments[0][1],
                    found_kw=found_kw,
                    signed=terms.signed,
                    now=now,
                )
            )
        )
        if not agrees:
            station.say_once("composite", "accepted %.1f kW and says that it will do %.1f kW", segments[0][1], found_kw)


def read_composite(answer: dict[str, Any], terms: ProfileTerms) -> float | None:
    """What a composite schedule says for now, in kW, + into the car; None where it says nothing that can be compared."""
    schedule: dict[str, Any] = answer.get("chargingSchedule" if terms.version == V16 else "schedule") or {}
    periods = schedule.get("chargingSchedulePeriod")
    if answer.get("status") != "Accepted" or not periods:
        return None
    period = periods[0]
    if terms.signed and period.get("operationMode") == "Idle":
        return 0.0
    value = period.get("setpoint") if terms.signed else period.get("limit")
    if value is None or period["startPeriod"] > 0:
        return None
    if schedule["chargingRateUnit"] == AMPERES:
        phases = min(period.get("numberPhases") or terms.phases, terms.phases)
        return amperes_to_kw(value, phases=phases)
    return watts_to_kw(value)
