"""Controls of distributed energy resources as OCPP 2.1 knows them (block R): what each type of control carries.

The contents are those of IEEE 1547 and EN 50549-1 as OCPP writes them; they are kept and sent unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.errors import InvalidInput

CURVE = "curve"
# type of control -> the element of SetDERControl that describes it
CONTENT_OF = {
    "EnterService": "enterService",
    "FreqDroop": "freqDroop",
    "FixedPFAbsorb": "fixedPFAbsorb",
    "FixedPFInject": "fixedPFInject",
    "FixedVar": "fixedVar",
    "Gradients": "gradient",
    "LimitMaxDischarge": "limitMaxDischarge",
    **dict.fromkeys(
        (
            "FreqWatt",
            "HFMustTrip",
            "HFMayTrip",
            "HVMustTrip",
            "HVMomCess",
            "HVMayTrip",
            "LFMustTrip",
            "LVMustTrip",
            "LVMomCess",
            "LVMayTrip",
            "PowerMonitoringMustTrip",
            "VoltVar",
            "VoltWatt",
            "WattPF",
            "WattVar",
        ),
        CURVE,
    ),
}
CONTROL_TYPES = tuple(sorted(CONTENT_OF))


class DerControlInvalid(InvalidInput):
    """The control cannot be given to a station."""

    code = "der_control_invalid"


def check_der_control(control_type: str, content: Mapping[str, Any], *, is_default: bool) -> None:
    """Refuse what the standard does not allow whatever the station: details are left to the message's schema.

    Raises:
        DerControlInvalid: an unknown type, no priority, a curve without ascending points, a default with a start.
    """
    if control_type not in CONTENT_OF:
        raise DerControlInvalid(
            f"{control_type!r} is no type of DER control.",
            field="control_type",
            remedy=f"Give one of {', '.join(CONTROL_TYPES)}.",
        )
    priority = content.get("priority")
    if not isinstance(priority, int) or isinstance(priority, bool) or priority < 0:
        raise DerControlInvalid(
            "A control has a priority.", field="content.priority", remedy="Give a whole number; 0 is the highest."
        )
    if is_default and ("startTime" in content or "duration" in content):
        raise DerControlInvalid(
            "A default control holds always.",
            field="content.startTime",
            remedy="Leave startTime and duration out, or make it no default.",
        )
    if CONTENT_OF[control_type] == CURVE:
        _check_points(content.get("curveData"))


def _check_points(points: Any) -> None:
    try:
        xs = [float(point["x"]) for point in points]
        [float(point["y"]) for point in points]
    except (TypeError, KeyError, ValueError):
        xs = []
    if not 1 <= len(xs) <= 10 or xs != sorted(xs):
        raise DerControlInvalid(
            "A curve has points.", field="content.curveData", remedy='Give 1 to 10 {"x": …, "y": …}, x ascending.'
        )
