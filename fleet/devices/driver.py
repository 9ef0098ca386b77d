"""What a device can do for the platform: one small protocol per capability. A driver offers those that its device has.

Units and signs are the platform's everywhere: kW, kWh, fractions, positive into the asset. The driver converts at the
wire and nothing else does. The digital twin's devices stand behind the same protocols.
"""

from __future__ import annotations

from typing import Protocol

from fleet.operations.commands import CommandOutcome, DueCommand
from fleet.operations.telemetry import MeterReading


class SetsPower(Protocol):
    """Follows a power schedule."""

    async def set_power(self, command: DueCommand) -> CommandOutcome | None:
        """Hand a schedule (kW, + into the asset) to the device. None if no answer came: the command is tried again."""
        ...


class DeliversCommands(Protocol):
    """Carries any kind of command to whatever device it is for; what `fleet.devices.gateway` hands commands to."""

    async def deliver(self, command: DueCommand) -> CommandOutcome | None:
        """Deliver one command. None if no answer came: the command is tried again."""
        ...


class ReadsMeter(Protocol):
    """Measures power (kW) and energy registers (kWh)."""

    async def read_meter(self) -> MeterReading:
        """Read the meter now."""
        ...


class ReportsSoc(Protocol):
    """Knows how full the battery is."""

    async def soc_fraction(self) -> float | None:
        """State of charge, 0 to 1; None if the device does not know it."""
        ...
