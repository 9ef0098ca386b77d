"""New firmware over a real broker: in chunks or by address, resumed where it stopped, verified, and rolled back aloud."""

from __future__ import annotations

import http.server
import secrets
import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.conf import settings
from django.core.management import call_command

from common.errors import InvalidInput
from fleet.devices.mqtt.firmware_messages import CHUNK_BYTES
from fleet.models import Charger, CommandState, DeviceCommand, FirmwareImage, StationTransfer
from fleet.operations.assets import NotRegistered
from fleet.operations.commands import queue_command
from fleet.operations.firmware import WrongFirmware, offer_firmware, sign_firmware, store_firmware
from fleet.twin.mqtt import firmware
from fleet.twin.mqtt.client import ChargerClient, Setpoint
from fleet.twin.mqtt.firmware import FirmwareUpdate
from tests.conftest import BrokerAccess
from tests.integration.fleet.fleets import make_charger
from tests.integration.fleet.loops import eventually
from tests.integration.fleet.mqtt_stage import PASSWORD, Stage, numbers

pytestmark = pytest.mark.django_db(transaction=True)
KEY = Ed25519PrivateKey.generate()
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
IMAGE = secrets.token_bytes(5 * CHUNK_BYTES + 123)


class Box:
    """A charger's hardware with nothing but firmware."""

    def __init__(self) -> None:
        self.version, self.installed = "1.0.0", b""

    def describe(self) -> Mapping[str, Any]:
        return {"vendor": "Maker", "model": "Box", "serial_number": "7", "firmware_version": self.version}

    def connectors(self) -> Sequence[Mapping[str, Any]]:
        return []

    def take_setpoint(self, setpoint: Setpoint) -> str:
        return ""

    def take_command(self, command: str, evse: int, parameters: Mapping[str, Any]) -> str:
        return ""

    def take_receipt(self, session_id: str, accepted: bool, reason: str) -> None:
        return None

    def install_firmware(self, image: Path, version: str) -> str:
        content = image.read_bytes()
        if content.startswith(b"BROKEN"):
            return "the self-test failed"
        self.version, self.installed = version, content
        return ""


class Device:
    """A charger that takes firmware; `lose_chunk` is one that does not arrive."""

    def __init__(self, stage: Stage, folder: Path, identity: str = "") -> None:
        self.box, self.identity = Box(), identity or f"MF-{next(numbers):04d}"
        if not identity:
            make_charger(identity=self.identity, password=PASSWORD)
            stage.broker.add_device(self.identity, PASSWORD)
        self.said: list[Mapping[str, Any]] = []
        self.asked: list[int] = []
        self.stop_after: int | None = None
        self.client = ChargerClient(
            identity=self.identity, password=PASSWORD, broker_url=settings.MQTT_URL, hardware=self.box
        )
        key = KEY.public_key().public_bytes_raw()
        self.client.firmware = FirmwareUpdate(hardware=self.box, maker_key=key, folder=folder, say=self._say)
        self.client.start()
        eventually(lambda: Charger.objects.get(identity=self.identity).firmware_version)

    def _say(self, kind: str, content: Mapping[str, Any]) -> None:
        if kind == "firmware":
            self.said.append(content)
        if kind == "chunk":
            self.asked.append(content["offset_bytes"])
            if self.stop_after is not None and len(self.asked) > self.stop_after:
                return
        self.client.say(kind, content)

    @property
    def states(self) -> list[str]:
        return [str(content["state"]) for content in self.said]


@pytest.fixture
def stage(db: None, mqtt_broker: BrokerAccess) -> Iterator[Stage]:
    stage = Stage(mqtt_broker)
    yield stage
    stage.close()


def release(version: str, content: bytes = IMAGE, *, url: str = "") -> None:
    signature, public_key = sign_firmware(
        vendor="Maker", model="Box", version=version, content=content, private_key_pem=PEM
    )
    arguments: dict[str, Any] = {"vendor": "Maker", "model": "Box", "version": version, "content": content, "url": url}
    store_firmware(**arguments, signature=signature, public_key=public_key, now=datetime.now(UTC))


