"""A simulated charger with MQTT firmware: cars, meters, sessions, and the obedience that the protocol asks for."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from common.units import wh_to_kwh
from fleet.twin.car import NOTHING, PowerOffer, SimulatedCar
from fleet.twin.meter import EnergyMeter
from fleet.twin.mqtt.client import ChargerClient, Setpoint
from fleet.twin.world import WorldCharger, WorldEvse

# Without a word from the platform for so long after plugging in, a car is charged and the session told of later.
START_UNCONFIRMED_AFTER = timedelta(seconds=10)


@dataclass
class Session:
    """A car's stay."""

    session_id: str
    started_at: datetime
    meter_start_kwh: float
    departure_at: datetime
    sequence: int = -1
    allowed: bool | None = None


@dataclass
class Socket:
    """An EVSE with one connector."""

    limits: WorldEvse
    meter: EnergyMeter = field(default_factory=EnergyMeter)
    car: SimulatedCar | None = None
    session: Session | None = None
    setpoint: Setpoint | None = None

    @property
    def fail_safe_kw(self) -> float:
        """What it does before any set-point: as much as it can, unless it was made otherwise."""
        return self.limits.max_charge_kw if self.limits.fail_safe_kw is None else self.limits.fail_safe_kw

    def wanted_kw(self, now: datetime) -> float:
        """What the newest set-point for this session says, else the fail-safe power."""
        wanted = self.setpoint.power_kw(now) if self.setpoint is not None else None
        return self.fail_safe_kw if wanted is None else wanted


