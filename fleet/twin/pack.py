"""The physics of second-life packs behind an inverter: unequal health and temperature, limits, losses, and fail-safes.

All packs of a bank move together; every array has one entry per pack.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from common.units import SECONDS_PER_HOUR, seconds_to_hours
from fleet.core.battery import ChargingCurve, deliverable_power_kw, energy_after_step
from fleet.twin.world import WorldPack

Numbers = NDArray[np.float64]

# from standing still to full power
RAMP_S = 1.0
# Without a sign of life from its controller for so long, a pack goes to its fail-safe power.
HEARTBEAT_LOST_S = 15.0
MINIMUM_SOC_FRACTION = 0.05
METER_NOISE_KW = 0.004
SOUND_CELL_SPREAD_V = 0.02
CELL_EMPTY_V, CELL_FULL_V = 3.3, 4.15

AMBIENT_C = 22.0
# Cells and casing of a small car: about 10 kg and 10 kJ/K per kWh of nameplate, cooled by air within hours.
HEAT_CAPACITY_KWH_PER_K_PER_KWH = 0.0028  # 10 kJ is 0.0028 kWh
COOLING_S = 5_400.0
DERATE_FROM_C, STOP_AT_C = 42.0, 58.0
NO_CHARGE_BELOW_C, FULL_CHARGE_FROM_C = 0.0, 10.0


class PackBank:
    """The packs behind one inverter. Signs: positive into the pack."""

    def __init__(self, packs: Sequence[WorldPack], *, now_s: float, noise_seed: int = 0) -> None:
        """`now_s` is any clock of seconds; all other calls use the same."""
        count = len(packs)
        self.identities = tuple(pack.identity for pack in packs)
        self.capacity_kwh = np.array([pack.nameplate_kwh * pack.state_of_health_fraction for pack in packs])
        self.nameplate_kwh = np.array([pack.nameplate_kwh for pack in packs])
        self.energy_kwh = self.capacity_kwh * np.array([pack.soc_fraction for pack in packs])
        self.max_charge_kw = np.array([pack.max_charge_kw for pack in packs])
        self.max_discharge_kw = np.array([pack.max_discharge_kw for pack in packs])
        self.charge_efficiency = np.array([pack.charge_efficiency for pack in packs])
        self.discharge_efficiency = np.array([pack.discharge_efficiency for pack in packs])
        self.curve = ChargingCurve(
            np.array([pack.taper_from_fraction for pack in packs]),
            np.array([pack.full_power_fraction for pack in packs]),
        )
        self.temperature_c = np.array([pack.temperature_c for pack in packs], dtype=np.float64)
        self.power_kw = np.zeros(count)
        # as the inverter's own meter shows it: with a little noise while it runs
        self.shown_power_kw = np.zeros(count)
        self.import_kwh = np.zeros(count)
        self.export_kwh = np.zeros(count)
        self.setpoint_kw = np.zeros(count)
        self.fail_safe_kw = np.zeros(count)
        self.controlled = np.zeros(count, dtype=np.bool_)
        self.reverts_at_s = np.full(count, np.inf)
        self.heartbeat_at_s = np.full(count, -np.inf)
        # faults on demand
        self.tripped = np.zeros(count, dtype=np.bool_)
        self.stuck = np.zeros(count, dtype=np.bool_)
        self.alarmed = np.zeros(count, dtype=np.bool_)
        # between the strongest and the weakest cell; a sound pack has some hundredths of a volt
        self.cell_spread_v = np.full(count, SOUND_CELL_SPREAD_V)
        self._now_s = now_s
        self._random = np.random.default_rng(noise_seed)

    @property
    def soc_fraction(self) -> Numbers:
        return np.clip(self.energy_kwh / self.capacity_kwh, 0.0, 1.0)

    @property
    def cell_voltage_v(self) -> Numbers:
        """Mean voltage of the cells: a straight line from empty to full, which is near enough for a meter's eye."""
        return CELL_EMPTY_V + (CELL_FULL_V - CELL_EMPTY_V) * self.soc_fraction

    def control(self, pack: int, *, power_kw: float, fail_safe_kw: float, reverts_at_s: float, now_s: float) -> None:
        """Take a set-point for one pack; it counts as a sign of life of whoever gave it."""
        self.setpoint_kw[pack] = power_kw
        self.fail_safe_kw[pack] = fail_safe_kw
        self.reverts_at_s[pack] = reverts_at_s
        self.controlled[pack] = True
        self.beat(pack, now_s=now_s)

    def release(self, pack: int) -> None:
        """End external control of one pack."""
        self.controlled[pack] = False

    def beat(self, pack: int, *, now_s: float) -> None:
        """A sign of life of the controller."""
        self.heartbeat_at_s[pack] = now_s

    def obeys_setpoint(self, now_s: float) -> NDArray[np.bool_]:
        """Which packs follow their set-point: those whose timer runs and whose controller lives."""
        alive = now_s - self.heartbeat_at_s < HEARTBEAT_LOST_S
        return self.controlled & alive & (now_s < self.reverts_at_s)

    def wanted_kw(self, now_s: float) -> Numbers:
        """What control asks of each pack now."""
        return np.where(self.obeys_setpoint(now_s), self.setpoint_kw, np.where(self.controlled, self.fail_safe_kw, 0.0))

    def advance(self, now_s: float) -> None:
        """Let time pass up to `now_s`: power ramps to what is wanted within the limits, energy and heat follow."""
        step_s = now_s - self._now_s
        if step_s <= 0:
            return
        self._now_s = now_s
        step_h = seconds_to_hours(step_s)
        wanted_kw = np.where(self.tripped, 0.0, np.where(self.stuck, self.power_kw, self.wanted_kw(now_s)))
        reach_kw = np.maximum(self.max_charge_kw, self.max_discharge_kw) * step_s / RAMP_S
        ramped_kw = self.power_kw + np.clip(wanted_kw - self.power_kw, -reach_kw, reach_kw)
        hot = np.clip((STOP_AT_C - self.temperature_c) / (STOP_AT_C - DERATE_FROM_C), 0.0, 1.0)
        cold = np.clip((self.temperature_c - NO_CHARGE_BELOW_C) / (FULL_CHARGE_FROM_C - NO_CHARGE_BELOW_C), 0.0, 1.0)
        self.power_kw = deliverable_power_kw(
            ramped_kw,
            energy_kwh=self.energy_kwh,
            capacity_kwh=self.capacity_kwh,
            floor_kwh=MINIMUM_SOC_FRACTION * self.capacity_kwh,
            charge_kw=self.max_charge_kw * np.minimum(hot, cold),
            discharge_kw=self.max_discharge_kw * hot,
            step_h=step_h,
            charge_efficiency=self.charge_efficiency,
            discharge_efficiency=self.discharge_efficiency,
            curve=self.curve,
        )
        before_kwh = self.energy_kwh
        self.energy_kwh = energy_after_step(
            before_kwh,
            self.power_kw,
            step_h=step_h,
            charge_efficiency=self.charge_efficiency,
            discharge_efficiency=self.discharge_efficiency,
        )
        self.import_kwh = self.import_kwh + np.maximum(self.power_kw, 0.0) * step_h
        self.export_kwh = self.export_kwh + np.maximum(-self.power_kw, 0.0) * step_h
        loss_kwh = self.power_kw * step_h - (self.energy_kwh - before_kwh)
        self._warm(loss_kwh, step_s)
        noise_kw = self._random.normal(0.0, METER_NOISE_KW, self.power_kw.size)
        self.shown_power_kw = self.power_kw + np.where(self.power_kw != 0, noise_kw, 0.0)

    def _warm(self, loss_kwh: Numbers, step_s: float) -> None:
        """Losses heat the cells; they cool towards the air around them."""
        heat_capacity = HEAT_CAPACITY_KWH_PER_K_PER_KWH * self.nameplate_kwh
        cooling_c = (self.temperature_c - AMBIENT_C) * -np.expm1(-step_s / COOLING_S)
        self.temperature_c = self.temperature_c + loss_kwh / heat_capacity - cooling_c