def offer(device: Device, version: str, **options: Any) -> int:
    return offer_firmware(charger_identity=device.identity, version=version, now=datetime.now(UTC), **options)


def transfer() -> StationTransfer:
    return StationTransfer.objects.latest("began_at")


def test_firmware_comes_in_chunks_is_verified_installed_and_reported(stage: Stage, tmp_path: Path) -> None:
    release("2.0.0")
    device = Device(stage, tmp_path)
    command = offer(device, "2.0.0")
    eventually(lambda: device.box.version == "2.0.0")
    assert device.box.installed == IMAGE
    assert device.states == ["downloading", "downloaded", "verified", "installing", "installed"]
    assert device.asked == [i * CHUNK_BYTES for i in range(6)]
    eventually(lambda: transfer().status == "Installed" and transfer().ended_at)
    eventually(lambda: Charger.objects.get().firmware_version == "2.0.0")
    assert DeviceCommand.objects.get(pk=command).state == CommandState.CONFIRMED
    device.client.stop()


def test_a_download_goes_on_where_it_stopped_after_restarts_of_charger_and_gateway(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firmware, "ASK_AGAIN", timedelta(seconds=2))
    release("2.0.0")
    device = Device(stage, tmp_path)
    device.stop_after = 2
    offer(device, "2.0.0")
    eventually(lambda: len(device.asked) == 3)
    device.client.stop()
    stage.stop_gateway()
    stage.stop_gateway = stage.start_gateway()
    again = Device(stage, tmp_path, device.identity)
    # as a charger does every second: a request that fell between two gateways is made again
    eventually(lambda: again.client.tick(datetime.now(UTC)) or again.box.version == "2.0.0", within_s=30)
    assert again.box.installed == IMAGE
    assert again.asked[0] == 2 * CHUNK_BYTES
    again.client.stop()


def test_firmware_that_does_not_come_up_is_rolled_back_and_said_so(stage: Stage, tmp_path: Path) -> None:
    release("3.0.0", b"BROKEN" + IMAGE[:2000])
    device = Device(stage, tmp_path)
    offer(device, "3.0.0")
    eventually(lambda: device.states[-1:] == ["rolled_back"])
    eventually(lambda: transfer().ended_at)
    assert (transfer().status, transfer().detail) == (
        "InstallationFailed",
        "rolled back to 1.0.0: the self-test failed",
    )
    assert device.box.version == "1.0.0"
    device.client.stop()


@pytest.mark.parametrize("change", ["signature", "content"])
def test_firmware_that_is_not_the_makers_is_never_installed(stage: Stage, tmp_path: Path, change: str) -> None:
    release("2.0.0")
    if change == "signature":  # somebody has taken over the platform, but not the maker's key
        forged = Ed25519PrivateKey.generate().sign(b"anything")
        FirmwareImage.objects.update(signature=b64encode(forged).decode())
    else:
        FirmwareImage.objects.update(content=bytes(len(IMAGE)))
    device = Device(stage, tmp_path)
    offer(device, "2.0.0")
    eventually(lambda: device.states[-1:] == ["rejected"])
    eventually(lambda: transfer().status == "InvalidSignature")
    assert device.box.version == "1.0.0"
    assert not list(tmp_path.iterdir())
    device.client.stop()


def test_firmware_by_address_is_resumed_with_a_range(stage: Stage, tmp_path: Path) -> None:
    ranges: list[str] = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            ranges.append(self.headers["Range"])
            begin = int(ranges[-1].removeprefix("bytes=").rstrip("-"))
            cut = len(ranges) == 1  # the first connection breaks in the middle
            self.send_response(206)
            self.send_header("Content-Length", str(len(IMAGE) - begin))
            self.end_headers()
            self.wfile.write(IMAGE[begin : begin + 30_000] if cut else IMAGE[begin:])

        def log_message(self, *_: object) -> None:
            return None

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    release("2.1.0", url=f"http://127.0.0.1:{server.server_port}/image")
    device = Device(stage, tmp_path)
    offer(device, "2.1.0")
    eventually(lambda: _tick(device) or device.box.version == "2.1.0")
    assert device.box.installed == IMAGE
    assert ranges[-1] == "bytes=30000-"
    device.client.stop()
    server.shutdown()


