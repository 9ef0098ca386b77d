"""DER control on the side of a station (OCPP 2.1, block R): controls by priority, scheduled ones, reports and alarms.

What a control does to voltage and reactive power is not simulated; LimitMaxDischarge cuts what cars may give back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fleet.twin.ocpp.dialect_201 import Dialect201

SUPPORTED = ("FreqWatt", "VoltWatt", "VoltVar", "LimitMaxDischarge", "FreqDroop", "HFMustTrip", "LFMustTrip")
_CONTENT = {"LimitMaxDischarge": "limitMaxDischarge", "FreqDroop": "freqDroop"}
_REPORT = 5


class DerCalls:
    """The calls of block R, and what the station tells of its own accord. The controls live in the station."""

    def __init__(self, dialect: Dialect201) -> None:
        self.dialect = dialect
        self.controls = dialect.station.notices.der_controls

    def table(self) -> dict[str, Callable[[dict], dict]]:
        """The handlers by action."""
        return {
            "SetDERControl": self.set_control,
            "GetDERControl": self.get_control,
            "ClearDERControl": self.clear_control,
        }

    def set_control(self, payload: dict) -> dict:
        """Take a control. One of the same type, and default or not alike, of lower priority gives way."""
        control_type = payload["controlType"]
        if control_type not in SUPPORTED:
            return {"status": "NotSupported"}
        content = payload.get(_CONTENT.get(control_type, "curve"))
        if content is None:
            return {"status": "Rejected"}
        superseded = []
        for other_id, other in self.controls.items():
            same = (other["controlType"], other["isDefault"]) == (control_type, payload["isDefault"])
            if same and other_id != payload["controlId"] and other["content"]["priority"] >= content["priority"]:
                other["superseded"] = True
                superseded.append(other_id)
        self.controls[payload["controlId"]] = {
            "controlType": control_type,
            "isDefault": payload["isDefault"],
            "content": content,
            "superseded": False,
            "running": False,
        }
        return {"status": "Accepted", **({"supersededIds": superseded} if superseded else {})}

    def clear_control(self, payload: dict) -> dict:
        """Drop what matches; an identifier alone decides."""
        gone = [
            control_id
            for control_id, control in self.controls.items()
            if payload.get("controlId", control_id) == control_id
            and payload.get("controlType", control["controlType"]) == control["controlType"]
            and payload["isDefault"] == control["isDefault"]
        ]
        for control_id in gone:
            del self.controls[control_id]
        return {"status": "Accepted" if gone else "NotFound"}

    def get_control(self, payload: dict) -> dict:
        """Report the controls, some at a time."""
        wanted = [
            (control_id, control)
            for control_id, control in self.controls.items()
            if payload.get("controlId", control_id) == control_id
            and payload.get("controlType", control["controlType"]) == control["controlType"]
            and payload.get("isDefault", control["isDefault"]) == control["isDefault"]
        ]
        if not wanted:
            return {"status": "NotFound"}
        for first in range(0, len(wanted), _REPORT):
            report: dict = {"requestId": payload["requestId"], "tbc": first + _REPORT < len(wanted)}
            for control_id, control in wanted[first : first + _REPORT]:
                name = _CONTENT.get(control["controlType"], "curve")
                entry = {
                    "id": control_id,
                    "isDefault": control["isDefault"],
                    "isSuperseded": control["superseded"],
                    name: control["content"],
                }
                if name == "curve":
                    entry["curveType"] = control["controlType"]
                report.setdefault(name, []).append(entry)
            self.dialect.requested.append(("ReportDERControl", report))
        return {"status": "Accepted"}