class SiteMeter:
    """The stadium's load or its photovoltaics: a daily profile with slow noise, metered. Positive is consumption."""

    def __init__(self, *, role: str, peak_kw: float, now_s: float, seed: int) -> None:
        self.role = role
        self.peak_kw = peak_kw
        self.import_kwh = 0.0
        self.export_kwh = 0.0
        self.power_kw = 0.0
        self._drift = 0.0
        self._now_s = now_s
        self._random = np.random.default_rng(seed)

    def advance(self, now_s: float, *, hour: float) -> None:
        """Let time pass up to `now_s`, which is `hour` of the local day (0 to 24)."""
        step_s = now_s - self._now_s
        if step_s <= 0:
            return
        self._now_s = now_s
        # an Ornstein-Uhlenbeck walk of 2 % that forgets within ten minutes: clouds, kitchens, lifts
        decay = np.exp(-step_s / 600.0)
        self._drift = float(self._drift * decay + self._random.normal(0.0, 0.02 * np.sqrt(1.0 - decay**2)))
        shape = photovoltaic_shape(hour) if self.role == "photovoltaic" else stadium_shape(hour)
        size_kw = self.peak_kw * max(shape * (1.0 + self._drift), 0.0)
        self.power_kw = -size_kw if self.role == "photovoltaic" else size_kw
        energy_kwh = size_kw * step_s / SECONDS_PER_HOUR
        if self.role == "photovoltaic":
            self.export_kwh += energy_kwh
        else:
            self.import_kwh += energy_kwh


def photovoltaic_shape(hour: float) -> float:
    """Share of the peak that a clear equinox day gives: the sine of the sun's way from 6 to 18 h, to the power 1.3."""
    return float(max(np.sin(np.pi * (hour - 6.0) / 12.0), 0.0) ** 1.3) if 6.0 < hour < 18.0 else 0.0


def stadium_shape(hour: float) -> float:
    """Share of the peak of a stadium on a day with an evening match: a base, office hours, and the match at 19 to 22 h."""
    office = 0.15 * float(np.exp(-(((hour - 13.0) / 4.0) ** 2)))
    match = 0.55 * float(np.exp(-(((hour - 20.5) / 2.0) ** 4)))
    return 0.28 + office + match
