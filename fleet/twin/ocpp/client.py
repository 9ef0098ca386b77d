"""A simulated station on the line: connects, boots, tells what happened in order, and comes back when it was cut off."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.frames import CloseCode
from websockets.typing import Subprotocol

from fleet.twin.charger import SimulatedStation
from fleet.twin.evse import SimulatedEvse
from fleet.twin.faults import Fault
from fleet.twin.ocpp.dialect import Dialect, Message
from fleet.twin.ocpp.link import CallRefused, CallUnanswered, OcppLink
from fleet.twin.ocpp.schemas import MessageInvalid
from fleet.twin.transactions import TransactionEvent

logger = logging.getLogger(__name__)

# errors that say the message itself is at fault: repeating it will not help
HOPELESS = {
    "FormatViolation",
    "FormationViolation",
    "MessageTypeNotSupported",
    "NotImplemented",
    "NotSupported",
    "OccurenceConstraintViolation",
    "OccurrenceConstraintViolation",
    "PropertyConstraintViolation",
    "TypeConstraintViolation",
}
HOPELESS_ATTEMPTS = 3
REBOOT_TAKES_S = 1.0
FAULT_LOOK_S = 0.2
CLOSE_WITHIN_S = 1.0


@dataclass(frozen=True, slots=True)
class BackOff:
    """How long to wait before the next attempt: doubling from `first_s` to `most_s`, plus up to `spread_s` by chance."""

    first_s: float = 0.5
    most_s: float = 15.0
    spread_s: float = 0.5

    def wait_s(self, attempt: int, chance: random.Random) -> float:
        """Seconds to wait after so many attempts in vain."""
        return min(self.first_s * 2 ** min(attempt, 10), self.most_s) + chance.uniform(0.0, self.spread_s)


class StationClient:
    """One station and its central system.

    Args:
        url: address of the central system; the station's identity is appended.
        secure_url: the address of security profiles 2 and 3, if it is another one.
        dialect: the version of OCPP that the station speaks.
    """

    def __init__(
        self,
        station: SimulatedStation,
        dialect: Dialect,
        url: str,
        back_off: BackOff | None = None,
        *,
        secure_url: str = "",
    ) -> None:
        self.station = station
        self.dialect = dialect
        self.url = f"{url.rstrip('/')}/{quote(station.identity, safe='')}"
        self.secure_url = f"{secure_url.rstrip('/')}/{quote(station.identity, safe='')}" if secure_url else self.url
        self.back_off = back_off or BackOff()
        self._errands: set[asyncio.Task[None]] = set()
        self.password = station.world.password
        self.link: OcppLink | None = None
        self.connections = 0
        self.violations: list[str] = []
        self.messages_sent = 0
        self._boot_reason = "PowerUp"
        self._told_status: dict[int, str] = {}
        self._work = asyncio.Event()
        self._attempts: tuple[TransactionEvent | None, int] = (None, 0)
        station.on_work = self._work.set
        self.on_acknowledged: Callable[[str, TransactionEvent], None] = lambda station, event: None

    async def run(self) -> None:
        """Be connected for as long as possible; ends only by being cancelled."""
        try:
            await self._stay_connected()
        finally:
            for errand in self._errands:
                errand.cancel()
            await asyncio.gather(*self._errands, return_exceptions=True)

    async def _stay_connected(self) -> None:
        attempt = 0
        while True:
            if not self.station.faults.active(Fault.DROP_CONNECTION, self.dialect.now()):
                try:
                    socket = await self._connect()
                    attempt = 0
                    try:
                        await self._serve(socket)
                    finally:
                        await socket.close(CloseCode.GOING_AWAY)
                except (OSError, TimeoutError, WebSocketException) as error:
                    level = logging.DEBUG if attempt else logging.INFO
                    logger.log(level, "%s is not connected: %s", self.station.identity, error)
                finally:
                    self.station.disconnect(self.dialect.now())
                await asyncio.sleep(self.back_off.wait_s(attempt, self.station.random))
                attempt += 1
            else:
                await asyncio.sleep(FAULT_LOOK_S)

    async def cut(self) -> None:
        """Lose the connection without a word, as when the cable is pulled."""
        if self.link is not None:
            await self.link.cut()

    def all_violations(self) -> list[str]:
        """What the central system has sent that breaks the standard, on all connections so far."""
        return self.violations + (self.link.violations if self.link is not None else [])

    def _connect(self) -> connect:
        """Dial as the security profile says: without a password, with one, within TLS, with a certificate."""
        profile = self.dialect.security_profile
        key = self.dialect.settings.get("AuthorizationKey") or self.dialect.settings.get(
            "BasicAuthPassword", "SecurityCtrlr"
        )
        password = (key.value if key is not None else "") or self.password
        credentials = base64.b64encode(f"{self.station.identity}:{password}".encode()).decode()
        return connect(
            self.secure_url if profile >= 2 else self.url,
            ssl=self.dialect.keys.context(profile) if profile >= 2 else None,
            subprotocols=[Subprotocol(self.dialect.protocol)],
            additional_headers={"Authorization": f"Basic {credentials}"} if profile in (1, 2) else {},
            compression=None,
            proxy=None,
            close_timeout=CLOSE_WITHIN_S,
            user_agent_header="twin",
        )

    async def _serve(self, socket: ClientConnection) -> None:
        """Talk until the connection is lost or the station starts again."""
        if socket.subprotocol != self.dialect.protocol:
            logger.warning("%s: the central system does not speak %s", self.station.identity, self.dialect.protocol)
            return
        self.connections += 1
        self.link = link = OcppLink(socket, self.dialect.protocol, self.dialect.handle)
        tasks = [asyncio.create_task(link.run()), asyncio.create_task(self._talk(link))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self.link = None
            self.messages_sent += link.sent
            self.violations += link.violations
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _talk(self, link: OcppLink) -> None:
        with contextlib.suppress(ConnectionClosed):
            if self.dialect.boot_due:
                await self._boot(link)
            self._greet()
            while self.dialect.restart is None and not self.dialect.reconnect:
                self._work.clear()
                await self._tell_all(link)
                if self.dialect.restart is not None or self.dialect.reconnect:
                    break
                try:
                    # not wait_for: in Python 3.11 it forgets a cancellation that comes together with the event
                    async with asyncio.timeout(self.dialect.heartbeat_interval_s or None):
                        await self._work.wait()
                except TimeoutError:
                    self.dialect.requested.append(("Heartbeat", {}))
            if self.dialect.reconnect:
                self.dialect.reconnect = False
                return
            await self._start_again(link)

    async def _boot(self, link: OcppLink) -> None:
        """BootNotification until it is accepted."""
        while True:
            wait_s = self.back_off.most_s
            try:
                answer = await link.call("BootNotification", self.dialect.boot(self._boot_reason))
            except (CallRefused, CallUnanswered, MessageInvalid) as error:
                logger.warning("%s: %s", self.station.identity, error)
            else:
                wait_s = max(float(answer["interval"]), 1.0)
                if answer["status"] == "Accepted":
                    self.dialect.heartbeat_interval_s = float(answer["interval"])
                    self.dialect.boot_due = False
                    return
            await asyncio.sleep(wait_s)

    def _greet(self) -> None:
        """After a connection is made every connector's status is told, before what was kept."""
        self.station.connect(self.dialect.now())
        status = self.dialect.station_status()
        if status is not None:
            self.dialect.requested.append(status)
        self._told_status.clear()
        for evse in self.station.evses.values():
            payload = self.dialect.status(evse)
            self._told_status[evse.number] = payload.get("status") or payload.get("connectorStatus", "")
            self.dialect.requested.append(("StatusNotification", payload))

    async def _start_again(self, link: OcppLink) -> None:
        """End what is going on, let the last messages out, lose the connection and boot."""
        reason, self.dialect.restart = self.dialect.restart or "", None
        now = self.dialect.now()
        for evse in self.station.evses.values():
            self.station.stop_transaction(evse, now, trigger="ResetCommand", stop_reason=reason)
        await self._tell_all(link)
        await asyncio.sleep(REBOOT_TAKES_S)
        for evse in self.station.evses.values():
            evse.served = False
            evse.wants_authorisation = evse.car is not None and evse.operative and not evse.faulted
        self._boot_reason, self.dialect.boot_due = "RemoteReset", True

    async def _tell_all(self, link: OcppLink) -> None:
        """Tell everything there is to tell, one call after the other."""
        while self.dialect.restart is None:
            self._run_errands()
            if self.dialect.requested:
                message = self.dialect.requested.popleft()
                self.dialect.told(message, await self._tell(link, message))
                continue
            if self.dialect.streamed:
                await link.tell(*self.dialect.streamed.popleft())
                continue
            event = self.station.queue.head()
            if event is None and self.station.status_due:
                await self._tell_status(link, self.station.evses[self.station.status_due.pop()])
                continue
            asking = next((evse for evse in self.station.evses.values() if evse.wants_authorisation), None)
            if asking is not None:
                await self._authorise(link, asking)
                continue
            if event is not None:
                await self._deliver(link, event)
                continue
            if self.station.notices.pulls_due:
                await self._pull(link, self.station.notices.pulls_due.pop())
                continue
            if self.station.notices.started_or_stopped:
                notice = self.station.notices.started_or_stopped.pop(0)
                await self._tell(link, self.dialect.der_start_stop(*notice))
                continue
            if not await self._tell_needs(link):
                break
        if self.dialect.restart_when_idle and not any(evse.transaction for evse in self.station.evses.values()):
            self.dialect.restart, self.dialect.restart_when_idle = "ScheduledReset", False

    def _run_errands(self) -> None:
        """Start what takes its time, and note reservations whose time is over."""
        while self.dialect.errands:
            task = asyncio.ensure_future(self.dialect.errands.popleft()())
            self._errands.add(task)
            task.add_done_callback(self._errands.discard)
        for evse in self.station.evses.values():
            while evse.expired_holds:
                message = self.dialect.reservation_over(evse.expired_holds.pop())
                self.dialect.requested.extend([message] if message is not None else [])

    async def _tell_status(self, link: OcppLink, evse: SimulatedEvse) -> None:
        """Tell how a connector stands, if that is news in the words of this version."""
        payload = self.dialect.status(evse)
        status = payload.get("status") or payload.get("connectorStatus", "")
        if self._told_status.get(evse.number) != status:
            self._told_status[evse.number] = status
            await self._tell(link, ("StatusNotification", payload))

    async def _tell(self, link: OcppLink, message: Message) -> dict | None:
        action, payload = message
        self.dialect.log.append(f"{self.dialect.now().isoformat()} {action}")
        try:
            return await link.call(action, payload)
        except (CallRefused, CallUnanswered, MessageInvalid) as error:
            logger.warning("%s: %s", self.station.identity, error)
            if isinstance(error, CallRefused) and error.code == "SecurityError":
                # the central system does not know it as booted
                self.dialect.boot_due = True
                await link.cut()
            return None

    async def _authorise(self, link: OcppLink, evse: SimulatedEvse) -> None:
        """Ask whether the driver of the car that has come may charge, and start."""
        car = evse.car
        if car is None:
            evse.wants_authorisation = False
            return
        if evse.hold is not None and evse.hold.id_token != car.id_token:
            evse.wants_authorisation = False
            logger.info("%s is kept for another driver than that of %s", self.station.identity, car.identity)
            return
        answer = await self._tell(link, ("Authorize", self.dialect.authorize(car.id_token)))
        said = self.dialect.authorisation(answer) if answer is not None else None
        if evse.car is not car or not evse.wants_authorisation:
            return
        evse.wants_authorisation = False
        if said is not None and said.accepted:
            self.station.start_transaction(
                evse, id_token=car.id_token, now=self.dialect.now(), bidirectional=said.bidirectional
            )
        elif said is None:
            # nobody said no: it starts, and the answer to that decides
            self.station.start_transaction(evse, id_token=car.id_token, now=self.dialect.now(), authorised=False)
        else:
            logger.info("%s: the token of %s is refused", self.station.identity, car.identity)

    async def _deliver(self, link: OcppLink, event: TransactionEvent) -> None:
        """Tell one transaction event; it stays in the queue until its delivery is certain."""
        message = self.dialect.transaction_message(event)
        if message is None:
            self.station.queue.delivered(event)
            return
        same, attempts = self._attempts
        attempts = attempts + 1 if same is event else 1
        self._attempts = (event, attempts)
        try:
            answer = await link.call(*message)
        except CallUnanswered:
            logger.warning("%s: %s was not answered, it is sent again", self.station.identity, message[0])
        except (CallRefused, MessageInvalid) as error:
            hopeless = isinstance(error, MessageInvalid) or error.code in HOPELESS
            logger.warning("%s: %s", self.station.identity, error)
            if hopeless and attempts >= HOPELESS_ATTEMPTS:
                logger.error("%s gives up telling %s of %s", self.station.identity, message[0], event.at)
                self.station.queue.delivered(event)
                return
            await asyncio.sleep(self.back_off.wait_s(attempts, self.station.random))
        else:
            self.station.queue.delivered(event)
            self._take_answer(event, answer)
            self.on_acknowledged(self.station.identity, event)

    def _take_answer(self, event: TransactionEvent, answer: dict) -> None:
        if self.dialect.transaction_answered(event, answer) or event.transaction.ended:
            return
        evse = self.station.evses[event.transaction.evse_number]
        self.station.stop_transaction(evse, self.dialect.now(), trigger="Deauthorized", stop_reason="DeAuthorized")

    async def _pull(self, link: OcppLink, profile_id: int) -> None:
        """Fetch the set-point of a dynamic profile."""
        answer = await self._tell(link, ("PullDynamicScheduleUpdate", {"chargingProfileId": profile_id}))
        if answer is not None:
            self.dialect.pulled(profile_id, answer)

    async def _tell_needs(self, link: OcppLink) -> bool:
        """Tell what a car needs, once its transaction is known; returns whether there was anything."""
        for evse in self.station.evses.values():
            transaction = evse.transaction
            if transaction is None or not transaction.needs_due or self.station.queue.holds(transaction):
                continue
            transaction.needs_due = False
            if not transaction.authorised:
                # it began on its own; now ask what the driver may do
                answer = await self._tell(link, ("Authorize", self.dialect.authorize(transaction.id_token)))
                said = self.dialect.authorisation(answer) if answer is not None else None
                transaction.authorised = said is not None and said.accepted
                transaction.bidirectional = said is not None and said.bidirectional and evse.can_discharge
            needs = self.dialect.charging_needs(evse, transaction) if not transaction.ended else None
            if needs is not None:
                await self._tell(link, needs)
            return True
        return False