def _tick(device: Device) -> None:
    assert device.client.firmware is not None
    device.client.firmware.tick(datetime.now(UTC) + timedelta(minutes=1))


def test_it_waits_for_the_time_of_installation(stage: Stage, tmp_path: Path) -> None:
    release("2.0.0")
    device = Device(stage, tmp_path)
    offer(device, "2.0.0", install_at=datetime.now(UTC) + timedelta(hours=1))
    eventually(lambda: device.states[-1:] == ["verified"])
    assert device.box.version == "1.0.0"
    assert device.client.firmware is not None
    device.client.firmware.tick(datetime.now(UTC) + timedelta(hours=2))
    assert device.box.version == "2.0.0"
    device.client.stop()


def test_what_is_not_proven_or_not_for_it_is_refused_before_it_is_offered(stage: Stage, tmp_path: Path) -> None:
    signature, public_key = sign_firmware(vendor="Maker", model="Box", version="9", content=IMAGE, private_key_pem=PEM)
    whole: dict[str, Any] = {"vendor": "Maker", "model": "Box", "version": "9", "content": IMAGE, "url": ""}
    proof: dict[str, Any] = {"signature": signature, "public_key": public_key, "now": datetime.now(UTC)}
    for change in ({"model": "Other"}, {"version": "10"}, {"content": IMAGE + b"x"}, {"signature": "AA=="}):
        with pytest.raises(InvalidInput, match="signature"):
            store_firmware(**{**whole, **proof, **change})
    assert store_firmware(**whole, **proof) == store_firmware(**whole, **proof)
    make_charger(identity="MF-X", password=PASSWORD)
    with pytest.raises(NotRegistered, match="There is no '9'"):
        offer_firmware(charger_identity="MF-X", version="9", now=datetime.now(UTC))
    make_charger(identity="CP-X", password=PASSWORD, protocol="ocpp2.0.1")
    with pytest.raises(WrongFirmware, match="OCPP"):
        offer_firmware(charger_identity="CP-X", version="9", now=datetime.now(UTC))


def test_a_charger_asks_the_time_and_a_command_that_it_cannot_know_is_refused(stage: Stage, tmp_path: Path) -> None:
    device = Device(stage, tmp_path)
    error_s = eventually(lambda: device.client.clock_error_s is not None and (device.client.clock_error_s,))[0]
    assert abs(error_s) < 2
    now = datetime.now(UTC)
    command = queue_command(
        asset_id=Charger.objects.get().evses.get().asset_id,
        kind="unlock",
        parameters={},
        now=now,
        valid_until=now + timedelta(minutes=1),
    )
    eventually(lambda: DeviceCommand.objects.get(pk=command).state == CommandState.REFUSED)
    assert "knows no unlock" in DeviceCommand.objects.get(pk=command).answer["reason"]
    device.client.stop()


def test_the_commands_sign_store_and_offer(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(PEM)
    (tmp_path / "image").write_bytes(IMAGE)
    device = Device(stage, tmp_path / "device")
    about = ["--vendor=Maker", "--model=Box", "--firmware-version=2.0.0", f"--file={tmp_path / 'image'}"]
    out = StringIO()
    call_command("sign_firmware", *about, f"--key={tmp_path / 'key.pem'}", stdout=out)
    told = dict(line.split(": ", 1) for line in out.getvalue().splitlines())
    proof = [f"--signature={told['signature']}", f"--public-key={told['public_key']}"]
    call_command("store_firmware", *about, *proof, stdout=StringIO())
    offered = [f"--charger={device.identity}", "--firmware-version=2.0.0"]
    call_command("offer_firmware", *offered, stdout=StringIO())
    eventually(lambda: device.box.version == "2.0.0")
    device.client.stop()
