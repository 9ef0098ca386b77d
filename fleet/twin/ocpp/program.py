"""All OCPP stations of a world in one event loop: their clients, the physics, and the control port."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from common.errors import InvalidInput, NotFound
from fleet.twin.charger import SimulatedStation
from fleet.twin.clock import TwinClock
from fleet.twin.faults import Fault
from fleet.twin.memory import Memory, recall, started_at
from fleet.twin.ocpp.client import BackOff, StationClient
from fleet.twin.ocpp.dialect import Dialect
from fleet.twin.ocpp.dialect_16 import Dialect16
from fleet.twin.ocpp.dialect_21 import Dialect21
from fleet.twin.ocpp.dialect_201 import Dialect201
from fleet.twin.park import ChargingPark
from fleet.twin.world import World

TICK_S = 0.25
START_SPREAD_S = 1.0
DIALECTS: dict[str, type[Dialect]] = {dialect.protocol: dialect for dialect in (Dialect16, Dialect201, Dialect21)}


class ChargerProgram:
    """The stations of a world that speak OCPP.

    Args:
        url: address of the central system.
        secure_url: its address with TLS, for stations of security profiles 2 and 3.
        speed: seconds of the world per second; see `TwinClock`.
        back_off: how stations wait between attempts to connect.
        start_spread_s: stations do not all dial at the same instant, but within so many seconds.
        memory: where stations keep what a loss of power must not take; without it they begin anew.
    """

    def __init__(
        self,
        world: World,
        *,
        url: str,
        secure_url: str = "",
        speed: float = 1.0,
        back_off: BackOff | None = None,
        start_spread_s: float = START_SPREAD_S,
        memory: Memory | None = None,
    ) -> None:
        self.start_spread_s = start_spread_s
        self.memory = memory
        kept = memory.load() if memory is not None else None
        self.clock = TwinClock(datetime.now(UTC) if kept is None else started_at(kept), speed)
        self.park = ChargingPark(world, world.ocpp_chargers(), self.clock)
        if kept is not None:
            recall(self.park, kept)
        self.clients = {
            identity: StationClient(
                station,
                DIALECTS[station.world.protocol](station, self.clock),
                url,
                back_off,
                secure_url=secure_url,
            )
            for identity, station in self.park.stations.items()
        }

    async def run(self) -> None:
        """Play until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tick())
            for client in self.clients.values():
                tasks.create_task(self._start(client))

    def handlers(self) -> dict:
        """What the control port can ask for; see `fleet.twin.control`."""
        return {
            "fault": self.begin_fault,
            "clear": self.clear_fault,
            "plug_in": self.plug_in,
            "unplug": self.unplug,
            "show": self.show,
            "surround": self.surround,
            "priority": self.press_priority,
            "limit": self.limit_from_outside,
            "der_alarm": self.raise_der_alarm,
        }

    async def raise_der_alarm(self, request: dict) -> dict:
        """A DER control acts on a fault of the grid, or no longer."""
        client = self._client(request)
        if not isinstance(client.dialect, Dialect21):
            raise InvalidInput("DER control needs OCPP 2.1.", field="station")
        client.dialect.raise_der_alarm(request["control_type"], request["grid_fault"], bool(request.get("ended")))
        return describe(client, self.clock.now())

    async def press_priority(self, request: dict) -> dict:
        """A driver asks at the station to be served before all others, or takes it back."""
        client = self._client(request)
        if not isinstance(client.dialect, Dialect21):
            raise InvalidInput("priority charging needs OCPP 2.1.", field="station")
        client.dialect.press_priority(client.station.evses[request["evse"]], bool(request["on"]))
        return describe(client, self.clock.now())

    async def limit_from_outside(self, request: dict) -> dict:
        """The site's energy manager limits a station to so many kW, or with null no longer."""
        client = self._client(request)
        if not isinstance(client.dialect, Dialect201):
            raise InvalidInput("limits from outside need OCPP 2.0.1 or 2.1.", field="station")
        limit_kw = request["limit_kw"]
        client.dialect.limit_from_outside(None if limit_kw is None else float(limit_kw))
        return describe(client, self.clock.now())

    async def surround(self, request: dict) -> dict:
        """Let a station measure something else: the grid's frequency, its site's load, an energy manager's set-point."""
        client = self._client(request)
        surroundings = client.station.surroundings
        for name in ("frequency_hz", "site_load_kw", "external_kw"):
            if name in request:
                setattr(surroundings, name, float(request[name]))
        return describe(client, self.clock.now())

    async def begin_fault(self, request: dict) -> dict:
        """Let something go wrong."""
        client, now = self._client(request), self.clock.now()
        fault = _fault(request["fault"])
        for_s = request.get("for_s")
        value = float(request.get("value", 0.0))
        client.station.faults.set(fault, now=now, for_s=None if for_s is None else float(for_s), value=value)
        if fault is Fault.DROP_CONNECTION:
            await client.cut()
        return describe(client, now)

    async def clear_fault(self, request: dict) -> dict:
        """Let it be well again."""
        client = self._client(request)
        client.station.faults.clear(_fault(request["fault"]) if "fault" in request else None)
        return describe(client, self.clock.now())

    async def plug_in(self, request: dict) -> dict:
        """A car comes."""
        self.park.plug_in(request["car"], self.clock.now())
        return {"car": request["car"], "plugged_in": True}

    async def unplug(self, request: dict) -> dict:
        """A car leaves."""
        self.park.unplug(request["car"], self.clock.now())
        return {"car": request["car"], "plugged_in": False}

    async def show(self, request: dict) -> dict:
        """One station, or all."""
        now = self.clock.now()
        if "station" in request:
            return describe(self._client(request), now)
        return {"stations": [describe(client, now) for client in self.clients.values()]}

    def _client(self, request: dict) -> StationClient:
        identity = request["station"]
        if identity not in self.clients:
            raise NotFound(f"there is no station {identity!r}.", field="station")
        return self.clients[identity]

    async def _start(self, client: StationClient) -> None:
        await asyncio.sleep(client.station.random.uniform(0.0, self.start_spread_s))
        await client.run()

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self.park.tick(self.clock.now())
            if self.memory is not None:
                # before any client has had its turn to tell what this tick brought
                self.memory.save(self.park)
            due = max(due + TICK_S, loop.time())
            await asyncio.sleep(due - loop.time())


def describe(client: StationClient, now: datetime) -> dict:
    """What a station is and does, as the control port tells it."""
    station: SimulatedStation = client.station
    return {
        "station": station.identity,
        "protocol": client.dialect.protocol,
        "online": station.online,
        "connections": client.connections,
        "waiting_events": len(station.queue),
        "faults": station.faults.names(now),
        "violations": client.all_violations(),
        "evses": [
            {
                "evse": evse.number,
                "status": evse.status,
                "car": evse.car.identity if evse.car is not None else None,
                "soc_fraction": evse.car.soc_fraction if evse.car is not None else None,
                "power_kw": evse.power_kw,
                "import_wh": evse.meter.import_wh,
                "export_wh": evse.meter.export_wh,
                "transaction_id": evse.transaction.wire_id if evse.transaction is not None else None,
                "bidirectional": evse.transaction is not None and evse.transaction.bidirectional,
                "operation_mode": evse.operation_mode,
            }
            for evse in station.evses.values()
        ],
    }


def _fault(name: str) -> Fault:
    try:
        return Fault(name)
    except ValueError:
        raise InvalidInput(f"a station can have: {', '.join(Fault)}.", field="fault") from None
