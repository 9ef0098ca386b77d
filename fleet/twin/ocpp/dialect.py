"""What the three versions of OCPP have in common on the side of a station."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from fleet.twin.charger import REMOTE_START_WAITS_S, SimulatedStation
from fleet.twin.clock import TwinClock
from fleet.twin.evse import RemoteStart, SimulatedEvse
from fleet.twin.ocpp.files import FileCalls
from fleet.twin.ocpp.keys import StationKeys
from fleet.twin.ocpp.link import Refusal
from fleet.twin.ocpp.profile_wire import write_instant
from fleet.twin.ocpp.schemas import knows
from fleet.twin.ocpp.security import SecurityCalls, check_profile
from fleet.twin.ocpp.service import ServiceCalls
from fleet.twin.ocpp.settings import Setting, Settings
from fleet.twin.profiles import ChargingProfile
from fleet.twin.transactions import Transaction, TransactionEvent

Message = tuple[str, dict]
RETRY_INTERVAL_S = 2.0


@dataclass(frozen=True, slots=True)
class Authorisation:
    """What the central system said about a driver: may charge, may give energy back."""

    accepted: bool
    bidirectional: bool = False


class Dialect(ABC):
    """A version of OCPP for one station: makes its messages, reads answers, handles calls.

    Handlers answer at once and never wait. What they set going is left in `requested` (messages to send, in order) and
    `restart` (why the station starts again), which the client takes up after the answer is out.
    """

    protocol: str
    root_use = "CSMSRootCertificate"

    def __init__(self, station: SimulatedStation, clock: TwinClock) -> None:
        self.station = station
        self.clock = clock
        self.requested: deque[Message] = deque()
        # what is sent and not answered
        self.streamed: deque[Message] = deque()
        self.restart: str | None = None
        self.restart_when_idle = False
        self.boot_due = True
        self.heartbeat_interval_s = 300.0
        self.firmware_version = station.world.firmware_version
        self.log: deque[str] = deque(maxlen=500)
        # what takes its time, such as fetching a file: run beside the telling
        self.errands: deque[Callable[[], Awaitable[None]]] = deque()
        self.keys = StationKeys(station.identity, station.world.root_certificate, root_use=self.root_use)
        self.security_profile = station.world.security_profile
        self.network_profiles: dict[int, dict] = {}
        self.reconnect = False
        self.local_list: dict[str, str] = {}
        self.local_list_version = 0
        self.security, self.files, self.service = SecurityCalls(self), FileCalls(self), ServiceCalls(self)
        self.settings = Settings(self.initial_settings(), self.setting_changed, self.before_setting_change)
        self.handlers: dict[str, Callable[[dict], dict]] = self.calls()

    def handle(self, action: str, payload: dict) -> dict:
        """Answer a call of the central system.

        Raises:
            Refusal: the station does not do this.
        """
        handler = self.handlers.get(action)
        if handler is None:
            known = knows(self.protocol, action)
            raise Refusal("NotSupported" if known else "NotImplemented", f"this station does not do {action}"[:255])
        answer = handler(payload)
        self.station.on_work()
        return answer

    def now(self) -> datetime:
        """The real instant."""
        return self.clock.now()

    def setting_changed(self, setting: Setting) -> None:
        """Let a changed setting have its effect."""
        if setting.name in ("MeterValueSampleInterval", "TxUpdatedInterval"):
            self.station.sample_interval_s = float(setting.value)
        elif setting.name == "HeartbeatInterval":
            self.heartbeat_interval_s = float(setting.value)
        elif setting.name == "SecurityProfile":
            self.security_profile, self.reconnect = int(setting.value), True

    def before_setting_change(self, setting: Setting, value: str) -> None:
        """Refuse what would lock the station out; raises `SettingRefused`."""
        if setting.name == "SecurityProfile":
            check_profile(self, int(value))

    def security_event(self, kind: str) -> None:
        """Tell of a security event."""
        at = write_instant(self.station.own_time(self.now()))
        self.requested.append(("SecurityEventNotification", {"type": kind, "timestamp": at}))
        self.station.on_work()

    def reservation_over(self, reservation_id: int) -> Message | None:
        """ReservationStatusUpdate, where the version has it."""
        return None

    def send_readings(self, evses: list[SimulatedEvse]) -> None:
        """Tell what meters show because the central system asks, as part of their transactions where there are any."""
        for evse in evses:
            if evse.transaction is not None:
                self.station.trigger_reading(evse, self.now())
            else:
                self.requested.append(self.idle_reading(evse))

    def order_start(
        self, evse_number: int | None, *, id_token: str, remote_start_id: int | None, profile: dict | None
    ) -> tuple[bool, Transaction | None]:
        """Start a transaction because the central system asks, now or when a car comes.

        Returns:
            Whether it is accepted, and the transaction if it has begun.

        Raises:
            ProfileRefused: the profile that comes with it does not suit.
        """
        evse = self._evse_to_start(evse_number)
        if evse is None:
            return False, None
        taken = None if profile is None else self.profile_for_start(profile, evse)
        until = self.now() + timedelta(seconds=REMOTE_START_WAITS_S)
        order = RemoteStart(id_token, remote_start_id, taken, until)
        return True, self.station.start_remotely(evse, order, self.now())

    def _evse_to_start(self, evse_number: int | None) -> SimulatedEvse | None:
        able = [
            evse
            for evse in self.station.evses.values()
            if evse.transaction is None and evse.operative and not evse.faulted and evse_number in (None, evse.number)
        ]
        return next((evse for evse in able if evse.car is not None), able[0] if able else None)

    @abstractmethod
    def profile_for_start(self, wire: dict, evse: SimulatedEvse) -> ChargingProfile:
        """The profile that comes with a remote start; raises `ProfileRefused`."""

    @abstractmethod
    def initial_settings(self) -> list[Setting]:
        """The settings the station leaves the factory with."""

    @abstractmethod
    def calls(self) -> dict[str, Callable[[dict], dict]]:
        """The calls the station answers, by action."""

    @abstractmethod
    def boot(self, reason: str) -> dict:
        """BootNotification."""

    @abstractmethod
    def status(self, evse: SimulatedEvse) -> dict:
        """StatusNotification of an EVSE's connector."""

    @abstractmethod
    def authorize(self, id_token: str) -> dict:
        """Authorize."""

    @abstractmethod
    def authorisation(self, answer: dict) -> Authorisation:
        """What the answer to Authorize means."""

    @abstractmethod
    def transaction_message(self, event: TransactionEvent) -> Message | None:
        """The message that tells of an event; none if this version has nothing to tell."""

    @abstractmethod
    def transaction_answered(self, event: TransactionEvent, answer: dict) -> bool:
        """Take the answer to such a message; returns whether the driver may go on charging."""

    @abstractmethod
    def idle_reading(self, evse: SimulatedEvse) -> Message:
        """MeterValues of an EVSE without a transaction."""

    def station_status(self) -> Message | None:
        """StatusNotification of the station itself, where the version has it."""
        return None

    def told(self, message: Message, answer: dict | None) -> None:  # noqa: B027 - most versions need not know
        """A requested message has been answered; None if it was not, or with an error."""

    def pulled(self, profile_id: int, answer: dict) -> None:
        """Take the answer to PullDynamicScheduleUpdate, where the version has it."""
        raise NotImplementedError

    def der_start_stop(self, control_id: str, started: bool, at: datetime) -> Message:
        """NotifyDERStartStop, where the version has it."""
        raise NotImplementedError

    def charging_needs(self, evse: SimulatedEvse, transaction: Transaction) -> Message | None:
        """NotifyEVChargingNeeds, where the version has it."""
        return None
