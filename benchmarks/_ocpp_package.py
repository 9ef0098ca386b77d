"""The PyPI package `ocpp` as a central system that answers and stores nothing: what its own router costs.

    python -m benchmarks._ocpp_package PORT

websockets on uvloop without compression, as our gateway; the package's classes, routing and validation as they come.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import uvloop
from ocpp.routing import on
from ocpp.v201 import ChargePoint, call_result
from websockets import Subprotocol
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed


class Station(ChargePoint):
    """Answers the mix."""

    @on("Heartbeat")
    def on_heartbeat(self) -> Any:
        return call_result.Heartbeat(current_time=datetime.now(UTC).isoformat())

    @on("MeterValues")
    def on_meter_values(self, **payload: Any) -> Any:
        return call_result.MeterValues()

    @on("TransactionEvent")
    def on_transaction_event(self, **payload: Any) -> Any:
        return call_result.TransactionEvent()


async def serve_station(connection: ServerConnection) -> None:
    assert connection.request is not None
    with suppress(ConnectionClosed):
        await Station(connection.request.path.rpartition("/")[2], connection).start()


async def main(port: int) -> None:
    async with serve(
        serve_station,
        "127.0.0.1",
        port,
        subprotocols=[Subprotocol("ocpp2.0.1")],
        compression=None,
        ping_interval=None,
    ) as server:
        sys.stdout.write("READY\n")
        sys.stdout.flush()
        await server.serve_forever()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    uvloop.run(main(int(sys.argv[1])))
