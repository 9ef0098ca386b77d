"""How a running twin is told to do something: one JSON object a line over a loopback port, one answered for each.

    echo '{"do": "fault", "station": "CP-000001", "fault": "drop_connection", "for_s": 20}' | nc 127.0.0.1 PORT

| do       | with                                  | what happens                                             |
|----------|---------------------------------------|----------------------------------------------------------|
| fault    | station, fault, for_s?, value?        | the fault begins (`fleet.twin.faults.Fault`)             |
| clear    | station, fault?                       | that fault ends, or all of the station                   |
| plug_in  | car                                   | the car is connected now                                 |
| unplug   | car                                   | the car leaves now                                       |
| priority | station, evse, on                     | the driver asks there to be served first, or takes it back|
| limit    | station, limit_kw                     | the site's energy manager limits it; null: no longer     |
| der_alarm| station, control_type, grid_fault, ended? | a DER control acts on a fault of the grid             |
| surround | station, frequency_hz?, site_load_kw?, external_kw? | what the station measures besides         |
| show     | station?                              | what the station, or every one, is and does              |
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from common.errors import InvalidInput, PlatformError

LOOPBACK = "127.0.0.1"
LONGEST_LINE = 65_536
Handler = Callable[[dict], Awaitable[dict]]


async def serve_control(handlers: dict[str, Handler], *, port: int) -> asyncio.Server:
    """Listen on the loopback interface; port 0 takes any that is free.

    Args:
        handlers: what to do, by the word in `do`. Their errors go back to who asked.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await _answer(handlers, line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            pass  # it hung up, or sent a line without an end
        finally:
            writer.close()

    return await asyncio.start_server(serve, LOOPBACK, port, limit=LONGEST_LINE)


def port_of(server: asyncio.Server) -> int:
    """The port a server listens on."""
    return int(server.sockets[0].getsockname()[1])


def ask_control(port: int, /, timeout_s: float = 10.0, **request: Any) -> dict:
    """Tell a running twin to do something and return its answer.

    Raises:
        InvalidInput: the twin could not do it; the message is its own.
    """
    with socket.create_connection((LOOPBACK, port), timeout=timeout_s) as connection:
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile("rb") as lines:
            answer = json.loads(lines.readline())
    if "error" in answer:
        raise InvalidInput(answer["error"], field=answer.get("field", ""))
    return answer


async def _answer(handlers: dict[str, Handler], line: bytes) -> dict:
    try:
        request = json.loads(line)
        handler = handlers.get(request.get("do"))
        if handler is None:
            raise InvalidInput(f"this twin does: {', '.join(sorted(handlers))}.", field="do")
        return await handler(request)
    except PlatformError as error:
        return {"error": error.message, "field": error.field}
    except (ValueError, AttributeError, TypeError) as error:
        return {"error": f"not a request: {error}", "field": ""}
    except KeyError as error:
        return {"error": "this value is missing", "field": str(error.args[0])}
