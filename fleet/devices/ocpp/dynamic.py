"""Dynamic profiles of OCPP 2.1 (use case K28): one set-point, changed by UpdateDynamicSchedule or fetched by the station.

What is remembered of them holds for one connection. A station that has been away gets its profile anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fleet.devices.ocpp.connection import StationConnection
from fleet.devices.ocpp.profiles import ProfileTerms, is_dynamic, profile_id, schedule_segments, schedule_update
from fleet.operations.commands import DueCommand

# The profile ends with its own `validTo`, which no update moves: a set-point that holds until another instant is a new one.
SAME_END = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class _Held:
    connection: StationConnection
    profile_id: int
    transaction_id: str
    valid_until: datetime
    mode: str


class DynamicProfiles:
    """Which Dynamic profile each asset's station holds, as far as this gateway knows."""

    def __init__(self) -> None:
        self._held: dict[int, _Held] = {}

    def note(
        self, connection: StationConnection, command: DueCommand, payload: dict[str, Any], *, accepted: bool
    ) -> None:
        """A station has answered to SetChargingProfile."""
        profile = payload.get("chargingProfile", {})
        self._held.pop(command.asset_id, None)
        if accepted and profile.get("chargingProfileKind") == "Dynamic":
            period = profile["chargingSchedule"][0]["chargingSchedulePeriod"][0]
            self._held[command.asset_id] = _Held(
                connection, profile["id"], command.transaction_id, command.valid_until, period["operationMode"]
            )

    def forget(self, asset_id: int) -> None:
        """The station does not hold it after all."""
        self._held.pop(asset_id, None)

    def update(
        self,
        connection: StationConnection,
        command: DueCommand,
        terms: ProfileTerms,
        *,
        now: datetime,
        held_kw: float | None,
    ) -> dict[str, Any] | None:
        """The payload of UpdateDynamicSchedule that carries a command; None if it needs a profile of its own."""
        held = self._held.get(command.asset_id)
        if (
            held is None
            or held.connection is not connection
            or held.transaction_id != command.transaction_id
            or held.mode != terms.control.mode
            or held.profile_id != profile_id(terms)
            or abs(held.valid_until - command.valid_until) > SAME_END
        ):
            return None
        _, segments = schedule_segments(
            starts_at=command.starts_at,
            offset_s=command.offset_s,
            power_kw=command.power_kw,
            valid_until=command.valid_until,
            now=now,
            terms=terms,
            held_kw=held_kw,
        )
        if not is_dynamic(segments, terms):
            return None
        return {"chargingProfileId": held.profile_id, "scheduleUpdate": schedule_update(segments[0][1], terms)}
