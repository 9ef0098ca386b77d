"""How a bidirectional station arrives at its power: by the platform's set-point, or by a rule that it applies itself.

The modes are those of OCPP 2.1 (`OperationModeEnumType`, block Q). Powers in kW, + into the asset.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any

from common.errors import InvalidInput

MOST_POINTS = 20
# Grids run at 50 or 60 Hz; a point beyond these is a slip of the pen.
LOWEST_HZ, HIGHEST_HZ = 40.0, 70.0

Curve = tuple[tuple[float, float], ...]


class V2XMode(StrEnum):
    """Who decides on the power of a bidirectional session."""

    CENTRAL_SETPOINT = "CentralSetpoint"  # the platform's schedule
    CENTRAL_FREQUENCY = "CentralFrequency"  # the platform's set-points, for frequency support
    LOCAL_FREQUENCY = "LocalFrequency"  # the station, by the frequency it measures or the aFRR signal it is sent
    LOCAL_LOAD_BALANCING = "LocalLoadBalancing"  # the station, by the meter of its site
    EXTERNAL_SETPOINT = "ExternalSetpoint"  # an energy management system on site
    IDLE = "Idle"  # nobody: no power flows and the electronics may sleep


class LocalControlInvalid(InvalidInput):
    """The rule cannot be given to a station."""

    code = "local_control_invalid"


@dataclass(frozen=True, slots=True)
class LocalControl:
    """A mode and its curves, each of ascending points joined by straight lines, flat beyond its ends.

    Attributes:
        frequency_watt: (Hz, kW added to the schedule's power); at least two points for local frequency control without
            a signal curve.
        signal_watt: (value of the aFRR signal, kW added to the schedule's power).
    """

    mode: V2XMode = V2XMode.CENTRAL_SETPOINT
    frequency_watt: Curve = ()
    signal_watt: Curve = ()

    @property
    def by_setpoint(self) -> bool:
        """Whether the platform's own set-point is what the station follows."""
        return self.mode in (V2XMode.CENTRAL_SETPOINT, V2XMode.CENTRAL_FREQUENCY)

    def check(self) -> None:
        """Refuse what no station could follow.

        Raises:
            LocalControlInvalid: a curve is missing, too long, not ascending, or not in hertz.
        """
        if self.mode == V2XMode.LOCAL_FREQUENCY and len(self.frequency_watt) < 2:
            raise LocalControlInvalid(
                "Local frequency control needs a curve.",
                field="frequency_watt",
                remedy="Give at least two points [hertz, kW].",
            )
        for field, curve in (("frequency_watt", self.frequency_watt), ("signal_watt", self.signal_watt)):
            if len(curve) > MOST_POINTS or any(first[0] >= second[0] for first, second in pairwise(curve)):
                raise LocalControlInvalid(
                    "A curve has ascending points.", field=field, remedy=f"Give at most {MOST_POINTS}, in order."
                )
        if any(not LOWEST_HZ <= hertz <= HIGHEST_HZ for hertz, _ in self.frequency_watt):
            raise LocalControlInvalid(
                "A frequency is in hertz.", field="frequency_watt", remedy=f"Give {LOWEST_HZ:g} to {HIGHEST_HZ:g}."
            )

    def to_json(self) -> dict[str, Any]:
        """As kept in a command's parameters."""
        return {
            "mode": str(self.mode),
            "frequency_watt": [list(point) for point in self.frequency_watt],
            "signal_watt": [list(point) for point in self.signal_watt],
        }


def read_local_control(kept: Mapping[str, Any] | None) -> LocalControl:
    """The rule in a command's parameters; without one, the platform's set-point.

    Raises:
        LocalControlInvalid: it is none.
    """
    if not kept:
        return LocalControl()
    try:
        control = LocalControl(
            V2XMode(kept.get("mode", V2XMode.CENTRAL_SETPOINT)),
            tuple((float(x), float(y)) for x, y in kept.get("frequency_watt") or ()),
            tuple((float(x), float(y)) for x, y in kept.get("signal_watt") or ()),
        )
    except (TypeError, ValueError):
        raise LocalControlInvalid(
            "Not a rule of local control.",
            field="local_control",
            remedy=f"Give a mode ({', '.join(V2XMode)}) and curves as lists of two numbers.",
        ) from None
    control.check()
    return control
