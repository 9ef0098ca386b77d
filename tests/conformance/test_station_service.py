"""What operators ask of stations, the same for every version of OCPP: the twin against the real gateway and PostgreSQL.

Logs and firmware travel over HTTP; certificates and security profiles over TLS with an authority of the test's own.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from fleet.core.certificates import pem_of
from fleet.devices.ocpp.encryption import EncryptionFiles
from fleet.models import (
    Charger,
    ChargingSession,
    Connector,
    DeviceCommand,
    IdToken,
    Reservation,
    StationCertificate,
    StationEvent,
    StationReport,
    StationTransfer,
    StationVariable,
    VariableMonitor,
)
from fleet.operations.authority import create_authority, issue_server_certificate, load_authority
from fleet.operations.certificates import sign_waiting_requests
from fleet.operations.local_lists import send_local_list
from fleet.operations.reservations import cancel_reservation, reserve
from fleet.operations.station_commands import order_command
from fleet.twin.faults import Fault
from tests.conformance.service_stage import FileServer, Station, now
from tests.conformance.signing import self_signed
from tests.integration.ocpp.support import Background, Place, RunningGateway, eventually, make_place

VERSIONS = ["ocpp1.6", "ocpp2.0.1", "ocpp2.1"]


@pytest.fixture
def files() -> Iterator[str]:
    FileServer.files = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), FileServer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    create_authority(directory=tmp_path / "ca", organisation="Test operator", passphrase="", now=now())
    issue_server_certificate(directory=tmp_path / "ca", passphrase="", names=["127.0.0.1"], now=now())
    return tmp_path / "ca"


@pytest.fixture
def secure(background: Background, directory: Path) -> Iterator[RunningGateway]:
    running = RunningGateway(encryption=EncryptionFiles.of(directory))
    yield running
    running.stop()


@pytest.fixture(params=VERSIONS)
def place(request: pytest.FixtureRequest, background: Background) -> Place:
    return make_place(f"CP-{request.param}", request.param, fail_safe_kw=5.0)


@pytest.fixture
def station(place: Place, gateway: RunningGateway, background: Background) -> Iterator[Station]:
    running = Station(place, gateway, background)
    yield running
    running.stop()


def test_settings_are_read_written_and_reported(station: Station) -> None:
    interval = "HeartbeatInterval" if station.old else "OCPPCommCtrlr.HeartbeatInterval"
    station.order("read_variables", variables=[interval])
    variable = StationVariable.objects.get(name="HeartbeatInterval")
    assert variable.value == "300"
    station.order("write_variable", variable=interval, value="120")
    assert StationVariable.objects.get(name="HeartbeatInterval").value == "120"
    refused = station.order("write_variable", variable=interval, value="soon", state="refused")
    assert "Rejected" in refused.answer["reason"]
    station.order("base_report")
    if not station.old:
        eventually(lambda: StationReport.objects.filter(action="NotifyReport", complete=True).exists())
    password = "AuthorizationKey" if station.old else "BasicAuthPassword"
    hidden = StationVariable.objects.get(name=password)
    assert hidden.value == "" and StationVariable.objects.count() > 20


def test_a_new_password_is_taken(station: Station) -> None:
    before = Charger.objects.get().password_hash
    station.order("new_password")
    station.background.run(station.client.cut())
    eventually(lambda: Charger.objects.get().password_hash != before)
    eventually(lambda: station.client.connections == 2)


def test_availability_unlocking_and_triggers(station: Station) -> None:
    station.order("availability", operative=False, evse=1)
    eventually(lambda: Connector.objects.filter(status="Unavailable").exists())
    station.order("availability", operative=True)
    eventually(lambda: Connector.objects.filter(status="Available").exists())
    station.order("unlock", evse=1)
    station.order("clear_cache")
    booted_at = Charger.objects.get().booted_at
    station.order("trigger", message="BootNotification")
    eventually(lambda: Charger.objects.get().booted_at > booted_at)
    station.order("reset", type="hard")
    eventually(lambda: station.client.connections == 2)


def test_the_local_list_is_sent_whole_and_then_by_its_changes(station: Station) -> None:
    IdToken.objects.create(token="T-GUEST")
    own = station.place.id_token
    identity = station.place.identity
    station.answered(send_local_list(identity=identity, tokens=[own, "T-GUEST"], now=now()) or 0)
    assert station.dialect.local_list == {own: "Accepted", "T-GUEST": "Accepted"}
    assert Charger.objects.get().local_list_version == 1
    assert send_local_list(identity=identity, tokens=[own, "T-GUEST"], now=now()) is None
    IdToken.objects.filter(token=own).update(blocked=True)
    command = station.answered(send_local_list(identity=identity, tokens=[own], now=now()) or 0)
    assert command.parameters["mode"] == "differential"
    assert station.dialect.local_list == {own: "Blocked"}
    # a station that has lost its list, or got a newer one elsewhere, is sent all of it
    station.dialect.local_list_version = 40
    station.order("local_list_version")
    assert Charger.objects.get().local_list_version == 0
    station.answered(send_local_list(identity=identity, tokens=["T-GUEST"], now=now()) or 0)
    assert station.dialect.local_list == {"T-GUEST": "Accepted"}


def test_an_evse_is_reserved_kept_used_and_given_up(station: Station) -> None:
    place = station.place
    arguments: dict[str, Any] = {"identity": place.identity, "evse_number": 1, "requested_by": "operator"}
    number = reserve(**arguments, id_token=place.id_token, expires_at=now() + timedelta(hours=1), now=now())
    eventually(lambda: Reservation.objects.get(pk=number).state == "active")
    eventually(lambda: Connector.objects.filter(status="Reserved").exists())
    station.do("plug_in", car="OTHER")
    eventually(lambda: Connector.objects.filter(status="Occupied").exists())
    assert not ChargingSession.objects.exists()
    station.do("unplug", car="OTHER")
    station.do("plug_in", car="EV")
    eventually(lambda: ChargingSession.objects.filter(ended_at=None).exists())
    eventually(lambda: Reservation.objects.get(pk=number).state == "used")
    station.do("unplug", car="EV")
    eventually(lambda: Connector.objects.filter(status="Available").exists())

    number = reserve(**arguments, id_token="T-OTHER", expires_at=now() + timedelta(hours=1), now=now())
    eventually(lambda: Reservation.objects.get(pk=number).state == "active")
    cancel_reservation(reservation_id=number, requested_by="operator", now=now())
    eventually(lambda: Reservation.objects.get(pk=number).state == "cancelled")
    eventually(lambda: Connector.objects.filter(status="Available").exists())
    if not station.old:
        number = reserve(**arguments, id_token="T-OTHER", expires_at=now() + timedelta(seconds=1), now=now())
        eventually(lambda: Reservation.objects.get(pk=number).state == "expired")


def test_logs_are_sent(station: Station, files: str) -> None:
    command = station.order("get_log", log="DiagnosticsLog", location=f"{files}/logs")
    eventually(lambda: StationTransfer.objects.filter(kind="log", status="Uploaded").exists())
    transfer = StationTransfer.objects.get()
    assert transfer.ended_at is not None and transfer.command_id == command.pk
    assert b"StatusNotification" in FileServer.files[f"/logs/{station.place.identity}-DiagnosticsLog.log"]
    station.order("get_log", log="SecurityLog", location="http://127.0.0.1:1/nowhere")
    eventually(lambda: StationTransfer.objects.filter(status="UploadFailure", ended_at__isnull=False).exists())
    if station.old:
        station.order("get_diagnostics", location=files)
        eventually(lambda: StationTransfer.objects.filter(kind="log", status="Uploaded").count() == 2)


def test_firmware_is_fetched_checked_and_installed(station: Station, files: str, directory: Path) -> None:
    firmware = b"2.0.0\nthe new firmware"
    FileServer.files["/firmware"] = firmware
    station.order("update_firmware", location=f"{files}/firmware")
    eventually(lambda: StationTransfer.objects.filter(kind="firmware", status="Installed").exists())
    eventually(lambda: Charger.objects.get().firmware_version == "2.0.0")
    eventually(lambda: StationEvent.objects.filter(name="FirmwareUpdated").exists())

    key = ec.generate_private_key(ec.SECP256R1())
    certificate = self_signed(key, now())
    signature = base64.b64encode(key.sign(firmware, ec.ECDSA(hashes.SHA256()))).decode()
    signed = {"location": f"{files}/firmware", "signing_certificate": certificate, "signature": signature}
    eventually(lambda: station.client.station.online and not station.dialect.boot_due)
    station.order("update_firmware", **signed)
    eventually(lambda: StationTransfer.objects.filter(status="Installed").count() == 2)
    FileServer.files["/firmware"] = b"6.6.6\nnot what was signed"
    eventually(lambda: station.client.station.online and not station.dialect.boot_due)
    station.order("update_firmware", **signed)
    eventually(lambda: StationTransfer.objects.filter(status="InvalidSignature").exists())
    eventually(lambda: StationEvent.objects.filter(name="InvalidFirmwareSignature").exists())
    station.order("update_firmware", location=f"{files}/missing")
    eventually(lambda: StationTransfer.objects.filter(status="DownloadFailed").exists())
    station.do("fault", fault=Fault.FAIL_FIRMWARE)
    station.order("update_firmware", location=f"{files}/firmware")
    eventually(lambda: StationTransfer.objects.filter(status="InstallationFailed").exists())
    assert Charger.objects.get().firmware_version == "2.0.0"


def test_roots_are_installed_listed_and_deleted(station: Station, directory: Path) -> None:
    root = (directory / "ca.pem").read_text()
    station.order("install_certificate", use="CSMSRootCertificate", certificate=root)
    command = station.order("list_certificates", use="CSMSRootCertificate")
    listed = command.answer.get("certificateHashData") or [
        each["certificateHashData"] for each in command.answer["certificateHashDataChain"]
    ]
    assert len(listed) == 1 and StationReport.objects.get().complete
    names = {
        "hash_algorithm": listed[0]["hashAlgorithm"],
        "issuer_name_hash": listed[0]["issuerNameHash"],
        "issuer_key_hash": listed[0]["issuerKeyHash"],
        "serial_number": listed[0]["serialNumber"],
    }
    station.order("delete_certificate", **names)
    assert station.order("list_certificates", use="CSMSRootCertificate").answer["status"] == "NotFound"


@pytest.mark.parametrize("protocol", VERSIONS)
def test_a_station_rises_through_the_security_profiles(
    background: Background, secure: RunningGateway, directory: Path, protocol: str
) -> None:
    place = make_place("CP-1", protocol)
    station = Station(place, secure, background)
    authority = load_authority(directory=directory, passphrase="")
    root = pem_of(authority.certificate)

    def rise(profile: int) -> str:
        """What stands in the way, or nothing."""
        if station.old:
            command_id = order_command(
                identity="CP-1",
                kind="write_variable",
                parameters={"variable": "SecurityProfile", "value": str(profile)},
                requested_by="operator",
                now=now(),
            )
        else:
            command_id = order_command(
                identity="CP-1",
                kind="network_profile",
                parameters={"slot": profile, "url": secure.encrypted_url, "security_profile": profile},
                requested_by="operator",
                now=now(),
            )
        rows = DeviceCommand.objects.filter(pk=command_id)
        eventually(lambda: rows.exclude(state__in=("queued", "sent")).exists())
        if rows.get().state == "refused":
            return str(rows.get().answer["reason"])
        if not station.old:
            order = {"variable": "OCPPCommCtrlr.NetworkConfigurationPriority", "value": str(profile)}
            station.order("write_variable", **order)
            station.order("reset", type="hard")
        eventually(lambda: Charger.objects.get().security_profile == profile)
        eventually(lambda: Charger.objects.exclude(gateway_identity="").exists())
        return ""

    assert "Rejected" in rise(2)  # it has no root to know us by
    station.order("install_certificate", use="CSMSRootCertificate", certificate=root)
    assert rise(2) == ""
    assert "Rejected" in rise(3)  # it has no certificate of its own
    station.order("trigger", message="SignChargingStationCertificate")
    eventually(lambda: StationCertificate.objects.filter(state="requested").exists())
    assert sign_waiting_requests(authority=authority, now=now()) == 1
    eventually(lambda: StationCertificate.objects.filter(state="installed").exists())
    assert rise(3) == ""
    assert "Rejected" in rise(1)  # and never back
    station.stop()


@pytest.fixture(params=["ocpp2.0.1", "ocpp2.1"])
def newer(request: pytest.FixtureRequest, background: Background, gateway: RunningGateway) -> Iterator[Station]:
    place = make_place(f"CP-{request.param}", request.param, fail_safe_kw=5.0)
    running = Station(place, gateway, background)
    yield running
    running.stop()


def test_variables_are_monitored(newer: Station) -> None:
    watched = {"variable": "OCPPCommCtrlr.HeartbeatInterval", "severity": 4}
    newer.order("set_monitor", type="UpperThreshold", value=500, **watched)
    monitor = VariableMonitor.objects.get()
    assert (monitor.component, monitor.name, monitor.value) == ("OCPPCommCtrlr", "HeartbeatInterval", 500.0)
    newer.order("write_variable", variable=watched["variable"], value="600")
    event = eventually(lambda: StationEvent.objects.filter(kind="monitoring").first())
    assert (event.name, event.value) == ("OCPPCommCtrlr.HeartbeatInterval", "600")
    newer.order("monitoring_report")
    eventually(lambda: StationReport.objects.filter(action="NotifyMonitoringReport", complete=True).exists())
    refused = newer.order("set_monitor", variable="Nobody.Knows", type="Delta", value=1, severity=1, state="refused")
    assert "UnknownComponent" in refused.answer["reason"]
    newer.order("clear_monitors", monitor_ids=[monitor.monitor_id])
    assert not VariableMonitor.objects.exists()
    newer.order("monitoring_level", severity=2)
    newer.order("monitoring_base", base="HardWiredOnly")


def test_messages_are_shown_and_customers_data_reported_and_erased(newer: Station) -> None:
    newer.order("show_message", message_id=7, text="Closed on Sunday", language="en")
    newer.order("list_messages")
    told = eventually(lambda: StationReport.objects.filter(action="NotifyDisplayMessages", complete=True).first())
    assert told.parts["0"]["messageInfo"][0]["message"]["content"] == "Closed on Sunday"
    newer.order("clear_message", message_id=7)
    assert "Unknown" in newer.order("clear_message", message_id=7, state="refused").answer["reason"]

    own = newer.place.id_token
    newer.answered(send_local_list(identity=newer.place.identity, tokens=[own], now=now()) or 0)
    newer.order("customer_information", report=True, erase=True, id_token=own)
    report = eventually(lambda: StationReport.objects.filter(action="NotifyCustomerInformation", complete=True).first())
    assert own in report.parts["0"]["data"]
    assert newer.dialect.local_list == {}


def test_the_cost_so_far_is_shown(newer: Station) -> None:
    Charger.objects.update(energy_price_per_kwh="100")
    newer.background.run(newer.client.cut())
    eventually(lambda: newer.client.connections == 2)
    newer.do("plug_in", car="EV")
    session = eventually(lambda: ChargingSession.objects.filter(ended_at=None).first())
    eventually(lambda: newer.dialect.shown_cost.get(session.transaction_id, 0) > 0)
    newer.order("cost_update", total_cost=12.5, evse=1)
    newer.order("transaction_status", transaction_id=session.transaction_id)
    newer.order("list_profiles")
    eventually(lambda: StationReport.objects.filter(action="ReportChargingProfiles", complete=True).exists())
    newer.order("clear_profiles", evse=1)
    newer.do("unplug", car="EV")
    eventually(lambda: ChargingSession.objects.filter(pk=session.pk, ended_at__isnull=False).exists())
    ended = ChargingSession.objects.get(pk=session.pk)
    cost = 100 * (ended.meter_stop_kwh - ended.meter_start_kwh)
    eventually(lambda: newer.dialect.shown_cost[session.transaction_id] == pytest.approx(cost, abs=1e-3))
