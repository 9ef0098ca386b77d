"""Stations built on a client library that we did not write (PyPI `ocpp`) run real sessions against the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
import websockets
from ocpp.routing import on
from ocpp.v16 import ChargePoint as ChargePoint16
from ocpp.v16 import call as call16
from ocpp.v16 import call_result as result16
from ocpp.v21 import ChargePoint as ChargePoint21
from ocpp.v21 import call as call21
from ocpp.v21 import call_result as result21
from ocpp.v201 import ChargePoint as ChargePoint201
from ocpp.v201 import call as call201
from ocpp.v201 import call_result as result201
from websockets.exceptions import ConnectionClosed

from fleet.models import ChargingSession, DeviceCommand, Reading
from fleet.operations.commands import PowerSchedule, queue_schedules
from tests.integration.ocpp.support import (
    Background,
    Place,
    RunningGateway,
    credentials,
    eventually,
    make_place,
    now,
    utc_text,
)


class Post16(ChargePoint16):
    """A charge point of 1.6 that does as it is told."""

    profiles: list[dict[str, Any]]

    @on("SetChargingProfile")
    def on_set_charging_profile(self, connector_id: int, cs_charging_profiles: dict[str, Any]) -> Any:
        self.profiles.append(cs_charging_profiles)
        return result16.SetChargingProfile(status="Accepted")

    @on("GetConfiguration")
    def on_get_configuration(self, **asked: Any) -> Any:
        return result16.GetConfiguration(unknown_key=asked.get("key"))


class Post201(ChargePoint201):
    """A charging station of 2.0.1."""

    profiles: list[dict[str, Any]]

    @on("SetChargingProfile")
    def on_set_charging_profile(self, evse_id: int, charging_profile: dict[str, Any]) -> Any:
        self.profiles.append(charging_profile)
        return result201.SetChargingProfile(status="Accepted")


class Post21(ChargePoint21):
    """A charging station of 2.1."""

    profiles: list[dict[str, Any]]

    @on("SetChargingProfile")
    def on_set_charging_profile(self, evse_id: int, charging_profile: dict[str, Any]) -> Any:
        self.profiles.append(charging_profile)
        return result21.SetChargingProfile(status="Accepted")

    @on("NotifyAllowedEnergyTransfer")
    def on_notify_allowed_energy_transfer(self, **told: Any) -> Any:
        return result21.NotifyAllowedEnergyTransfer(status="Accepted")


async def open_post(post: type, url: str, place: Place) -> Any:
    socket = await websockets.connect(
        f"{url}/{place.identity}",
        subprotocols=[websockets.Subprotocol(place.protocol)],
        additional_headers=credentials(place.identity),
    )
    station = post(place.identity, socket)
    station.profiles = []
    station.reading = asyncio.create_task(read(station))
    return station


async def read(station: Any) -> None:
    with suppress(ConnectionClosed):
        await station.start()


@pytest.fixture
def open_station(background: Background, gateway: RunningGateway) -> Callable[[type, Place], Any]:
    return lambda post, place: background.run(open_post(post, gateway.url, place))


def order(place: Place, power_kw: float) -> None:
    instant = now()
    queue_schedules(
        schedules=[
            PowerSchedule(place.asset_id, instant, (0.0, 60.0), (power_kw, 6.0), instant + timedelta(minutes=5))
        ],
        now=instant,
    )
    eventually(lambda: DeviceCommand.objects.filter(asset_id=place.asset_id, state="confirmed").exists())


def test_1_6_client_charges(background: Background, open_station: Callable[[type, Place], Any]) -> None:
    place = make_place("CP-16", "ocpp1.6")
    station = open_station(Post16, place)
    booted = background.run(station.call(call16.BootNotification("Post", "Maker")))
    assert booted.status == "Accepted"
    eventually(lambda: station.profiles)
    background.run(station.call(call16.StatusNotification(connector_id=1, error_code="NoError", status="Preparing")))
    started = background.run(
        station.call(
            call16.StartTransaction(connector_id=1, id_tag=place.id_token, meter_start=0, timestamp=utc_text(now()))
        )
    )
    assert started.id_tag_info["status"] == "Accepted"
    order(place, 9.0)
    profile = station.profiles[-1]
    assert profile["transaction_id"] == started.transaction_id
    assert profile["charging_schedule"]["charging_schedule_period"][0]["limit"] == 9000.0
    sample = {"value": "9000", "measurand": "Power.Active.Import", "unit": "W"}
    values = [{"timestamp": utc_text(now()), "sampled_value": [sample]}]
    background.run(
        station.call(call16.MeterValues(connector_id=1, meter_value=values, transaction_id=started.transaction_id))
    )
    assert Reading.objects.filter(asset_id=place.asset_id, power_kw=9.0).exists()
    background.run(
        station.call(
            call16.StopTransaction(meter_stop=500, timestamp=utc_text(now()), transaction_id=started.transaction_id)
        )
    )
    assert ChargingSession.objects.get().meter_stop_kwh == 0.5


@pytest.mark.parametrize(("post", "call", "protocol"), [(Post201, call201, "ocpp2.0.1"), (Post21, call21, "ocpp2.1")])
def test_2_x_client_charges(
    background: Background, open_station: Callable[[type, Place], Any], post: type, call: Any, protocol: str
) -> None:
    place = make_place("CP-2X", protocol)
    station = open_station(post, place)
    described = {"model": "Post", "vendor_name": "Maker"}
    assert background.run(station.call(call.BootNotification(described, "PowerUp"))).status == "Accepted"
    eventually(lambda: station.profiles)
    token = {"id_token": place.id_token, "type": "ISO14443"}
    assert background.run(station.call(call.Authorize(id_token=token))).id_token_info["status"] == "Accepted"

    def event(kind: str, number: int, **more: Any) -> Any:
        return call.TransactionEvent(
            event_type=kind,
            timestamp=utc_text(now()),
            trigger_reason="MeterValuePeriodic",
            seq_no=number,
            transaction_info={"transaction_id": "TX-LIB"},
            evse={"id": 1},
            **more,
        )

    shown = background.run(station.call(event("Started", 0, id_token=token)))
    assert shown.id_token_info["status"] == "Accepted"
    two_way = protocol == "ocpp2.1"
    if two_way:
        needs = {
            "requested_energy_transfer": "DC_BPT",
            "v2x_charging_parameters": {"max_charge_power": 11000, "max_discharge_power": 10000},
        }
        answer = background.run(
            station.call(call.NotifyEVChargingNeeds(evse_id=1, charging_needs=needs), suppress=False)
        )
        assert answer.status == "Accepted"
        assert ChargingSession.objects.get().bidirectional
    order(place, -8.0 if two_way else 8.0)
    period = station.profiles[-1]["charging_schedule"][0]["charging_schedule_period"][0]
    assert (period["setpoint"] if two_way else period["limit"]) == (-8000.0 if two_way else 8000.0)
    background.run(station.call(event("Ended", 1)))
    assert ChargingSession.objects.get(transaction_id="TX-LIB").ended_at is not None
