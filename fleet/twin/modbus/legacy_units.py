"""A simulated pack behind an inverter with the earlier SunSpec models: 1, 103, 120 to 124 and 802."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pymodbus.constants import ExcCodes

from common.units import kw_to_watts, kwh_to_wh, watts_to_kw
from fleet.devices.modbus.sunspec import decode, fitting_scale_factor, model_layout
from fleet.twin.modbus.register_map import BASE_ADDRESS, RegisterMap
from fleet.twin.modbus.units import SunSpecUnit, identify
from fleet.twin.pack import PackBank
from fleet.twin.world import WorldPack

_MODELS = tuple(model_layout(model_id) for model_id in (1, 103, 120, 121, 122, 123, 124, 802))
_CHARGE, _DISCHARGE = 0b01, 0b10


class LegacyPackUnit(SunSpecUnit):
    """A pack that takes limits of its storage rates instead of a set-point, and reverts by `InOutWRte_RvrtTms`."""

    def __init__(
        self,
        world: WorldPack,
        bank: PackBank,
        index: int,
        *,
        clock: Callable[[], float],
        base_address: int = BASE_ADDRESS,
    ) -> None:
        self._bank, self._index, self._clock = bank, index, clock
        self.local = False
        self._full_rate_w = kw_to_watts(max(world.max_charge_kw, world.max_discharge_kw))
        registers = RegisterMap(_MODELS, _scale_factors(self._full_rate_w), base_address=base_address)
        super().__init__(registers, self.refresh)
        identify(registers, model="Storage inverter", serial_number=world.serial_number, options=world.identity)
        put = registers.set
        put(120, "DERTyp", 82)  # storage alone
        put(120, "WHRtg", kwh_to_wh(world.nameplate_kwh))
        put(121, "WMax", self._full_rate_w)
        put(123, "Conn", "CONNECT")
        put(124, "WChaMax", self._full_rate_w)
        for name in ("StorCtl_Mod", "OutWRte", "InWRte", "InOutWRte_WinTms", "InOutWRte_RvrtTms", "InOutWRte_RmpTms"):
            put(124, name, 0)
        put(802, "SoH", 100 * world.state_of_health_fraction)
        put(802, "WHRtg", kwh_to_wh(world.nameplate_kwh))

    def refresh(self) -> None:
        """Put what the pack does now into its registers."""
        bank, index, put = self._bank, self._index, self.registers.set
        soc_percent = 100 * float(bank.soc_fraction[index])
        put(103, "W", -kw_to_watts(float(bank.shown_power_kw[index])))
        put(103, "WH", kwh_to_wh(float(bank.export_kwh[index])))
        put(103, "TmpCab", float(bank.temperature_c[index]))
        put(103, "St", "FAULT" if bank.tripped[index] else "MPPT")
        put(124, "ChaState", soc_percent)
        put(802, "SoC", soc_percent)
        put(802, "Evt1", 1 << 25 if bank.alarmed[index] else 0)
        put(802, "LocRemCtl", 1 if self.local else 0)
        mean_v, spread_v = float(bank.cell_voltage_v[index]), float(bank.cell_spread_v[index])
        put(802, "CellVMax", mean_v + spread_v / 2)
        put(802, "CellVMin", mean_v - spread_v / 2)

    def write(self, start: int, values: Sequence[int]) -> ExcCodes | None:
        if self.local:
            return ExcCodes.DEVICE_FAILURE
        after = list(self.registers.registers)
        after[start : start + len(values)] = values
        if not self._touches(start, len(values)):
            return None
        if int(self._point("StorCtl_Mod", after)) & (_CHARGE | _DISCHARGE) != _CHARGE | _DISCHARGE:
            self._bank.release(self._index)
            return None
        return self._limit(after)

    def _limit(self, registers: Sequence[int]) -> ExcCodes | None:
        """Both limits together leave one power where they are each other's opposite, else a range around 0."""
        most_in, most_out = self._point("InWRte", registers), self._point("OutWRte", registers)
        if -most_out > most_in:
            return ExcCodes.ILLEGAL_VALUE
        percent = min(max(0.0, -most_out), most_in)
        now_s, timer_s = self._clock(), self._point("InOutWRte_RvrtTms", registers)
        self._bank.control(
            self._index,
            power_kw=watts_to_kw(self._full_rate_w * percent / 100),
            fail_safe_kw=0.0,
            reverts_at_s=now_s + timer_s if timer_s > 0 else float("inf"),
            now_s=now_s,
        )
        return None

    def _point(self, name: str, registers: Sequence[int]) -> float:
        point, start, scale = self.registers.span(124, name)
        return float(decode(point, registers[start : start + point.size], scale) or 0.0)

    def _touches(self, start: int, count: int) -> bool:
        names = ("StorCtl_Mod", "OutWRte", "InWRte", "InOutWRte_RvrtTms")
        spans = (self.registers.span(124, name) for name in names)
        return any(first < start + count and start < first + point.size for point, first, _ in spans)


def _scale_factors(largest_w: float) -> dict[tuple[int, str], int]:
    rate = fitting_scale_factor(model_layout(124).point("WChaMax"), largest_w)
    return {
        (103, "W_SF"): max(fitting_scale_factor(model_layout(103).point("W"), 1.2 * largest_w), 0),
        (103, "WH_SF"): 0,
        (103, "Tmp_SF"): -1,
        (120, "WHRtg_SF"): 1,
        (121, "WMax_SF"): max(fitting_scale_factor(model_layout(121).point("WMax"), largest_w), 0),
        (123, "WMaxLimPct_SF"): -1,
        (124, "WChaMax_SF"): max(rate, 0),
        (124, "ChaState_SF"): -2,
        (124, "InOutWRte_SF"): -2,
        (802, "WHRtg_SF"): 1,
        (802, "SoC_SF"): -2,
        (802, "SoH_SF"): -2,
        (802, "CellV_SF"): -3,
    }
