"""An EVSE of a simulated station: a socket, a meter, perhaps a car, perhaps a transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from common.units import kw_to_amperes
from fleet.twin.car import NOTHING, PowerOffer, SimulatedCar
from fleet.twin.meter import EnergyMeter, MeterReading
from fleet.twin.profiles import ChargingProfile
from fleet.twin.transactions import Transaction
from fleet.twin.world import WorldEvse

VOLTAGE_V = 230.0
LEAST_FLOW_KW = 0.05
# a change of charging state is told when it has lasted this long: zero crossings and ramps are not told
SETTLED_S = 1.0


@dataclass(frozen=True, slots=True)
class RemoteStart:
    """A transaction that the central system asked for, waiting for a car until `until`."""

    id_token: str
    remote_start_id: int | None
    profile: ChargingProfile | None
    until: datetime


@dataclass(frozen=True, slots=True)
class Hold:
    """A reservation that an EVSE keeps."""

    reservation_id: int
    id_token: str
    until: datetime


class SimulatedEvse:
    """One EVSE with one connector."""

    def __init__(self, limits: WorldEvse, meter: EnergyMeter) -> None:
        self.limits = limits
        self.meter = meter
        self.car: SimulatedCar | None = None
        self.plugged_at: datetime | None = None
        self.transaction: Transaction | None = None
        self.remote_start: RemoteStart | None = None
        self.hold: Hold | None = None
        self.expired_holds: list[int] = []
        # a car is there and nobody has yet asked whether its driver may charge
        self.wants_authorisation = False
        self.served = False
        self.faulted = False
        self.operative = True
        # what ChangeAvailability asked for while a transaction went on
        self.operative_later: bool | None = None
        self.offer: PowerOffer = NOTHING
        self.setpoint_kw: float | None = None
        self.operation_mode = "ChargingOnly"
        # what DER control leaves of the power with which cars may give back
        self.discharge_fraction = 1.0
        self._candidate_state = ""
        self._candidate_since: datetime | None = None

    @property
    def number(self) -> int:
        """evseId of OCPP 2.x, connectorId of 1.6."""
        return self.limits.number

    @property
    def power_kw(self) -> float:
        """What flows now, positive into the car."""
        return self.car.power_kw if self.car is not None else 0.0

    @property
    def fail_safe_kw(self) -> float:
        """What it takes when no profile holds."""
        return self.limits.max_charge_kw if self.limits.fail_safe_kw is None else self.limits.fail_safe_kw

    @property
    def discharge_kw(self) -> float:
        """How much this transaction may give back; 0 unless station, car and central system agreed on it."""
        if self.car is None or self.transaction is None or not self.transaction.bidirectional:
            return 0.0
        return min(self.limits.max_discharge_kw * self.discharge_fraction, self.car.max_discharge_kw)

    @property
    def reservation_id(self) -> int | None:
        """The reservation that it keeps."""
        return None if self.hold is None else self.hold.reservation_id

    def end_hold(self, now: datetime) -> bool:
        """End a reservation whose time is over; returns whether it was one."""
        if self.hold is None or now < self.hold.until:
            return False
        self.expired_holds.append(self.hold.reservation_id)
        self.hold = None
        return True

    @property
    def can_discharge(self) -> bool:
        """Whether station and car could give energy back if they are allowed to."""
        return self.car is not None and min(self.limits.max_discharge_kw, self.car.max_discharge_kw) > 0

    @property
    def status(self) -> str:
        """The connector's status in the words of OCPP 1.6, which are finer than those of 2.x."""
        if self.faulted:
            return "Faulted"
        if self.transaction is not None:
            state = self.transaction.charging_state
            return "Preparing" if state == "EVConnected" else state
        if not self.operative:
            return "Unavailable"
        if self.car is not None:
            return "Finishing" if self.served else "Preparing"
        if self.remote_start is not None:
            return "Preparing"
        return "Available" if self.hold is None else "Reserved"

    def read(self, at: datetime) -> MeterReading:
        """What meter and car show, stamped with the station's own time."""
        power_kw, import_wh, export_wh = self.meter.shown(self.power_kw)
        return MeterReading(
            measured_at=at,
            power_kw=power_kw,
            import_wh=import_wh,
            export_wh=export_wh,
            soc_fraction=self.car.soc_fraction if self.car is not None else None,
            offered_kw=max(self.offer.charge_kw, 0.0),
            setpoint_kw=self.setpoint_kw,
            current_a=kw_to_amperes(abs(power_kw), voltage_v=VOLTAGE_V, phases=self.limits.phases),
            operation_mode=self.operation_mode,
        )

    def settled_state(self, now: datetime) -> str:
        """The charging state of the transaction, changed only when a new one has lasted."""
        transaction = self.transaction
        assert transaction is not None
        state = self._state_now()
        if state == transaction.charging_state:
            self._candidate_state = ""
            return state
        if state != self._candidate_state:
            self._candidate_state, self._candidate_since = state, now
        assert self._candidate_since is not None
        if (now - self._candidate_since).total_seconds() >= SETTLED_S:
            return state
        return transaction.charging_state

    def _state_now(self) -> str:
        if abs(self.power_kw) > LEAST_FLOW_KW:
            return "Charging"
        return "SuspendedEVSE" if abs(self.offer.settable_kw) <= LEAST_FLOW_KW else "SuspendedEV"
