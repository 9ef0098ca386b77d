"""One Modbus connection over TCP, and what can go wrong on it, in five words: unreachable, silent, busy, refused, garbled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

from pymodbus import FramerType
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ExceptionResponse, ModbusPDU

from common.errors import PlatformError

REPLY_TIMEOUT_S = 1.0


class ModbusFault(PlatformError):
    """A request to a unit did not succeed."""

    code = "modbus_fault"


class Unreachable(ModbusFault):
    """There is no connection to the end-point."""

    code = "unreachable"


class Silent(ModbusFault):
    """The unit does not answer."""

    code = "silent"


class Refused(ModbusFault):
    """The unit answered with a Modbus exception."""

    code = "refused"


class Busy(ModbusFault):
    """The unit has taken the request and cannot answer now; the same request may be made again."""

    code = "busy"


class Garbled(ModbusFault):
    """The answer is not one to the question."""

    code = "garbled"


# Modbus application protocol 1.1b3, section 7
_EXCEPTIONS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledge",
    6: "device busy",
    10: "gateway path unavailable",
    11: "gateway target device failed to respond",
}
# These come from a gateway in between: the unit itself is not there.
_NOT_THERE = {10, 11}
_LATER = {5, 6}
_FRAMERS = {"tcp": FramerType.SOCKET, "rtu_over_tcp": FramerType.RTU}


class ModbusLink:
    """A connection to one end-point. Requests wait for each other; each is given one second and no second try.

    A lost connection is opened again by the next request. Lives on one event loop. RTU frames carry no number of the
    request: a connection on which an answer is overdue is closed, so that no late answer is taken for the next one's.
    """

    def __init__(self, host: str, port: int, *, framing: str = "tcp", reply_timeout_s: float = REPLY_TIMEOUT_S) -> None:
        self.host = host
        self.port = port
        self._framing = framing
        self._timeout_s = reply_timeout_s
        self._client: AsyncModbusTcpClient | None = None
        self._connecting = asyncio.Lock()

    @property
    def connected(self) -> bool:
        return self._client is not None and self._client.connected

    async def connect(self) -> None:
        """Connect unless connected. Raises Unreachable."""
        async with self._connecting:
            if self.connected:
                return
            self.close()
            client = AsyncModbusTcpClient(
                self.host,
                framer=_FRAMERS[self._framing],
                port=self.port,
                timeout=self._timeout_s,
                retries=0,
                reconnect_delay=0,
            )
            if not await client.connect():
                raise Unreachable(f"{self.host}:{self.port} does not accept a connection.", field="host")
            self._client = client

    def close(self) -> None:
        """Close the connection; the link may be used again."""
        if self._client is not None:
            self._client.close()
            self._client = None

    async def read(self, device_id: int, address: int, count: int, *, table: str = "holding") -> list[int]:
        """Read holding (or input) registers of a unit. Raises ModbusFault."""
        client = await self._ready()
        read = client.read_input_registers if table == "input" else client.read_holding_registers
        reply = await self._ask(device_id, read(address, count=count, device_id=device_id))
        registers = getattr(reply, "registers", None)
        if registers is None or len(registers) != count:
            raise Garbled(f"Unit {device_id} answered with {len(registers or ())} registers instead of {count}.")
        return list(registers)

    async def write(self, device_id: int, address: int, registers: Sequence[int]) -> None:
        """Write consecutive holding registers of a unit in one request. Raises ModbusFault."""
        client = await self._ready()
        reply = await self._ask(device_id, client.write_registers(address, list(registers), device_id=device_id))
        if getattr(reply, "address", None) != address:
            raise Garbled(f"Unit {device_id} confirmed another address than {address}.")

    async def _ready(self) -> AsyncModbusTcpClient:
        if not self.connected:
            await self.connect()
        if self._client is None:
            raise Unreachable(f"{self.host}:{self.port} closed the connection.", field="host")
        return self._client

    async def _ask(self, device_id: int, request: Awaitable[ModbusPDU]) -> ModbusPDU:
        try:
            reply = await request
        except ModbusException as error:
            if not self.connected:
                raise Unreachable(f"{self.host}:{self.port} closed the connection.", field="host") from error
            if self._framing == "rtu_over_tcp":
                self.close()
            raise Silent(f"Unit {device_id} did not answer within {self._timeout_s:g} s.") from error
        if isinstance(reply, ExceptionResponse) or reply.isError():
            code = getattr(reply, "exception_code", 0)
            words = _EXCEPTIONS.get(code, f"exception {code}")
            kind = Silent if code in _NOT_THERE else Busy if code in _LATER else Refused
            raise kind(f"Unit {device_id}: {words}.")
        return reply
