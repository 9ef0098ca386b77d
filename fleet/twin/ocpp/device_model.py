"""Monitors, messages, network connections and customers' data of a station of 2.x."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING

from fleet.twin.ocpp.profile_wire import write_instant
from fleet.twin.ocpp.security import check_profile
from fleet.twin.ocpp.settings import Setting, SettingRefused

if TYPE_CHECKING:
    from fleet.twin.ocpp.dialect_201 import Dialect201

ACCEPTED = {"status": "Accepted"}
LONGEST_PART = 512
Handler = Callable[[dict], dict]
_THRESHOLDS = ("UpperThreshold", "LowerThreshold", "Delta")


class DeviceModelCalls:
    """The calls of 2.x that 1.6 does not have."""

    def __init__(self, dialect: Dialect201) -> None:
        self.dialect = dialect
        self.station = dialect.station
        self.monitors: dict[int, dict] = {}
        self.messages: dict[int, dict] = {}
        self.severity = 9
        self._ids, self._events = count(1), count(1)

    def table(self) -> dict[str, Handler]:
        """The handlers by action."""
        return {
            "ClearDisplayMessage": self.clear_message,
            "ClearVariableMonitoring": self.clear_monitors,
            "CustomerInformation": self.customer_information,
            "GetDisplayMessages": self.get_messages,
            "GetMonitoringReport": self.monitoring_report,
            "GetReport": self.get_report,
            "SetDisplayMessage": self.set_message,
            "SetMonitoringBase": self.monitoring_base,
            "SetMonitoringLevel": self.monitoring_level,
            "SetNetworkProfile": self.network_profile,
            "SetVariableMonitoring": self.set_monitors,
        }

    def _own_time(self) -> str:
        return write_instant(self.station.own_time(self.dialect.now()))

    # monitors

    def next_id(self) -> int:
        """A number for a monitor that no other has."""
        return next(self._ids)

    def set_monitors(self, payload: dict) -> dict:
        """Watch variables; a delta or threshold on what is no number is refused."""
        return {"setMonitoringResult": [self._set_monitor(each) for each in payload["setMonitoringData"]]}

    def _set_monitor(self, asked: dict) -> dict:
        component, name = asked["component"]["name"], asked["variable"]["name"]
        setting = self.dialect.settings.get(name, component)
        answer = {
            "type": asked["type"],
            "severity": asked["severity"],
            "component": asked["component"],
            "variable": asked["variable"],
        }
        if setting is None:
            known = component in self.dialect.settings.components()
            return {**answer, "status": "UnknownVariable" if known else "UnknownComponent"}
        if asked["type"] in _THRESHOLDS and setting.data_type != "integer":
            return {**answer, "status": "UnsupportedMonitorType"}
        number = asked.get("id")
        number = self.next_id() if number is None else number
        self.monitors[number] = {**asked, "id": number}
        return {**answer, "id": number, "status": "Accepted"}

    def clear_monitors(self, payload: dict) -> dict:
        """Watch no more."""
        results = []
        for number in payload["id"]:
            known = self.monitors.pop(number, None) is not None
            results.append({"id": number, "status": "Accepted" if known else "NotFound"})
        return {"clearMonitoringResult": results}

    def monitoring_base(self, payload: dict) -> dict:
        """Only those of the operator's own making exist here: a factory's set is empty."""
        if payload["monitoringBase"] != "All":
            self.monitors.clear()
        return ACCEPTED

    def monitoring_level(self, payload: dict) -> dict:
        """Report what is at least so severe."""
        self.severity = payload["severity"]
        return ACCEPTED

    def monitoring_report(self, payload: dict) -> dict:
        """Report all monitors, one message each."""
        if not self.monitors:
            return {"status": "EmptyResultSet"}
        monitors = list(self.monitors.values())
        for number, each in enumerate(monitors):
            monitoring = {
                "id": each["id"],
                "transaction": each.get("transaction", False),
                "value": each["value"],
                "type": each["type"],
                "severity": each["severity"],
            }
            report = {
                "requestId": payload["requestId"],
                "seqNo": number,
                "generatedAt": self._own_time(),
                "tbc": number + 1 < len(monitors),
                "monitor": [
                    {
                        "component": each["component"],
                        "variable": each["variable"],
                        "variableMonitoring": [monitoring | self.dialect.monitor_kind()],
                    }
                ],
            }
            self.dialect.requested.append(("NotifyMonitoringReport", report))
        return ACCEPTED

    def watch(self, setting: Setting, value: str) -> None:
        """A setting is about to change: tell where a monitor says so."""
        for each in self.monitors.values():
            same = (each["component"]["name"], each["variable"]["name"]) == (setting.component, setting.name)
            if not same or each["severity"] > self.severity or not _crossed(each, setting.value, value):
                continue
            event = {
                "eventId": next(self._events),
                "timestamp": self._own_time(),
                "trigger": "Delta" if each["type"] == "Delta" else "Alerting",
                "actualValue": value,
                "eventNotificationType": "CustomMonitor",
                "variableMonitoringId": each["id"],
                "component": each["component"],
                "variable": each["variable"],
            }
            payload = {"generatedAt": self._own_time(), "seqNo": 0, "tbc": False, "eventData": [event]}
            self.dialect.requested.append(("NotifyEvent", payload))

    def get_report(self, payload: dict) -> dict:
        """Components in trouble: connectors that are faulted."""
        criteria = payload.get("componentCriteria", [])
        faulted = [evse for evse in self.station.evses.values() if evse.faulted]
        if "Problem" not in criteria or not faulted:
            return {"status": "EmptyResultSet"}
        data = [
            {
                "component": {"name": "Connector", "evse": {"id": evse.number, "connectorId": 1}},
                "variable": {"name": "Problem"},
                "variableAttribute": [{"value": "true", "mutability": "ReadOnly"}],
                "variableCharacteristics": {"dataType": "boolean", "supportsMonitoring": False},
            }
            for evse in faulted
        ]
        report = {
            "requestId": payload["requestId"],
            "generatedAt": self._own_time(),
            "seqNo": 0,
            "tbc": False,
            "reportData": data,
        }
        self.dialect.requested.append(("NotifyReport", report))
        return ACCEPTED

    # messages

    def set_message(self, payload: dict) -> dict:
        """Show a message, in place of one of the same number."""
        message = payload["message"]
        transaction_id = message.get("transactionId")
        if transaction_id is not None and self.station.evse_of(transaction_id) is None:
            return {"status": "UnknownTransaction"}
        self.messages[message["id"]] = message
        return ACCEPTED

    def get_messages(self, payload: dict) -> dict:
        """Tell what is shown."""
        if not self.messages:
            return {"status": "Unknown"}
        told = {"requestId": payload["requestId"], "tbc": False, "messageInfo": list(self.messages.values())}
        self.dialect.requested.append(("NotifyDisplayMessages", told))
        return ACCEPTED

    def clear_message(self, payload: dict) -> dict:
        """Show it no more."""
        return {"status": "Accepted" if self.messages.pop(payload["id"], None) else "Unknown"}

    # customers and the network

    def customer_information(self, payload: dict) -> dict:
        """What is kept of a customer: a place on the local list, and transactions that go on. Erased where asked."""
        token = payload.get("idToken", {}).get("idToken", "")
        known = []
        if token in self.dialect.local_list:
            known.append(f"local list: {token} {self.dialect.local_list[token]}")
        known += [
            f"transaction {evse.transaction.wire_id} since {write_instant(evse.transaction.started_at)}"
            for evse in self.station.evses.values()
            if evse.transaction is not None and evse.transaction.id_token == token
        ]
        if payload["clear"]:
            self.dialect.local_list.pop(token, None)
        text = "; ".join(known) if payload["report"] else ""
        parts = [text[first : first + LONGEST_PART] for first in range(0, len(text), LONGEST_PART)] or [""]
        for number, part in enumerate(parts):
            told = {
                "data": part,
                "seqNo": number,
                "generatedAt": self._own_time(),
                "requestId": payload["requestId"],
                "tbc": number + 1 < len(parts),
            }
            self.dialect.requested.append(("NotifyCustomerInformation", told))
        return ACCEPTED

    def network_profile(self, payload: dict) -> dict:
        """Keep a connection for later: it is used when the order of priority names it and the station starts again."""
        try:
            check_profile(self.dialect, payload["connectionData"]["securityProfile"])
        except SettingRefused:
            return {"status": "Rejected"}
        self.dialect.network_profiles[payload["configurationSlot"]] = payload["connectionData"]
        return ACCEPTED


def _crossed(monitor: dict, before: str, after: str) -> bool:
    kind, value = monitor["type"], monitor["value"]
    if kind not in _THRESHOLDS:
        return False
    old, new = float(before), float(after)
    if kind == "UpperThreshold":
        return old <= value < new
    if kind == "LowerThreshold":
        return new < value <= old
    return abs(new - old) >= value