class MqttStation:
    """The charger behind a `ChargerClient`. `client` is set once, before it starts."""

    client: ChargerClient

    def __init__(self, world: WorldCharger, *, seed: int) -> None:
        self.world = world
        self.sockets = {evse.number: Socket(evse) for evse in world.evses}
        self._random = random.Random(f"{seed}/{world.identity}/mqtt")
        # the network thread brings set-points and receipts while the clock's thread moves cars
        self._lock = threading.Lock()
        self.firmware_version = world.firmware_version
        self._status_due = False
        self._next_meter_at: datetime | None = None

    # what the client asks of the hardware

    def describe(self) -> Mapping[str, Any]:
        """What the charger is."""
        return {
            "vendor": self.world.vendor,
            "model": self.world.model,
            "serial_number": self.world.serial_number,
            "firmware_version": self.firmware_version,
        }

    def connectors(self) -> Sequence[Mapping[str, Any]]:
        """The state of every connector."""
        return [
            {"evse": number, "connector": 1, "status": "Available" if socket.car is None else "Occupied", "detail": ""}
            for number, socket in self.sockets.items()
        ]

    def take_setpoint(self, setpoint: Setpoint) -> str:
        """Follow a set-point for the session that there is."""
        with self._lock:
            socket = self.sockets.get(setpoint.evse)
            if socket is None:
                return f"there is no EVSE {setpoint.evse}"
            session_id = socket.session.session_id if socket.session else ""
            if setpoint.session_id and setpoint.session_id != session_id:
                return "that session is over" if not session_id else "another session is going on"
            socket.setpoint = setpoint
        return ""

    def take_command(self, command: str, evse: int, parameters: Mapping[str, Any]) -> str:
        """Stop a session or report at once; a station without a screen can do nothing else from afar."""
        with self._lock:
            socket = self.sockets.get(evse)
            if command == "trigger":
                self._next_meter_at = None
                self._status_due = True
                return ""
            if command == "get_log":
                self.client.report_log("info", f"firmware {self.firmware_version}, {len(self.sockets)} EVSEs")
                return ""
            if command == "remote_stop" and socket is not None and socket.session is not None:
                socket.session.allowed = False
                return ""
        return f"{command} is not supported here"

    def install_firmware(self, image: Path, version: str) -> str:
        """Run a new firmware; one that begins with BROKEN does not come up, and the old one runs again."""
        if image.read_bytes().startswith(b"BROKEN"):
            return "the self-test failed"
        self.firmware_version = version
        return ""

    def take_receipt(self, session_id: str, accepted: bool, reason: str) -> None:
        """The session is known; charge if the driver may."""
        with self._lock:
            for socket in self.sockets.values():
                if socket.session is not None and socket.session.session_id == session_id:
                    socket.session.allowed = accepted

    # what the world does with it

    def plug_in(self, evse: int, car: SimulatedCar, now: datetime) -> None:
        """A car comes; whoever is still there has left."""
        socket = self.sockets[evse]
        if socket.car is not None:
            self.unplug(evse, now)
        with self._lock:
            socket.car = car
            socket.setpoint = None
            socket.session = Session(
                session_id=str(UUID(int=self._random.getrandbits(128), version=4)),
                started_at=now,
                meter_start_kwh=wh_to_kwh(socket.meter.import_wh),
                departure_at=now + timedelta(seconds=car.departure_in_s),
            )
            self._status_due = True
        self._tell(evse, "started", now)

    def unplug(self, evse: int, now: datetime) -> None:
        """The car leaves."""
        socket = self.sockets[evse]
        if socket.session is not None:
            self._tell(evse, "ended", now, reason="EVDisconnected")
        with self._lock:
            if socket.car is not None:
                socket.car.power_kw = 0.0
            socket.car = socket.session = socket.setpoint = None
            self._status_due = True

    def offers(self, now: datetime) -> list[tuple[SimulatedCar, PowerOffer]]:
        """What each car may do now."""
        with self._lock:
            return [
                (socket.car, self._offer(socket, now)) for socket in self.sockets.values() if socket.car is not None
            ]

    def _offer(self, socket: Socket, now: datetime) -> PowerOffer:
        session = socket.session
        if session is None or session.allowed is False:
            return NOTHING
        if session.allowed is None and now - session.started_at < START_UNCONFIRMED_AFTER:
            return NOTHING
        return PowerOffer(
            wanted_kw=socket.wanted_kw(now),
            charge_kw=socket.limits.max_charge_kw,
            discharge_kw=socket.limits.max_discharge_kw,
            least_charge_kw=socket.limits.min_charge_kw,
        )

    def observe(self, now: datetime, step_s: float) -> None:
        """Count the energy of the step that has passed and report what is due."""
        for socket in self.sockets.values():
            socket.meter.count(socket.car.power_kw if socket.car is not None else 0.0, step_s)
        with self._lock:
            due, self._status_due = self._status_due, False
            measure = self._measures_at(now)
        if due and self.client.connected:
            self.client.report_status()
        if measure:
            self.client.report_measurements([self._measure(number, now) for number in self.sockets])
        self.client.tick(now)

    def _measures_at(self, now: datetime) -> bool:
        interval = timedelta(seconds=self.world.meter_interval_s)
        if self._next_meter_at is not None and now < self._next_meter_at:
            return False
        # the first comes at a moment of its own, so that chargers are not in step
        first = self._next_meter_at is None
        self._next_meter_at = now + (interval * self._random.random() if first else interval)
        return True

    def _measure(self, number: int, now: datetime) -> Mapping[str, Any]:
        socket = self.sockets[number]
        power_kw, import_wh, export_wh = socket.meter.shown(socket.car.power_kw if socket.car is not None else 0.0)
        measured: dict[str, Any] = {
            "evse": number,
            "at": now,
            "power_kw": round(power_kw, 4),
            "import_kwh": wh_to_kwh(import_wh),
            "export_kwh": wh_to_kwh(export_wh),
        }
        if socket.car is not None:
            measured["soc_fraction"] = round(socket.car.soc_fraction, 5)
        return measured

    def _tell(self, evse: int, event: str, now: datetime, *, reason: str = "") -> None:
        socket = self.sockets[evse]
        car, session = socket.car, socket.session
        if car is None or session is None:
            return
        session.sequence += 1
        content = {
            "event": event,
            "evse": evse,
            "session_id": session.session_id,
            "sequence": session.sequence,
            "id_token": car.id_token,
            "at": now,
            "started_at": session.started_at,
            "meter_start_kwh": session.meter_start_kwh,
            "meter_stop_kwh": wh_to_kwh(socket.meter.import_wh) if event == "ended" else None,
            "soc_fraction": round(car.soc_fraction, 5),
            "energy_needed_kwh": round(max(car.energy_to_kwh(car.target_soc_fraction), 0.0), 3),
            "max_charge_kw": car.max_charge_kw,
            "max_discharge_kw": min(car.max_discharge_kw, socket.limits.max_discharge_kw),
            "departure_at": session.departure_at,
            "reason": reason,
        }
        self.client.report_session(content)
