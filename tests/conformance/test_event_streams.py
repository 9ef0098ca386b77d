"""Periodic event streams (OCPP 2.1, N11 to N15): asked for by an operator, streamed in SEND frames, stored as readings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fleet.models import ChargingSession, DeviceCommand, EventStream, Reading, StationVariable, VariableMonitor
from fleet.operations.station_commands import order_command
from tests.conformance.twin_station import FAIL_SAFE_KW, TwinStation, now, probed_twin
from tests.integration.ocpp.support import Background, Place, RunningGateway, eventually, make_place


@pytest.fixture
def place(background: Background) -> Place:
    return make_place("CP-STREAM", "ocpp2.1", fail_safe_kw=FAIL_SAFE_KW)


@pytest.fixture
def twin(place: Place, background: Background, gateway: RunningGateway) -> Iterator[TwinStation]:
    with probed_twin(place, gateway, background) as station:
        station.do("plug_in", car="EV")
        eventually(lambda: ChargingSession.objects.filter(ended_at=None).exists())
        # what the transaction itself reports must not be taken for what the stream does
        station.client.station.sample_interval_s = 0
        yield station


def order(place: Place, kind: str, **parameters: Any) -> DeviceCommand:
    number = order_command(
        identity=place.identity, kind=kind, parameters=parameters, requested_by="operator", now=now()
    )
    eventually(lambda: DeviceCommand.objects.get(pk=number).state not in ("queued", "sent"))
    return DeviceCommand.objects.get(pk=number)


def stream(place: Place, variable: str) -> EventStream:
    done = order(
        place,
        "set_monitor",
        variable=variable,
        type="Periodic",
        value=0.25,
        severity=8,
        stream_interval_s=5,
        stream_values=2,
    )
    assert done.state == "confirmed"
    name = variable.rpartition(".")[2]
    monitor = eventually(lambda: VariableMonitor.objects.filter(name=name).first())
    return eventually(lambda: EventStream.objects.filter(monitor_id=monitor.monitor_id).first())


def test_power_and_charge_are_streamed_into_readings(twin: TwinStation, place: Place) -> None:
    power, charge = stream(place, "EVSE@1.Power"), stream(place, "ConnectedEV@1.StateOfCharge")
    assert (power.interval_s, power.values_per_message) == (5, 2)
    since = now()
    later = Reading.objects.filter(asset_id=place.asset_id, measured_at__gt=since)
    eventually(lambda: later.filter(power_kw__range=(4.9, 5.1)).count() >= 4)
    eventually(lambda: later.filter(soc_fraction__range=(0.49, 0.6), power_kw=None).count() >= 4)
    value = StationVariable.objects.get(component="EVSE", name="Power").value
    assert float(value) == pytest.approx(5000.0, abs=100)
    power.refresh_from_db()
    assert power.received >= 4 and power.last_value_at is not None
    charge.refresh_from_db()
    assert charge.received >= 4


def test_a_stream_is_adjusted_listed_and_closed(twin: TwinStation, place: Place) -> None:
    opened = stream(place, "EVSE@1.Power")
    eventually(lambda: EventStream.objects.get().received > 0)
    assert order(place, "adjust_stream", stream_id=opened.stream_id, stream_values=50).state == "confirmed"
    eventually(lambda: EventStream.objects.get().values_per_message == 50)
    assert order(place, "adjust_stream", stream_id=99, stream_values=5).state == "refused"
    EventStream.objects.update(closed_at=now())  # as if the platform had missed that it is open
    order(place, "list_streams")
    eventually(lambda: EventStream.objects.get().closed_at is None)
    order(place, "clear_monitors", monitor_ids=[opened.monitor_id])
    eventually(lambda: EventStream.objects.get().closed_at is not None)


def test_a_stream_goes_on_after_the_connection_was_lost(twin: TwinStation, place: Place) -> None:
    stream(place, "EVSE@1.Power")
    eventually(lambda: EventStream.objects.get().received > 0)
    twin.background.run(twin.client.cut())
    eventually(lambda: twin.do("show")["connections"] == 2)
    since = now()
    eventually(lambda: EventStream.objects.get().last_value_at > since)
