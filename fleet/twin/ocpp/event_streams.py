"""Periodic event streams on the side of a station (OCPP 2.1): measured values of monitored variables, in SEND frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from common.units import kw_to_watts
from fleet.twin.evse import SimulatedEvse
from fleet.twin.ocpp.device_model import DeviceModelCalls
from fleet.twin.ocpp.profile_wire import write_instant

if TYPE_CHECKING:
    from fleet.twin.ocpp.dialect import Message
    from fleet.twin.ocpp.dialect_201 import Dialect201

MOST_KEPT = 500
# what an EVSE measures by component and variable; None where there is nothing to measure
_MEASURED: dict[tuple[str, str], Callable[[SimulatedEvse], float | None]] = {
    ("EVSE", "Power"): lambda evse: round(kw_to_watts(evse.power_kw), 1),
    ("ConnectedEV", "StateOfCharge"): lambda evse: None if evse.car is None else round(100 * evse.car.soc_fraction, 3),
}


@dataclass(slots=True)
class Stream:
    """One stream. It samples every `sample_s` and sends when `values` have come together, or `interval_s` is over."""

    monitor_id: int
    measure: Callable[[], float | None]
    sample_s: float
    interval_s: float
    values: int
    open: bool = False
    sampled_at: datetime | None = None
    sent_at: datetime | None = None
    kept: list[tuple[datetime, str]] = field(default_factory=list)

    @property
    def parameters(self) -> dict:
        """As the standard names them."""
        return {"interval": round(self.interval_s), "values": self.values}


class EventStreams:
    """The streams of a station, and the calls that concern them. Monitors of other kinds are the device model's."""

    def __init__(self, dialect: Dialect201, monitors: DeviceModelCalls) -> None:
        self.dialect = dialect
        self._monitors = monitors
        self._streams: dict[int, Stream] = {}
        dialect.station.notices.samplers.append(self.sample)

    def table(self) -> dict[str, Callable[[dict], dict]]:
        """The handlers by action."""
        return {
            "SetVariableMonitoring": self.set_monitors,
            "ClearVariableMonitoring": self.clear_monitors,
            "GetPeriodicEventStream": self.get_streams,
            "AdjustPeriodicEventStream": self.adjust_stream,
        }

    def set_monitors(self, payload: dict) -> dict:
        """Monitors with a stream of what an EVSE measures; any other as in 2.0.1."""
        results = []
        for asked in payload["setMonitoringData"]:
            evse = self.dialect.station.evses.get(asked["component"].get("evse", {}).get("id", 0))
            measure = _MEASURED.get((asked["component"]["name"], asked["variable"]["name"]))
            if "periodicEventStream" not in asked or evse is None or measure is None:
                results += self._monitors.set_monitors({"setMonitoringData": [asked]})["setMonitoringResult"]
                continue
            number = asked.get("id")
            number = self._monitors.next_id() if number is None else number
            self._monitors.monitors[number] = {**asked, "id": number}
            parameters = asked["periodicEventStream"]
            self._streams[number] = Stream(
                monitor_id=number,
                measure=lambda evse=evse, measure=measure: measure(evse),  # type: ignore[misc]
                sample_s=float(asked["value"]),
                interval_s=parameters.get("interval", 60),
                values=parameters.get("values", MOST_KEPT),
            )
            described = {key: asked[key] for key in ("type", "severity", "component", "variable")}
            results.append({**described, "id": number, "status": "Accepted"})
            opened = {"id": number, "params": self._streams[number].parameters, "variableMonitoringId": number}
            self.dialect.requested.append(("OpenPeriodicEventStream", {"constantStreamData": opened}))
        return {"setMonitoringResult": results}

    def clear_monitors(self, payload: dict) -> dict:
        """Without its monitor a stream is over."""
        for number in payload["id"]:
            if self._streams.pop(number, None) is not None:
                self.dialect.requested.append(("ClosePeriodicEventStream", {"id": number}))
        return self._monitors.clear_monitors(payload)

    def get_streams(self, payload: dict) -> dict:
        """The streams that are open."""
        listed = [
            {"id": number, "params": stream.parameters, "variableMonitoringId": stream.monitor_id}
            for number, stream in self._streams.items()
            if stream.open
        ]
        return {"constantStreamData": listed} if listed else {}

    def adjust_stream(self, payload: dict) -> dict:
        """Send more or less often."""
        stream = self._streams.get(payload["id"])
        if stream is None:
            return {"status": "Rejected", "statusInfo": {"reasonCode": "NotFound"}}
        stream.interval_s = payload["params"].get("interval", stream.interval_s)
        stream.values = payload["params"].get("values", stream.values)
        return {"status": "Accepted"}

    def told(self, message: Message, answer: dict | None) -> None:
        """A stream is open once the central system has accepted it."""
        action, payload = message
        if action == "OpenPeriodicEventStream" and answer is not None and answer["status"] == "Accepted":
            stream = self._streams.get(payload["constantStreamData"]["id"])
            if stream is not None:
                stream.open = True

    def sample(self, own: datetime) -> None:
        """Note values, and send those that have come together."""
        for number, stream in self._streams.items():
            if not stream.open:
                continue
            stream.sent_at = stream.sent_at or own
            if stream.sampled_at is None or (own - stream.sampled_at).total_seconds() >= stream.sample_s:
                value = stream.measure()
                stream.sampled_at = own
                if value is not None:
                    stream.kept = [*stream.kept, (own, str(value))][-MOST_KEPT:]
            waited = own - stream.sent_at >= timedelta(seconds=stream.interval_s)
            if stream.kept and self.dialect.station.online and (waited or len(stream.kept) >= stream.values):
                self._send(number, stream, own)

    def _send(self, number: int, stream: Stream, own: datetime) -> None:
        first = stream.kept[0][0]
        now, later = stream.kept[: stream.values], stream.kept[stream.values :]
        data = [{"t": round((at - first).total_seconds(), 3), "v": value} for at, value in now]
        payload = {"id": number, "pending": len(later), "basetime": write_instant(first), "data": data}
        self.dialect.streamed.append(("NotifyPeriodicEventStream", payload))
        stream.kept, stream.sent_at = later, own
        self.dialect.station.on_work()
