"""Simulated inverters that do not speak SunSpec. What their registers mean is written here a second time, by hand, so
that a mistake in a profile shows."""

from __future__ import annotations

from collections.abc import Callable

from pymodbus.constants import ExcCodes
from pymodbus.simulator import DataType, SimData, SimDevice

from common.units import kw_to_watts, watts_to_kw
from fleet.twin.pack import PackBank

_PASS_THROUGH, _EXTERNAL_CONTROL = 8, 252


class EssUnit:
    """The VE.Bus device of a Victron ESS in mode 3: registers 12, 30, 31, 37 and 61; silence of 60 s ends a set-point."""

    SILENCE_S = 60.0

    def __init__(self, bank: PackBank, index: int, *, clock: Callable[[], float]) -> None:
        self._bank, self._index, self._clock = bank, index, clock
        self.silent = self.busy = self.local = False

    def device(self, device_id: int) -> SimDevice:
        """The device of pymodbus that answers for this unit."""
        registers = [
            SimData(address, values=[0], datatype=DataType.REGISTERS, readonly=address != 37)
            for address in (12, 30, 31, 37, 61)
        ]
        return SimDevice(device_id, simdata=registers, action=self._on_access)

    async def _on_access(
        self,
        function_code: int,
        start_address: int,
        address: int,
        count: int,
        current: list[int],
        values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        if self.silent:
            return ExcCodes.GATEWAY_NO_RESPONSE
        if values is not None:
            return self._write(address, [int(value) for value in values])
        shown = self._shown()
        for offset in range(count):
            current[address - start_address + offset] = shown.get(address + offset, 0)
        return None

    def _shown(self) -> dict[int, int]:
        bank, index = self._bank, self._index
        obeys = bool(bank.obeys_setpoint(self._clock())[index])
        return {
            12: round(kw_to_watts(float(bank.shown_power_kw[index])) / 10) & 0xFFFF,
            30: round(1000 * float(bank.soc_fraction[index])),
            31: _EXTERNAL_CONTROL if obeys else _PASS_THROUGH,
            37: round(kw_to_watts(float(bank.setpoint_kw[index]))) & 0xFFFF,
            61: round(10 * float(bank.temperature_c[index])) & 0xFFFF,
        }

    def _write(self, address: int, values: list[int]) -> ExcCodes | None:
        if self.local or self.busy:
            return ExcCodes.DEVICE_BUSY
        if address != 37 or len(values) != 1:
            return ExcCodes.ILLEGAL_ADDRESS
        watts = values[0] - 0x10000 if values[0] >= 0x8000 else values[0]
        now_s = self._clock()
        self._bank.control(
            self._index,
            power_kw=watts_to_kw(watts),
            fail_safe_kw=0.0,
            reverts_at_s=now_s + self.SILENCE_S,
            now_s=now_s,
        )
        return None
