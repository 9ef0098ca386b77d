"""Who is let in, and which socket counts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import websockets
from websockets.exceptions import InvalidStatus

from fleet.models import Charger, DeviceMessage
from tests.integration.ocpp.support import (
    Background,
    RawStation,
    RunningGateway,
    credentials,
    eventually,
    make_place,
)

Connect = Callable[..., RawStation]


def refused_status(background: Background, url: str, headers: dict[str, str]) -> websockets.http11.Response:
    async def attempt() -> websockets.http11.Response:
        with pytest.raises(InvalidStatus) as refused:
            await websockets.connect(
                url, subprotocols=[websockets.Subprotocol("ocpp2.0.1")], additional_headers=headers
            )
        return refused.value.response

    return background.run(attempt())


def test_wrong_password_is_401_and_logged_once(
    background: Background, gateway: RunningGateway, caplog: pytest.LogCaptureFixture
) -> None:
    make_place("CP-1", "ocpp2.0.1")
    for _ in range(2):
        response = refused_status(background, f"{gateway.url}/CP-1", credentials("CP-1", "guess"))
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"].startswith("Basic")
    lines = [record.getMessage() for record in caplog.records if "not let in" in record.getMessage()]
    assert len(lines) == 1 and "'CP-1'" in lines[0] and "guess" not in lines[0]


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("CP-UNKNOWN", credentials("CP-UNKNOWN"), 404),
        ("CP-1", {}, 401),
        ("CP-1", {"Authorization": "Bearer abc"}, 401),
        ("CP-1", {"Authorization": "Basic ???"}, 401),
        ("CP-1", credentials("CP-2"), 401),
        ("", credentials(""), 404),
    ],
)
def test_others_are_not_let_in(
    background: Background, gateway: RunningGateway, path: str, headers: dict[str, str], status: int
) -> None:
    make_place("CP-1", "ocpp2.0.1")
    make_place("CP-2", "ocpp2.0.1")
    assert refused_status(background, f"{gateway.url}/{path}", headers).status_code == status


def test_station_registered_for_mqtt_is_unknown_here(background: Background, gateway: RunningGateway) -> None:
    make_place("CP-1", "ocpp2.0.1")
    Charger.objects.update(protocol="mqtt")
    assert refused_status(background, f"{gateway.url}/CP-1", credentials("CP-1")).status_code == 404


@pytest.mark.parametrize("protocols", [(), ("ocpp1.5",), ("soap", "ocpp3")])
def test_without_a_common_subprotocol_the_socket_opens_and_closes(
    background: Background, connect: Connect, protocols: tuple[str, ...]
) -> None:
    make_place("CP-1", "ocpp2.0.1")
    station = connect("CP-1", *protocols)
    assert station.socket.subprotocol is None
    code, reason = background.run(station.closed())
    assert code == 1002 and "ocpp2.0.1" in reason


def test_first_subprotocol_that_we_speak_is_taken_and_remembered(background: Background, connect: Connect) -> None:
    make_place("CP-1", "ocpp1.6")
    station = connect("CP-1", "ocpp9", "ocpp2.0.1", "ocpp1.6")
    assert station.socket.subprotocol == "ocpp2.0.1"
    eventually(lambda: Charger.objects.get().protocol == "ocpp2.0.1")


def test_identity_is_the_last_part_of_the_path(background: Background, gateway: RunningGateway) -> None:
    make_place("CP:1", "ocpp2.0.1")
    station = background.run(RawStation.connect(f"{gateway.url}/steve/websocket/ocpp", "CP:1", "ocpp2.0.1"))
    assert "currentTime" in background.run(station.call("Heartbeat", {}))


def test_no_compression_is_agreed(background: Background, gateway: RunningGateway) -> None:
    make_place("CP-1", "ocpp2.0.1")

    async def connect_with_deflate() -> list[object]:
        socket = await websockets.connect(
            f"{gateway.url}/CP-1",
            subprotocols=[websockets.Subprotocol("ocpp2.0.1")],
            additional_headers=credentials("CP-1"),
        )
        return socket.protocol.extensions

    assert background.run(connect_with_deflate()) == []


def test_newest_socket_wins_and_the_old_one_does_not_take_the_station_with_it(
    background: Background, connect: Connect
) -> None:
    make_place("CP-1", "ocpp2.0.1")
    first = connect("CP-1", "ocpp2.0.1")
    background.run(first.call("Heartbeat", {}))
    second = connect("CP-1", "ocpp2.0.1")
    code, reason = background.run(first.closed())
    assert code == 1000 and "newer" in reason
    background.run(second.call("Heartbeat", {}))
    # the next message is committed after whatever the end of the first socket may have written
    background.run(second.call("Authorize", {"idToken": {"idToken": "X", "type": "Local"}}))
    charger = Charger.objects.get()
    assert charger.gateway_identity == "gateway-1"
    assert charger.evses.get().asset.connected


def test_messages_are_traced_without_tokens(background: Background, connect: Connect) -> None:
    place = make_place("CP-1", "ocpp2.0.1")
    station = connect("CP-1", "ocpp2.0.1")
    background.run(station.call("Authorize", {"idToken": {"idToken": place.id_token, "type": "Local"}}))
    rows = eventually(lambda: list(DeviceMessage.objects.filter(action="Authorize").order_by("id")))
    eventually(lambda: DeviceMessage.objects.filter(action="Authorize").count() == 2)
    rows = list(DeviceMessage.objects.filter(action="Authorize").order_by("id"))
    assert [(row.direction, row.device_identity) for row in rows] == [("in", "CP-1"), ("out", "CP-1")]
    assert rows[0].payload == {"idToken": {"idToken": "***", "type": "Local"}}
    assert rows[1].result == "Accepted" and rows[1].reply_ms > 0
