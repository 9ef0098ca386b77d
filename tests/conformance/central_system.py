"""A small central system for the twin's own tests: accepts everything, remembers everything, and calls when told to.

It holds both sides to the schemas through the `ocpp` package, whose validator is another one than the twin's.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from ocpp.messages import Call, CallResult, validate_payload
from websockets.asyncio.server import Server, ServerConnection, serve

VERSIONS = {"ocpp1.6": "1.6", "ocpp2.0.1": "2.0.1", "ocpp2.1": "2.1"}
WAIT_S = 15.0


class CentralSystem:
    """Listens on a free port of the loopback interface while it is used as a context.

    Attributes:
        calls: what stations have sent, as (identity, action, payload), in order.
        answers: how to answer an action other than by default; a function of identity and payload.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, dict]] = []
        self.answers: dict[str, Callable[[str, dict], dict]] = {}
        self.sockets: dict[str, ServerConnection] = {}
        self.refusing = False
        self._transactions = 0
        self._waiting: dict[str, asyncio.Future[dict]] = {}
        self._server: Server | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Where stations connect to."""
        return f"ws://127.0.0.1:{self._port}"

    async def __aenter__(self) -> CentralSystem:
        self._server = await serve(
            self._serve, "127.0.0.1", self._port, subprotocols=list(VERSIONS), process_request=self._let_in
        )
        self._port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(self, *failure: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    def of(self, identity: str, action: str) -> list[dict]:
        """The payloads of an action that a station has sent."""
        return [payload for who, what, payload in self.calls if (who, what) == (identity, action)]

    async def wait_for(self, condition: Callable[[], Any]) -> Any:
        """Wait until a condition holds and return what it gave."""
        async with asyncio.timeout(WAIT_S):
            while not (value := condition()):
                await asyncio.sleep(0.02)
        return value

    async def call(self, identity: str, action: str, payload: dict, *, checked: bool = True) -> dict:
        """Call a station; the answer's payload, or {"error": code}. Unchecked, the call may be wrong on purpose."""
        socket = await self.wait_for(lambda: self.sockets.get(identity))
        version = VERSIONS[str(socket.subprotocol)]
        if checked:
            await validate_payload(Call("", action, payload), version)
        message_id = f"c{len(self._waiting)}-{action}"
        answer: asyncio.Future[dict] = asyncio.get_running_loop().create_future()
        self._waiting[message_id] = answer
        await socket.send(json.dumps([2, message_id, action, payload]))
        result = await asyncio.wait_for(answer, WAIT_S)
        if "error" not in result:
            await validate_payload(CallResult("", result, action), version)
        return result

    def _let_in(self, socket: ServerConnection, request: Any) -> Any:
        return socket.respond(503, "out of service\n") if self.refusing else None

    async def _serve(self, socket: ServerConnection) -> None:
        identity = socket.request.path.rsplit("/", 1)[-1] if socket.request is not None else ""
        self.sockets[identity] = socket
        version = VERSIONS[str(socket.subprotocol)]
        async for frame in socket:
            kind, message_id, *rest = json.loads(frame)
            if kind == 2:
                action, payload = rest
                await validate_payload(Call("", action, payload), version)
                self.calls.append((identity, action, payload))
                result = self._answer(identity, version, action, payload)
                await validate_payload(CallResult("", result, action), version)
                await socket.send(json.dumps([3, message_id, result]))
            else:
                self._waiting[message_id].set_result(rest[0] if kind == 3 else {"error": rest[0]})

    def _answer(self, identity: str, version: str, action: str, payload: dict) -> dict:
        if action in self.answers:
            return self.answers[action](identity, payload)
        now = datetime.now(UTC).isoformat()
        accepted = {"status": "Accepted"}
        if action == "StartTransaction":
            self._transactions += 1
            return {"transactionId": self._transactions, "idTagInfo": accepted}
        if action == "Authorize":
            if version == "1.6":
                return {"idTagInfo": accepted}
            allowed = {"allowedEnergyTransfer": ["AC_three_phase", "AC_BPT"]} if version == "2.1" else {}
            return {"idTokenInfo": accepted, **allowed}
        answers: dict[str, dict] = {
            "BootNotification": {"currentTime": now, "interval": 300, **accepted},
            "Heartbeat": {"currentTime": now},
            "NotifyEVChargingNeeds": accepted,
        }
        return answers.get(action, {})
