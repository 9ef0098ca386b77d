"""Devices in the books: which asset an EVSE is, who is there, and what becomes of sessions."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db import transaction

from fleet.devices.mqtt.messages import Birth, ConnectorState, SessionEvent, Status, receipt_message
from fleet.operations.sessions import SessionStarted, end_session, start_session, update_session
from fleet.operations.stations import (
    accept_boot,
    mark_connected,
    mark_disconnected,
    record_connector_status,
    record_heartbeats,
)
from fleet.queries.mqtt_devices import MqttDevice, mqtt_devices

if TYPE_CHECKING:
    from fleet.devices.mqtt.ingest import Answers

logger = logging.getLogger(__name__)

# A device that was registered, or given an EVSE, a minute ago is known.
DIRECTORY_S = 60.0
UNKNOWN_S = 5.0
HEARTBEAT_EVERY = timedelta(seconds=30)


class DeviceDirectory:
    """The registered devices, as far as they have spoken, read again every minute."""

    def __init__(self) -> None:
        self._devices: dict[str, tuple[float, MqttDevice | None]] = {}

    def load(self, identities: Collection[str], *, now: float) -> None:
        """Make sure that what is known of these is recent. `now` is any clock of seconds."""
        stale = [identity for identity in identities if self._is_stale(identity, now)]
        if stale:
            found = mqtt_devices(stale)
            self._devices |= {identity: (now, found.get(identity)) for identity in stale}

    def _is_stale(self, identity: str, now: float) -> bool:
        loaded_at, device = self._devices.get(identity, (float("-inf"), None))
        return now - loaded_at > (UNKNOWN_S if device is None else DIRECTORY_S)

    def knows(self, identity: str) -> bool:
        """Whether the device is registered."""
        return self._devices[identity][1] is not None

    def asset_id(self, identity: str, evse: int) -> int | None:
        """The asset of a device's EVSE; None if it has no such EVSE."""
        device = self._devices[identity][1]
        return None if device is None else device.asset_ids.get(evse)


class StationBook:
    """Applies what devices say to the platform's operations, each change once."""

    def __init__(self, *, gateway_identity: str, answers: Answers) -> None:
        self._gateway = gateway_identity
        self._answers = answers
        self._online: dict[str, bool] = {}
        self._connectors: dict[tuple[str, int, int], ConnectorState] = {}
        self._spoke: set[str] = set()
        self._presence_at: datetime | None = None

    def seen(self, identity: str, *, online: bool, retained: bool) -> None:
        """A device has spoken."""
        if online and not retained:
            self._spoke.add(identity)

    def record_presence(self, now: datetime) -> None:
        """Note twice a minute who has spoken."""
        if self._presence_at is None:
            self._presence_at = now
        if self._spoke and now - self._presence_at >= HEARTBEAT_EVERY:
            record_heartbeats(identities=self._spoke, now=now)
            self._spoke.clear()
            self._presence_at = now

    def birth(self, identity: str, birth: Birth, now: datetime) -> None:
        """A device has started."""
        accept_boot(
            identity=identity,
            vendor=birth.vendor,
            model=birth.model,
            serial_number=birth.serial_number,
            firmware_version=birth.firmware_version,
            now=now,
        )
        self._set_online(identity, True, now)

    def status(self, identity: str, status: Status, *, retained: bool, now: datetime) -> None:
        """A device is there or gone, with the state of its connectors."""
        self.seen(identity, online=status.online, retained=retained)
        self._set_online(identity, status.online, now)
        for connector in status.connectors:
            key = (identity, connector.evse, connector.connector)
            if self._connectors.get(key) != connector:
                record_connector_status(
                    identity=identity,
                    evse_number=connector.evse,
                    connector_number=connector.connector,
                    status=connector.status,
                    detail=connector.detail,
                    at=min(status.at or now, now),
                )
                self._connectors[key] = connector

    def _set_online(self, identity: str, online: bool, now: datetime) -> None:
        if self._online.get(identity) == online:
            return
        if online:
            mark_connected(identity=identity, gateway_identity=self._gateway, now=now)
        else:
            mark_disconnected(identity=identity, gateway_identity=self._gateway, now=now)
        logger.info("%s is %s", identity, "there" if online else "gone")
        self._online[identity] = online

    def session(self, identity: str, event: SessionEvent, now: datetime) -> None:
        """Something happened in a session; the device may forget it once the receipt has come."""
        self.seen(identity, online=True, retained=False)
        with transaction.atomic():  # planning never sees a session without what its car can do
            started = self._record(identity, event, now)
        if event.event == "ended":
            self._answers.clear_setpoint(identity, event.evse)
        receipt = receipt_message(
            session_id=event.session_id, sequence=event.sequence, accepted=started.accepted, reason=started.reason
        )
        self._answers.tell(identity, "receipt", receipt)

    def _record(self, identity: str, event: SessionEvent, now: datetime) -> SessionStarted:
        started = start_session(
            identity=identity,
            evse_number=event.evse,
            transaction_id=event.session_id,
            id_token=event.id_token,
            started_at=event.started_at,
            meter_start_kwh=event.meter_start_kwh,
            sequence_number=event.sequence,
            now=now,
        )
        if event.event == "ended":
            end_session(
                identity=identity,
                transaction_id=event.session_id,
                ended_at=event.at,
                meter_stop_kwh=event.meter_stop_kwh,
                stop_reason=event.reason,
                sequence_number=event.sequence,
                now=now,
            )
        else:
            self._update(identity, event, started, now)
        return started

    @staticmethod
    def _update(identity: str, event: SessionEvent, started: SessionStarted, now: datetime) -> None:
        discharge_kw = event.max_discharge_kw
        update_session(
            identity=identity,
            transaction_id=event.session_id,
            sequence_number=event.sequence,
            soc_fraction=event.soc_fraction,
            energy_needed_kwh=event.energy_needed_kwh,
            max_charge_kw=event.max_charge_kw,
            max_discharge_kw=discharge_kw,
            bidirectional=None if discharge_kw is None else started.may_discharge and discharge_kw > 0,
            departure_at=event.departure_at,
            now=now,
        )
