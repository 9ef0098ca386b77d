"""What a gateway holds in memory of one connected station, and what its handlers share whatever the version."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, Protocol

from common.money import to_ledger_amount
from fleet.devices.ocpp.quirks import allowed_quirks
from fleet.devices.ocpp.samples import last_soc_fraction
from fleet.devices.ocpp.writer import Work
from fleet.operations.event_streams import StreamTarget
from fleet.operations.session_progress import SessionProgress
from fleet.operations.sessions import update_session
from fleet.operations.stations import ChargerIdentity, EvseIdentity
from fleet.operations.telemetry import MeterReading, RefusedReading

logger = logging.getLogger(__name__)

FollowUp = Callable[["Station"], Awaitable[None]]


class Books(Protocol):
    """Where handlers make durable what stations say; `fleet.devices.ocpp.writer.GroupWriter`."""

    async def write(self, work: Work) -> Any: ...

    def post(self, work: Work) -> None: ...


class Calls(Protocol):
    """A way to call the station; `fleet.devices.ocpp.connection.StationConnection`."""

    async def call(
        self,
        action: str,
        payload: dict[str, Any],
        *,
        timeout_s: float = ...,
        command_id: int | None = None,
        before_send: Callable[[], bool] | None = None,
    ) -> dict[str, Any]: ...


class NotConnected:
    """Stands in until the connection has been made."""

    async def call(self, action: str, payload: dict[str, Any], **options: Any) -> dict[str, Any]:
        raise RuntimeError("the station has no connection yet")


@dataclass(frozen=True, slots=True)
class GatewayTerms:
    """What a gateway tells every station.

    Attributes:
        heartbeat_interval_s: how often a station shows that it lives when it has nothing else to say.
        meter_interval_s: how often it reports its meters during a transaction; None leaves the station's own setting.
    """

    heartbeat_interval_s: int = 300
    meter_interval_s: int | None = None


@dataclass(slots=True)
class OpenStay:
    """A transaction that is open at an EVSE."""

    evse_number: int
    vehicle_known: bool = False
    arrival_known: bool = False
    meter_start_kwh: float | None = None


@dataclass(slots=True, eq=False)
class Station:
    """A connected station. `follow_ups` run after the reply to the message that asked for them."""

    charger: ChargerIdentity
    version: str
    books: Books
    terms: GatewayTerms
    clock: Callable[[], datetime]
    calls: Calls = field(default_factory=NotConnected)
    evses: dict[int, EvseIdentity] = field(default_factory=dict)
    stays: dict[str, OpenStay] = field(default_factory=dict)
    capabilities: dict[str, Any] = field(default_factory=dict)
    quirks: frozenset[str] = frozenset()
    follow_ups: list[FollowUp] = field(default_factory=list)
    # when values beside readings were last kept, by asset
    further_kept_at: dict[int, datetime] = field(default_factory=dict)
    # 2.1: what each open stream tells of
    streams: dict[int, StreamTarget] = field(default_factory=dict)
    booted: bool = False
    _said: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.evses = {evse.number: evse for evse in self.charger.evses}
        self.stays = {
            stay.transaction_id: OpenStay(
                stay.evse_number, stay.vehicle_known, stay.arrival_known, stay.meter_start_kwh
            )
            for stay in self.charger.transactions
        }
        self.capabilities = dict(self.charger.capabilities)
        self.quirks = allowed_quirks(self.charger.vendor, self.charger.model)

    @property
    def identity(self) -> str:
        """What the station calls itself."""
        return self.charger.identity

    def say_once(self, what: str, message: str, *values: object) -> None:
        """Log a fault of the station, the first time on this connection."""
        if what not in self._said and len(self._said) < 100:
            self._said.add(what)
            logger.warning("station %s: " + message, self.identity, *values)

    def report_fault(self, action: str, error: Exception) -> None:
        """Log a fault of ours with its trace, the first time it shows on this connection."""
        what = f"fault {action} {type(error).__name__}"
        if what not in self._said:
            self._said.add(what)
            logger.error("station %s: %s could not be handled", self.identity, action, exc_info=error)

    def evse(self, number: int | None) -> EvseIdentity | None:
        """The EVSE of that number; None and a line in the log if it is not registered. 0 is the station as a whole."""
        evse = self.evses.get(number) if number is not None else None
        if evse is None and number:
            self.say_once(f"evse {number}", "speaks of EVSE %s, which is not registered", number)
        return evse

    def open_transaction(self, evse_number: int) -> str | None:
        """The transaction that is open at an EVSE."""
        for transaction_id, stay in self.stays.items():
            if stay.evse_number == evse_number:
                return transaction_id
        return None

    def open_stay(
        self, transaction_id: str, evse_number: int, *, vehicle_known: bool, meter_start_kwh: float | None = None
    ) -> None:
        """A transaction has begun; another one still open at the EVSE has been superseded."""
        known = self.stays.get(transaction_id)
        if known is not None:
            known.vehicle_known = known.vehicle_known or vehicle_known
            return
        for other in [other for other, stay in self.stays.items() if stay.evse_number == evse_number]:
            del self.stays[other]
        self.stays[transaction_id] = OpenStay(evse_number, vehicle_known, meter_start_kwh=meter_start_kwh)

    def cost_so_far(self, transaction_id: str, import_kwh: float | None) -> float | None:
        """What a transaction costs its driver up to a meter's reading; None where there is no price or no reading."""
        stay, price = self.stays.get(transaction_id), self.charger.energy_price_per_kwh
        if stay is None or price is None or import_kwh is None or stay.meter_start_kwh is None:
            return None
        energy_kwh = Decimal(str(max(import_kwh - stay.meter_start_kwh, 0.0)))
        return float(to_ledger_amount(energy_kwh * price))

    async def record(
        self,
        readings: Sequence[MeterReading],
        *,
        transaction_id: str | None = None,
        sequence_number: int | None = None,
        operation: Callable[[], Any] | None = None,
    ) -> Any:
        """Make readings, the progress of their transaction and an operation durable; returns the operation's result."""
        work = Work(operation=operation, readings=readings)
        stay = self.stays.get(transaction_id) if transaction_id is not None else None
        if transaction_id is not None and sequence_number is not None:
            work.progress = SessionProgress(self.charger.charger_id, transaction_id, sequence_number)
        if stay is not None and not stay.arrival_known and operation is None:
            soc_fraction = last_soc_fraction(readings)
            if soc_fraction is not None and 0 <= soc_fraction <= 1:
                stay.arrival_known = True
                work.operation = self._note_arrival(transaction_id or "", soc_fraction)
        result = await self.books.write(work)
        self._report_refused(work.refused)
        return result

    def _note_arrival(self, transaction_id: str, soc_fraction: float) -> Callable[[], Any]:
        return partial(
            update_session,
            identity=self.identity,
            transaction_id=transaction_id,
            sequence_number=-1,
            soc_fraction=soc_fraction,
            now=self.clock(),
        )

    def _report_refused(self, refused: Sequence[RefusedReading]) -> None:
        for item in refused:
            # the reason begins with the field at fault; its wording differs with every instant
            self.say_once(f"reading {item.reason.partition(':')[0]}", "a reading is refused: %s", item.reason)
