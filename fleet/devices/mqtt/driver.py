"""Commands to devices over MQTT: set-points are retained, everything is answered with its sequence number."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from fleet.devices.mqtt.firmware_messages import firmware_message
from fleet.devices.mqtt.messages import Ack, command_message, down_topic, setpoint_message, setpoint_topic
from fleet.models import CommandKind
from fleet.operations.commands import CommandOutcome, DueCommand

logger = logging.getLogger(__name__)

ANSWER_TIMEOUT_S = 5.0
# the commands of docs/asyncapi.yaml
COMMANDS = frozenset(
    {
        CommandKind.REMOTE_START,
        CommandKind.REMOTE_STOP,
        CommandKind.TRIGGER,
        CommandKind.RESET,
        CommandKind.COMPOSITE_SCHEDULE,
        CommandKind.GET_LOG,
    }
)


class MqttDriver:
    """Publishes commands and waits for their acknowledgements. Lives on one event loop.

    Args:
        publish: sends a payload to a topic, retained or not; False while there is no broker.
    """

    def __init__(self, publish: Callable[[str, bytes, bool], bool]) -> None:
        self._publish = publish
        self._waiting: dict[tuple[str, int], asyncio.Future[Ack]] = {}

    def answered(self, identity: str, ack: Ack) -> None:
        """A device has acknowledged something; nobody may be waiting for it any longer."""
        future = self._waiting.get((identity, ack.sequence))
        if future is not None and not future.done():
            future.set_result(ack)

    async def deliver(self, command: DueCommand) -> CommandOutcome | None:
        """Send a command and wait for the device's word. None if none came: the command is tried again."""
        if command.kind == CommandKind.SET_POWER:
            return await self.set_power(command)
        if command.kind == CommandKind.UPDATE_FIRMWARE:
            offer = firmware_message(
                sequence=command.sequence, valid_until=command.valid_until, parameters=command.parameters
            )
            return await self._send(command, down_topic(command.charger_identity, "firmware"), offer, retain=False)
        if command.kind not in COMMANDS:
            now = datetime.now(UTC)
            reason = f"A charger on MQTT knows no {command.kind}."
            return CommandOutcome(command.command_id, False, now, now, {}, reason)
        payload = command_message(
            sequence=command.sequence,
            command=command.kind,
            evse=command.evse_number,
            valid_until=command.valid_until,
            parameters={**command.parameters, "session_id": command.transaction_id},
        )
        return await self._send(command, down_topic(command.charger_identity, "command"), payload, retain=False)

    async def set_power(self, command: DueCommand) -> CommandOutcome | None:
        """Send a schedule (kW, + into the car), within the limits of the EVSE; only a car that may discharge is asked to."""
        least_kw = -command.max_discharge_kw if command.bidirectional else 0.0
        payload = setpoint_message(
            sequence=command.sequence,
            evse=command.evse_number,
            session_id=command.transaction_id,
            starts_at=command.starts_at,
            valid_until=command.valid_until,
            offset_s=command.offset_s,
            power_kw=[min(max(power, least_kw), command.max_charge_kw) for power in command.power_kw],
            fail_safe_kw=command.fail_safe_kw,
        )
        topic = setpoint_topic(command.charger_identity, command.evse_number)
        return await self._send(command, topic, payload, retain=True)

    async def _send(self, command: DueCommand, topic: str, payload: bytes, *, retain: bool) -> CommandOutcome | None:
        key = (command.charger_identity, command.sequence)
        future = self._waiting[key] = asyncio.get_running_loop().create_future()
        try:
            sent_at = datetime.now(UTC)
            if not self._publish(topic, payload, retain):
                return None
            ack = await asyncio.wait_for(future, ANSWER_TIMEOUT_S)
        except TimeoutError:
            logger.warning("%s did not answer %s %d", command.charger_identity, command.kind, command.sequence)
            return None
        finally:
            self._waiting.pop(key, None)
        answer = {"at": ack.at.isoformat()}
        return CommandOutcome(command.command_id, ack.accepted, sent_at, datetime.now(UTC), answer, ack.reason)
