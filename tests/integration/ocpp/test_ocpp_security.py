"""Security profiles over real TLS: who is let in with what, certificates asked for over OCPP, and no way back down."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from common.errors import Conflict, InvalidInput
from fleet.core.certificates import Authority
from fleet.devices.ocpp.encryption import EncryptionFiles, renew_certificate, server_context
from fleet.models import CertificateState, Charger, DeviceCommand, StationCertificate, StationEvent
from fleet.operations.authority import (
    KeyExposed,
    create_authority,
    issue_server_certificate,
    key_text,
    load_authority,
    renew_server_certificate,
    write_secret,
)
from fleet.operations.certificates import (
    issue_station_certificate,
    renew_expiring_certificates,
    revoke_certificates,
    sign_waiting_requests,
)
from fleet.operations.station_access import set_security_profile
from fleet.operations.station_commands import order_command
from tests.integration.ocpp.support import Background, RawStation, RunningGateway, eventually, make_place, utc_text

PASSPHRASE = "for the test"
NAMES = ["127.0.0.1", "localhost"]


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    folder = tmp_path / "certificates"
    create_authority(directory=folder, organisation="Test operator", passphrase=PASSPHRASE, now=now())
    issue_server_certificate(directory=folder, passphrase=PASSPHRASE, names=NAMES, now=now())
    return folder


@pytest.fixture
def authority(directory: Path) -> Authority:
    return load_authority(directory=directory, passphrase=PASSPHRASE)


@pytest.fixture
def secure(background: Background, directory: Path) -> Iterator[RunningGateway]:
    running = RunningGateway(encryption=EncryptionFiles.of(directory), allow_no_password=True)
    yield running
    running.stop()


def station_context(directory: Path, *certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(directory / "ca.pem"))
    for file in certificate:
        context.load_cert_chain(file)
    return context


def status_of(background: Background, attempt: Callable[[], object]) -> int:
    with pytest.raises(InvalidStatus) as refused:
        attempt()
    return refused.value.response.status_code


def signing_request(identity: str, key: ec.EllipticCurvePrivateKey) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, identity)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def test_each_profile_lets_in_what_it_asks_for_and_none_goes_back_down(
    background: Background, secure: RunningGateway, directory: Path, authority: Authority, tmp_path: Path
) -> None:
    make_place("CP-1", "ocpp2.0.1")

    def come(
        url: str, encryption: ssl.SSLContext | None = None, password: str | None = "correct-horse-battery"
    ) -> None:
        station = background.run(RawStation.connect(url, "CP-1", "ocpp2.0.1", password=password, encryption=encryption))
        background.run(station.close())

    # without a password only where that is the station's profile and the gateway serves it
    assert status_of(background, lambda: come(secure.url, password=None)) == 401
    set_security_profile(identity="CP-1", security_profile=0)
    come(secure.url, password=None)
    come(secure.url)
    assert Charger.objects.get().security_profile == 1
    assert status_of(background, lambda: come(secure.url, password=None)) == 401

    plain_tls = station_context(directory)
    assert status_of(background, lambda: come(secure.encrypted_url, plain_tls, password="guess")) == 401
    come(secure.encrypted_url, plain_tls)
    assert Charger.objects.get().security_profile == 2
    assert status_of(background, lambda: come(secure.url)) == 403

    key, certificate = issue_station_certificate(identity="CP-1", authority=authority, now=now())
    own = tmp_path / "station.pem"
    write_secret(own, key + certificate)
    mutual = station_context(directory, own)
    come(secure.encrypted_url, mutual, password=None)
    assert Charger.objects.get().security_profile == 3
    assert status_of(background, lambda: come(secure.encrypted_url, plain_tls)) == 403

    # a certificate lets in its own station only, and not for ever
    make_place("CP-2", "ocpp2.0.1")

    def come_as_another() -> None:
        background.run(RawStation.connect(secure.encrypted_url, "CP-2", "ocpp2.0.1", password=None, encryption=mutual))

    assert status_of(background, come_as_another) == 403
    assert revoke_certificates(identity="CP-1", reason="lost", now=now()) == 1
    assert status_of(background, lambda: come(secure.encrypted_url, mutual, password=None)) == 403


def test_a_certificate_of_another_authority_ends_the_handshake(
    background: Background, secure: RunningGateway, directory: Path, tmp_path: Path
) -> None:
    make_place("CP-1", "ocpp2.0.1")
    other = tmp_path / "other"
    stranger = create_authority(directory=other, organisation="Stranger", passphrase="", now=now())
    key, certificate = issue_station_certificate(identity="CP-1", authority=stranger, now=now())
    write_secret(tmp_path / "forged.pem", key + certificate)
    context = station_context(directory, tmp_path / "forged.pem")

    async def attempt() -> None:
        station = await RawStation.connect(secure.encrypted_url, "CP-1", "ocpp2.0.1", password=None, encryption=context)
        await station.call("Heartbeat", {})

    # TLS 1.3 tells the client only when it reads
    with pytest.raises((OSError, EOFError, ConnectionClosed, InvalidMessage, TimeoutError)) as refused:
        background.run(attempt())
    assert not isinstance(refused.value, TimeoutError)
    assert Charger.objects.get().security_profile == 1


@pytest.mark.parametrize("protocol", ["ocpp1.6", "ocpp2.0.1", "ocpp2.1"])
def test_a_station_asks_for_a_certificate_and_comes_back_with_it(
    background: Background,
    secure: RunningGateway,
    directory: Path,
    authority: Authority,
    tmp_path: Path,
    protocol: str,
) -> None:
    place = make_place("CP-1", protocol)
    station = background.run(
        RawStation.connect(secure.encrypted_url, place.identity, protocol, encryption=station_context(directory))
    )
    accepted = {"status": "Accepted"}
    station.answers["CertificateSigned"] = lambda payload: accepted
    key = ec.generate_private_key(ec.SECP256R1())
    request = {"csr": signing_request("CP-1", key)}
    # told twice, it is one request
    assert background.run(station.call("SignCertificate", request)) == accepted
    assert background.run(station.call("SignCertificate", request)) == accepted
    assert StationCertificate.objects.count() == 1
    assert sign_waiting_requests(authority=authority, now=now()) == 1
    signed = background.run(station.next_call("CertificateSigned"))
    eventually(lambda: StationCertificate.objects.filter(state=CertificateState.INSTALLED).exists())

    own = tmp_path / "station.pem"
    write_secret(own, key_text(key, "") + signed["certificateChain"])
    context = station_context(directory, own)
    again = background.run(
        RawStation.connect(secure.encrypted_url, "CP-1", protocol, password=None, encryption=context)
    )
    assert background.run(again.call("Heartbeat", {}))["currentTime"]
    assert Charger.objects.get().security_profile == 3

    # in time before it ends the station is asked to ask again, once a day
    eventually(lambda: Charger.objects.exclude(gateway_identity="").exists())
    later = now() + timedelta(days=340)
    assert renew_expiring_certificates(now=now()) == 0
    assert renew_expiring_certificates(now=later) == 1
    assert renew_expiring_certificates(now=later) == 0
    asked = DeviceCommand.objects.get(kind="trigger")
    assert asked.parameters["message"] == "SignChargingStationCertificate"
    DeviceCommand.objects.update(valid_until=now() + timedelta(minutes=1), starts_at=now() - timedelta(minutes=1))
    action = "ExtendedTriggerMessage" if protocol == "ocpp1.6" else "TriggerMessage"
    wanted = "SignChargePointCertificate" if protocol == "ocpp1.6" else "SignChargingStationCertificate"
    assert background.run(again.next_call(action)) == {"requestedMessage": wanted}


def test_requests_that_cannot_be_signed_are_refused(
    background: Background, secure: RunningGateway, directory: Path, authority: Authority
) -> None:
    make_place("CP-1", "ocpp2.0.1")
    station = background.run(RawStation.connect(secure.url, "CP-1", "ocpp2.0.1"))
    key = ec.generate_private_key(ec.SECP256R1())
    weak = ec.generate_private_key(ec.SECP192R1())
    for csr in (signing_request("CP-2", key), signing_request("CP-1", weak), "no request at all"):
        assert background.run(station.call("SignCertificate", {"csr": csr})) == {"status": "Accepted"}
    vehicle = {"csr": signing_request("CP-1", key), "certificateType": "V2GCertificate"}
    assert background.run(station.call("SignCertificate", vehicle)) == {"status": "Rejected"}
    assert sign_waiting_requests(authority=authority, now=now()) == 0
    reasons = list(StationCertificate.objects.order_by("pk").values_list("state", "reason"))
    assert [state for state, _ in reasons] == ["refused"] * 3
    assert "common name" in reasons[0][1] and "curve" in reasons[1][1] and "signing request" in reasons[2][1]


def test_a_new_password_lets_in_beside_the_old_one_until_it_is_used(
    background: Background, secure: RunningGateway
) -> None:
    place = make_place("CP-1", "ocpp1.6")
    station = background.run(RawStation.connect(secure.url, "CP-1", "ocpp1.6"))
    station.answers["ChangeConfiguration"] = lambda payload: {"status": "Accepted"}
    order_command(identity="CP-1", kind="new_password", parameters={}, requested_by="operator", now=now())
    told = background.run(station.next_call("ChangeConfiguration"))
    assert told["key"] == "AuthorizationKey" and 16 <= len(told["value"]) <= 40
    eventually(lambda: DeviceCommand.objects.filter(kind="new_password", state="confirmed").exists())
    command = DeviceCommand.objects.get(kind="new_password")
    assert told["value"] not in f"{command.parameters} {command.answer}"
    background.run(RawStation.connect(secure.url, "CP-1", "ocpp1.6"))
    background.run(RawStation.connect(secure.url, "CP-1", "ocpp1.6", password=told["value"]))
    assert Charger.objects.get(identity=place.identity).next_password_hash == ""
    assert status_of(background, lambda: background.run(RawStation.connect(secure.url, "CP-1", "ocpp1.6"))) == 401


@pytest.mark.parametrize("protocol", ["ocpp1.6", "ocpp2.0.1"])
def test_security_events_are_kept_once(background: Background, secure: RunningGateway, protocol: str) -> None:
    make_place("CP-1", protocol)
    station = background.run(RawStation.connect(secure.url, "CP-1", protocol))
    event = {"type": "TamperDetectionActivated", "timestamp": utc_text(now()), "techInfo": "door"}
    for _ in range(2):
        assert background.run(station.call("SecurityEventNotification", event)) == {}
    kept = StationEvent.objects.get()
    assert (kept.kind, kept.name, kept.detail) == ("security", "TamperDetectionActivated", "door")


def test_what_we_are_no_authority_for_is_answered_so(background: Background, secure: RunningGateway) -> None:
    make_place("CP-1", "ocpp2.0.1")
    station = background.run(RawStation.connect(secure.url, "CP-1", "ocpp2.0.1"))
    hashed = {
        "hashAlgorithm": "SHA256",
        "issuerNameHash": "0a",
        "issuerKeyHash": "0b",
        "serialNumber": "1",
        "responderURL": "http://ocsp.example",
    }
    status = background.run(station.call("GetCertificateStatus", {"ocspRequestData": hashed}))
    assert status == {"status": "Failed"}
    contract = {"iso15118SchemaVersion": "urn:iso:15118:2:2013:MsgDef", "action": "Install", "exiRequest": "AA=="}
    assert background.run(station.call("Get15118EVCertificate", contract))["status"] == "Failed"


def test_roots_are_installed_listed_and_deleted(
    background: Background, secure: RunningGateway, directory: Path
) -> None:
    make_place("CP-1", "ocpp2.0.1")
    station = background.run(RawStation.connect(secure.url, "CP-1", "ocpp2.0.1"))
    for action in ("InstallCertificate", "DeleteCertificate"):
        station.answers[action] = lambda payload: {"status": "Accepted"}
    root = (directory / "ca.pem").read_text()
    arguments = {"identity": "CP-1", "requested_by": "operator", "now": now()}
    order_command(
        kind="install_certificate", parameters={"use": "CSMSRootCertificate", "certificate": root}, **arguments
    )
    told = background.run(station.next_call("InstallCertificate"))
    assert told == {"certificateType": "CSMSRootCertificate", "certificate": root}
    names = {"hash_algorithm": "SHA256", "issuer_name_hash": "aa", "issuer_key_hash": "bb", "serial_number": "1f"}
    order_command(kind="delete_certificate", parameters=names, **arguments)
    assert background.run(station.next_call("DeleteCertificate"))["certificateHashData"]["serialNumber"] == "1f"
    with pytest.raises(InvalidInput) as refused:
        order_command(kind="install_certificate", parameters={"use": "Other", "certificate": root}, **arguments)
    assert refused.value.field == "parameters.use"


def test_keys_that_others_can_read_are_refused(directory: Path) -> None:
    with pytest.raises(Conflict):
        create_authority(directory=directory, organisation="Again", passphrase="", now=now())
    with pytest.raises(InvalidInput):
        load_authority(directory=directory, passphrase="wrong")
    for name in ("ca.key", "server.pem"):
        assert (directory / name).stat().st_mode & 0o077 == 0
        (directory / name).chmod(0o644)
    with pytest.raises(KeyExposed):
        load_authority(directory=directory, passphrase=PASSPHRASE)
    with pytest.raises(KeyExposed):
        server_context(EncryptionFiles.of(directory))


def test_the_server_certificate_is_renewed_in_its_last_month_for_the_same_names(directory: Path) -> None:
    def shown() -> x509.Certificate:
        return x509.load_pem_x509_certificate((directory / "server.pem").read_bytes())

    first = shown()
    given = {"directory": directory, "passphrase": PASSPHRASE}
    assert not renew_server_certificate(**given, now=now() + timedelta(days=330))
    assert renew_server_certificate(**given, now=now() + timedelta(days=340))
    names = [each.extensions.get_extension_for_class(x509.SubjectAlternativeName).value for each in (first, shown())]
    assert names[0] == names[1] and shown().not_valid_after_utc > first.not_valid_after_utc + timedelta(days=300)
    assert not renew_server_certificate(directory=directory / "nowhere", passphrase="", now=now())


def test_a_renewed_server_certificate_is_taken_up_without_a_restart(directory: Path) -> None:
    files = EncryptionFiles.of(directory)
    context = server_context(files)

    async def shown() -> int:
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=station_context(directory))
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        server.close()
        return x509.load_der_x509_certificate(der).serial_number

    async def story() -> None:
        before = await shown()
        looking = asyncio.create_task(renew_certificate(context, files, every_s=0.02))
        await asyncio.sleep(0.05)
        renewed = issue_server_certificate(directory=directory, passphrase=PASSPHRASE, names=NAMES, now=now())
        async with asyncio.timeout(20):
            while await shown() == before:
                await asyncio.sleep(0.05)
        assert await shown() == renewed.serial_number
        looking.cancel()

    asyncio.run(story())
