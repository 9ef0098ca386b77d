"""Local lists and reservations of a station, in every version."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from fleet.twin.evse import Hold, SimulatedEvse

if TYPE_CHECKING:
    from fleet.twin.ocpp.dialect import Dialect

Handler = Callable[[dict], dict]


class ServiceCalls:
    """The calls of an operator's daily work that differ between versions in words alone."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.station = dialect.station

    def table_16(self) -> dict[str, Handler]:
        """The handlers of 1.6."""
        return {
            "CancelReservation": self.cancel_reservation,
            "GetLocalListVersion": lambda payload: {"listVersion": self.dialect.local_list_version},
            "ReserveNow": lambda payload: self.reserve(
                payload["connectorId"], payload["reservationId"], payload["idTag"], payload["expiryDate"]
            ),
            "SendLocalList": self.send_local_list_16,
        }

    def table_2x(self) -> dict[str, Handler]:
        """The handlers of 2.0.1 and 2.1."""
        return {
            "CancelReservation": self.cancel_reservation,
            "GetLocalListVersion": lambda payload: {"versionNumber": self.dialect.local_list_version},
            "ReserveNow": lambda payload: self.reserve(
                payload.get("evseId", 0), payload["id"], payload["idToken"]["idToken"], payload["expiryDateTime"]
            ),
            "SendLocalList": self.send_local_list_2x,
        }

    def send_local_list_16(self, payload: dict) -> dict:
        """Entries without idTagInfo leave the list."""
        entries = {each["idTag"]: each.get("idTagInfo") for each in payload.get("localAuthorizationList", ())}
        return {"status": self._take_list(payload["listVersion"], payload["updateType"], entries)}

    def send_local_list_2x(self, payload: dict) -> dict:
        """Entries without idTokenInfo leave the list."""
        entries = {
            each["idToken"]["idToken"]: each.get("idTokenInfo") for each in payload.get("localAuthorizationList", ())
        }
        return {"status": self._take_list(payload["versionNumber"], payload["updateType"], entries)}

    def _take_list(self, version: int, update: str, entries: dict[str, dict | None]) -> str:
        if update == "Differential" and version <= self.dialect.local_list_version:
            return "VersionMismatch"
        if update == "Full":
            self.dialect.local_list.clear()
        for token, info in entries.items():
            if info is None:
                self.dialect.local_list.pop(token, None)
            else:
                self.dialect.local_list[token] = info["status"]
        self.dialect.local_list_version = version
        return "Accepted"

    def reserve(self, number: int, reservation_id: int, id_token: str, until: str) -> dict:
        """Keep an EVSE, or the first that is free."""
        evses = [each for each in self.station.evses.values() if number in (0, each.number)]
        if not evses:
            return {"status": "Rejected"}
        again = self._holding(reservation_id)
        free = [again] if again is not None else [each for each in evses if each.status in ("Available", "Reserved")]
        free = [each for each in free if each.hold is None or each is again]
        if not free:
            status = {"Faulted": "Faulted", "Unavailable": "Unavailable"}.get(evses[0].status, "Occupied")
            return {"status": status}
        free[0].hold = Hold(reservation_id, id_token, datetime.fromisoformat(until))
        self.station.tell_status(free[0])
        return {"status": "Accepted"}

    def cancel_reservation(self, payload: dict) -> dict:
        """Keep it no more."""
        evse = self._holding(payload["reservationId"])
        if evse is None:
            return {"status": "Rejected"}
        evse.hold = None
        self.station.tell_status(evse)
        return {"status": "Accepted"}

    def _holding(self, reservation_id: int) -> SimulatedEvse | None:
        for evse in self.station.evses.values():
            if evse.hold is not None and evse.hold.reservation_id == reservation_id:
                return evse
        return None
