"""Simulated SunSpec units: a pack's and a meter's registers, filled from the physics, and what a write to them does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pymodbus.constants import ExcCodes
from pymodbus.simulator import SimDevice

from common.units import kw_to_watts, kwh_to_wh, watts_to_kw
from fleet.devices.modbus.sunspec import decode, fitting_scale_factor, model_layout
from fleet.twin.modbus.register_map import BASE_ADDRESS, RegisterMap
from fleet.twin.pack import PackBank, SiteMeter
from fleet.twin.world import WorldInverter, WorldMeter, WorldPack

_CONTROL_POINTS = ("WSetEna", "WSetMod", "WSet", "WSetRvrt", "WSetEnaRvrt", "WSetRvrtTms")
_WATTS_MODE = 1
_ENABLED = 1
_REMOTE, _LOCAL = 0, 1
CELLS = 4  # of the one module that shows its cells
_OTHER_ALARM = 1 << 25  # SunSpec 802, Evt1


def identify(registers: RegisterMap, *, model: str, serial_number: str, options: str) -> None:
    registers.set(1, "Mn", "Second Life Works")
    registers.set(1, "Md", model)
    registers.set(1, "Opt", options)
    registers.set(1, "Vr", "1.0")
    registers.set(1, "SN", serial_number)


class SunSpecUnit:
    """One unit whose registers are brought up to date when somebody reads them."""

    def __init__(self, registers: RegisterMap, refresh: Callable[[], None]) -> None:
        self.registers = registers
        self._refresh = refresh
        self.silent = False
        self.busy = False

    def device(self, device_id: int) -> SimDevice:
        """The device of pymodbus that answers for this unit."""
        return SimDevice(device_id, simdata=self.registers.simulated(), action=self._on_access)

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
        if self.busy and values is not None:
            return ExcCodes.DEVICE_BUSY
        if self.registers.registers is not current:
            # the device works on a list of its own, known only now: from here on there is one
            current[: len(self.registers.registers)] = self.registers.registers
            self.registers.registers = current
        if values is not None:
            return self.write(address - self.registers.base_address, [int(value) for value in values])
        self._refresh()
        return None

    def write(self, start: int, values: Sequence[int]) -> ExcCodes | None:
        """Take a write of registers from `start` on, or say why not."""
        return None


class PackUnit(SunSpecUnit):
    """A pack: SunSpec models 1, 701 to 704, 713 to 715 and 802 to 805."""

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
        self._local = False
        largest_w = kw_to_watts(max(world.max_charge_kw, world.max_discharge_kw))
        capacity_wh = kwh_to_wh(world.nameplate_kwh)
        scales = _pack_scale_factors(largest_w, capacity_wh)
        super().__init__(RegisterMap(_PACK_MODELS, scales, base_address=base_address), self.refresh)
        identify(self.registers, model="Rack inverter", serial_number=world.serial_number, options=world.identity)
        self._rate(world)

    @property
    def local(self) -> bool:
        """Whether somebody at the cabinet has taken control; writes are refused."""
        return self._local

    @local.setter
    def local(self, local: bool) -> None:
        self._local = local
        for model_id in (715, 802):
            self.registers.set(model_id, "LocRemCtl", _LOCAL if local else _REMOTE)

    def _rate(self, world: WorldPack) -> None:
        put = self.registers.set
        charge_w, discharge_w = kw_to_watts(world.max_charge_kw), kw_to_watts(world.max_discharge_kw)
        for name in ("WMaxRtg", "WMax", "WDisChaRteMaxRtg", "WDisChaRteMax"):
            put(702, name, discharge_w)
        for name in ("WChaRteMaxRtg", "WChaRteMax"):
            put(702, name, charge_w)
        put(713, "WHRtg", kwh_to_wh(world.nameplate_kwh))
        put(713, "SoH", 100 * world.state_of_health_fraction)
        put(714, "NPrt", 1)
        put(802, "WHRtg", kwh_to_wh(world.nameplate_kwh))
        put(802, "WChaRteMax", charge_w)
        put(802, "WDisChaRteMax", discharge_w)
        put(802, "SoH", 100 * world.state_of_health_fraction)
        put(802, "Typ", "LITHIUM_ION")
        put(701, "ACType", "THREE_PHASE")
        for name, value in (("WSetEna", 0), ("WSetMod", _WATTS_MODE), ("WSet", 0), ("WSetRvrt", 0), ("WSetEnaRvrt", 0)):
            put(704, name, value)
        put(704, "WSetRvrtTms", 0)
        for name in ("WSetPct", "WSetPctRvrt"):
            put(704, name, 0)
        put(715, "ControllerHb", 0)
        put(802, "CtrlHb", 0)
        for model_id, name in ((803, "NStr"), (803, "NStrCon"), (804, "Idx"), (805, "StrIdx"), (805, "ModIdx")):
            put(model_id, name, 1)
        put(804, "NMod", 2)
        put(805, "NCell", CELLS)
        put(703, "ES", "ENABLED")
        self.local = False

    def refresh(self) -> None:
        """Put what the pack does now into its registers."""
        bank, index, put = self._bank, self._index, self.registers.set
        power_w = -kw_to_watts(float(bank.shown_power_kw[index]))
        soc_percent = 100 * float(bank.soc_fraction[index])
        tripped = bool(bank.tripped[index])
        put(701, "W", power_w)
        put(701, "St", "OFF" if tripped else "ON")
        put(701, "ConnSt", "DISCONNECTED" if tripped else "CONNECTED")
        put(701, "TotWhInj", kwh_to_wh(float(bank.export_kwh[index])))
        put(701, "TotWhAbs", kwh_to_wh(float(bank.import_kwh[index])))
        put(701, "TmpCab", float(bank.temperature_c[index]))
        put(713, "SoC", soc_percent)
        put(713, "WHAvail", kwh_to_wh(float(bank.energy_kwh[index])))
        put(713, "Sta", "ERROR" if tripped else "OK")
        put(714, "Prt.0.Tmp", float(bank.temperature_c[index]))
        put(802, "SoC", soc_percent)
        put_cells(self.registers, bank, index)
        put(802, "W", power_w)
        put(802, "State", "DISCONNECTED" if tripped else "CONNECTED")
        now_s = self._clock()
        put(715, "DERHb", int(now_s) % 0xFFFF)
        remaining_s = float(bank.reverts_at_s[index]) - now_s
        put(704, "WSetRvrtRem", int(max(min(remaining_s, 0xFFFF_0000), 0)) if bank.controlled[index] else 0)

    def write(self, start: int, values: Sequence[int]) -> ExcCodes | None:
        if self._local:
            return ExcCodes.DEVICE_FAILURE
        after = list(self.registers.registers)
        after[start : start + len(values)] = values
        for model_id, name in ((715, "ControllerHb"), (802, "CtrlHb")):
            if self._touches(model_id, (name,), start, len(values)):
                self._bank.beat(self._index, now_s=self._clock())
        if self._touches(704, _CONTROL_POINTS, start, len(values)):
            return self._control({name: self._decoded(704, name, after) for name in _CONTROL_POINTS})
        return None

    def _control(self, points: dict[str, float | int | str | None]) -> ExcCodes | None:
        bank, index, now_s = self._bank, self._index, self._clock()
        if points["WSetEna"] != _ENABLED:
            bank.release(index)
            return None
        if points["WSetMod"] != _WATTS_MODE or points["WSet"] is None:
            return ExcCodes.ILLEGAL_VALUE
        power_kw = -watts_to_kw(float(points["WSet"]))
        limit_kw = bank.max_charge_kw[index] if power_kw > 0 else bank.max_discharge_kw[index]
        if abs(power_kw) > limit_kw + 0.001:
            return ExcCodes.ILLEGAL_VALUE
        revert_w = float(points["WSetRvrt"] or 0.0) if points["WSetEnaRvrt"] == _ENABLED else 0.0
        timer_s = float(points["WSetRvrtTms"] or 0)
        bank.control(
            index,
            power_kw=power_kw,
            fail_safe_kw=-watts_to_kw(revert_w),
            reverts_at_s=now_s + timer_s if timer_s > 0 else float("inf"),
            now_s=now_s,
        )
        return None

    def _touches(self, model_id: int, names: Sequence[str], start: int, count: int) -> bool:
        spans = (self.registers.span(model_id, name) for name in names)
        return any(first < start + count and start < first + point.size for point, first, _ in spans)

    def _decoded(self, model_id: int, name: str, registers: Sequence[int]) -> float | int | str | None:
        point, start, scale = self.registers.span(model_id, name)
        return decode(point, registers[start : start + point.size], scale)


def put_cells(registers: RegisterMap, bank: PackBank, index: int) -> None:
    """What the battery models show of cells, strings and alarms."""
    put = registers.set
    mean_v, spread_v = float(bank.cell_voltage_v[index]), float(bank.cell_spread_v[index])
    highest_v, lowest_v, hottest_c = mean_v + spread_v / 2, mean_v - spread_v / 2, float(bank.temperature_c[index])
    put(802, "CellVMax", highest_v)
    put(802, "CellVMin", lowest_v)
    put(802, "CellVAvg", mean_v)
    put(802, "Evt1", _OTHER_ALARM if bank.alarmed[index] else 0)
    put(803, "ModTmpMax", hottest_c)
    put(803, "string.0.StrCellVMax", highest_v)
    put(803, "string.0.StrCellVMin", lowest_v)
    put(804, "CellVMax", highest_v)
    put(804, "CellVMin", lowest_v)
    put(804, "ModTmpMax", hottest_c)
    put(805, "CellVMax", highest_v)
    put(805, "CellVMin", lowest_v)
    put(805, "CellTmpMax", hottest_c)
    for cell in range(CELLS):
        put(805, f"lithium-ion-module-cell.{cell}.CellV", highest_v if cell == 0 else lowest_v)


class InverterUnit(SunSpecUnit):
    """The inverter itself: models 1, 701 and 702 with the sums over its packs."""

    def __init__(self, world: WorldInverter, bank: PackBank) -> None:
        self._bank = bank
        largest_w = kw_to_watts(max(world.max_charge_kw, world.max_discharge_kw))
        scales = {
            (701, "W_SF"): fitting_scale_factor(model_layout(701).point("W"), 1.2 * largest_w),
            (701, "TotWh_SF"): 0,
            (702, "W_SF"): fitting_scale_factor(model_layout(702).point("WMax"), 1.2 * largest_w),
        }
        super().__init__(RegisterMap((model_layout(1), model_layout(701), model_layout(702)), scales), self.refresh)
        identify(self.registers, model="Central inverter", serial_number=world.identity, options=world.identity)
        self.registers.set(702, "WMaxRtg", kw_to_watts(world.max_discharge_kw))
        self.registers.set(702, "WChaRteMaxRtg", kw_to_watts(world.max_charge_kw))

    def refresh(self) -> None:
        """Put the sums into the registers."""
        put = self.registers.set
        put(701, "W", -kw_to_watts(float(self._bank.shown_power_kw.sum())))
        put(701, "TotWhInj", kwh_to_wh(float(self._bank.export_kwh.sum())))
        put(701, "TotWhAbs", kwh_to_wh(float(self._bank.import_kwh.sum())))


class MeterUnit(SunSpecUnit):
    """A meter of the site: SunSpec models 1 and 203."""

    def __init__(self, world: WorldMeter, meter: SiteMeter) -> None:
        self._meter = meter
        layout = model_layout(203)
        scales = {
            (203, "A_SF"): 0,
            (203, "V_SF"): -1,
            (203, "W_SF"): fitting_scale_factor(layout.point("W"), 1.5 * kw_to_watts(world.peak_kw)),
            (203, "TotWh_SF"): 0,
        }
        super().__init__(RegisterMap((model_layout(1), layout), scales), self.refresh)
        identify(self.registers, model="Three-phase meter", serial_number=world.identity, options=world.role)
        self.registers.set(203, "Evt", 0)

    def refresh(self) -> None:
        """Put what the meter shows now into its registers."""
        put = self.registers.set
        put(203, "W", kw_to_watts(self._meter.power_kw))
        put(203, "TotWhImp", kwh_to_wh(self._meter.import_kwh))
        put(203, "TotWhExp", kwh_to_wh(self._meter.export_kwh))


_PACK_MODELS = (
    model_layout(1),
    model_layout(701),
    model_layout(702),
    model_layout(703),
    model_layout(704),
    model_layout(713),
    model_layout(714, 1),
    model_layout(715),
    model_layout(802),
    model_layout(803, 1),
    model_layout(804, 2),
    model_layout(805, CELLS),
)


def _pack_scale_factors(largest_w: float, capacity_wh: float) -> dict[tuple[int, str], int]:
    """Scale factors so that ratings and a fifth more fit; energies to a tenth of a watt-hour."""
    power = fitting_scale_factor(model_layout(701).point("W"), max(1.2 * largest_w, 1_000.0))
    return {
        (701, "W_SF"): max(power, 0),
        (701, "TotWh_SF"): -1,
        (701, "Tmp_SF"): -1,
        (702, "W_SF"): max(fitting_scale_factor(model_layout(702).point("WMax"), 1.2 * largest_w), 0),
        (704, "WSet_SF"): 0,
        (704, "WSetPct_SF"): -1,
        (713, "WH_SF"): max(fitting_scale_factor(model_layout(713).point("WHRtg"), 1.2 * capacity_wh), 0),
        (713, "Pct_SF"): -2,
        (714, "Tmp_SF"): -1,
        (802, "WHRtg_SF"): max(fitting_scale_factor(model_layout(802).point("WHRtg"), 1.2 * capacity_wh), 0),
        (802, "WChaDisChaMax_SF"): max(fitting_scale_factor(model_layout(802).point("WChaRteMax"), largest_w), 0),
        (802, "SoC_SF"): -2,
        (802, "SoH_SF"): -2,
        (802, "W_SF"): max(power, 0),
        (802, "V_SF"): -1,
        (802, "CellV_SF"): -3,
        **{(model_id, "CellV_SF"): -3 for model_id in (803, 804, 805)},
        **{(model_id, "ModTmp_SF"): -1 for model_id in (803, 804)},
        **{(model_id, "SoC_SF"): -2 for model_id in (803, 804, 805)},
        (805, "Tmp_SF"): -1,
    }
