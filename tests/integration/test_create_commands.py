"""The commands that make clients, owners, vehicles, chargers and packs."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from aggregator.models import ApiClient
from fleet.models import Asset, Charger, Consent, Evse, IdToken, Inverter, Owner, Pack, Region, Site, Vehicle
from fleet.operations.assets import publish_broker_credentials, register_site
from fleet.operations.broker_access import read_password_file
from fleet.operations.secrets import verify_secret
from grid.models import Programme

pytestmark = pytest.mark.django_db


def run(command: str, *arguments: str) -> dict[str, Any]:
    out = StringIO()
    call_command(command, *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def refused(command: str, *arguments: str) -> CommandError:
    with pytest.raises(CommandError) as caught:
        call_command(command, *arguments, stdout=StringIO())
    assert caught.value.returncode == 2
    return caught.value


def test_a_first_charger_finds_an_empty_database() -> None:
    made = run("create_charger", "--identity", "CP-1", "--protocol", "ocpp2.1", "--password", "a-long-enough-password")
    charger = Charger.objects.get(identity="CP-1")
    assert charger.site.identity == made["site"] == "default"
    assert verify_secret("a-long-enough-password", charger.password_hash)
    assert "a-long-enough-password" not in charger.password_hash
    evse = Evse.objects.get(charger=charger)
    assert made["evses"] == [{"number": 1, "asset_id": evse.asset_id, "asset": "CP-1/1"}]
    assert evse.max_discharge_kw == 11.0 and evse.connectors.count() == 1
    assert Region.objects.count() == 1 and Programme.objects.filter(region__code="default").count() == 3
    run("create_charger", "--identity", "CP-2", "--protocol", "ocpp1.6")
    assert Site.objects.count() == 1 and Evse.objects.get(charger__identity="CP-2").max_discharge_kw == 0


def test_a_generated_password_is_shown_once_and_long() -> None:
    made = run("create_charger", "--identity", "CP-1", "--protocol", "ocpp2.0.1")
    assert len(made["password"]) == 32
    charger = Charger.objects.get()
    assert verify_secret(made["password"], charger.password_hash) and made["password"] not in charger.password_hash


def test_an_mqtt_charger_is_let_in_by_the_broker_once_committed(
    tmp_path: Path, settings: Any, django_capture_on_commit_callbacks: Any
) -> None:
    settings.MQTT_CREDENTIALS_FILE = str(tmp_path / "passwords")
    with django_capture_on_commit_callbacks(execute=True):
        made = run("create_charger", "--identity", "MQ-1", "--protocol", "mqtt")
        assert not (tmp_path / "passwords").exists(), "nobody is let in before the commit"
    hashes = read_password_file(tmp_path / "passwords")
    assert hashes == {"MQ-1": Charger.objects.get().password_hash}
    assert hashes["MQ-1"].startswith("$7$") and verify_secret(made["password"], hashes["MQ-1"])
    (tmp_path / "passwords").unlink()
    assert publish_broker_credentials() == 1 and read_password_file(tmp_path / "passwords") == hashes


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("--identity", "CP 1", "--protocol", "ocpp1.6"), "--identity"),
        (("--identity", "C" * 49, "--protocol", "ocpp1.6"), "--identity"),
        (("--identity", "CP-1", "--protocol", "ocpp1.6", "--password", "p" * 41), "--password"),
        (("--identity", "CP-1", "--protocol", "ocpp1.6", "--max-charge-kw", "-1"), "--max-charge-kw"),
        (("--identity", "CP-1", "--protocol", "ocpp1.6", "--min-charge-kw", "12"), "--min-charge-kw"),
        (("--identity", "CP-1", "--protocol", "ocpp1.6", "--site", "nowhere"), "--site"),
        (("--identity", "CP-1", "--protocol", "ocpp1.6", "--evses", "0"), "--evses"),
        (("--identity", "CP-1", "--protocol", "ocpp2.1", "--fail-safe-kw", "99"), "--fail-safe-kw"),
        (("--identity", "platform", "--protocol", "mqtt"), "--identity"),
    ],
)
def test_a_wrong_option_is_named_with_its_remedy_and_nothing_is_made(arguments: tuple[str, ...], option: str) -> None:
    error = refused("create_charger", *arguments)
    assert str(error).startswith(f"{option}: ")
    assert Charger.objects.count() == 0 and Asset.objects.count() == 0


def test_json_reports_errors_as_json_too() -> None:
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("create_charger", "--identity", "CP 1", "--protocol", "ocpp1.6", "--json", stdout=out)
    assert json.loads(out.getvalue())["field"] == "--identity"


def test_an_identity_is_registered_once() -> None:
    run("create_charger", "--identity", "CP-1", "--protocol", "ocpp1.6")
    error = refused("create_charger", "--identity", "CP-1", "--protocol", "ocpp2.1")
    assert "registered already" in str(error) and Charger.objects.get().protocol == "ocpp1.6"


def test_with_several_sites_the_site_must_be_named() -> None:
    run("create_charger", "--identity", "CP-1", "--protocol", "ocpp1.6")
    Site.objects.filter(identity="default").update(identity="first")
    register_site(identity="second", kind="mall", grid_node_code="default", import_limit_kw=10, export_limit_kw=0)
    assert str(refused("create_charger", "--identity", "CP-2", "--protocol", "ocpp1.6")).startswith("--site: ")
    assert run("create_charger", "--identity", "CP-2", "--protocol", "ocpp1.6", "--site", "second")["site"] == "second"


def test_a_region_has_a_node_and_programmes_and_a_site_its_region() -> None:
    region = run(
        "create_region",
        *("--code", "JP-KYUSHU", "--country", "JP", "--time-zone", "Asia/Tokyo", "--currency", "JPY"),
    )
    assert region["node"] == "JP-KYUSHU" and "fast-response" in region["programmes"]
    assert {programme.currency for programme in Programme.objects.all()} == {"JPY"}
    run("create_owner", "--identity", "OWN-1")
    made = run(
        "create_site",
        *("--identity", "HUB-1", "--kind", "hub", "--node", "JP-KYUSHU", "--owner", "OWN-1"),
        *("--import-limit-kw", "2000", "--export-limit-kw", "1500", "--emergency-reserve-kwh", "300"),
    )
    site = Site.objects.get(pk=made["site_id"])
    assert (
        site.time_zone == "Asia/Tokyo"
        and site.emergency_reserve_kwh == 300
        and made["region_id"] == region["region_id"]
    )


@pytest.mark.parametrize(
    ("command", "arguments", "option"),
    [
        ("create_region", ("--country", "NLD", "--time-zone", "UTC", "--currency", "EUR"), "--country"),
        ("create_region", ("--country", "NL", "--time-zone", "Mars", "--currency", "EUR"), "--time-zone"),
        ("create_region", ("--country", "NL", "--time-zone", "UTC", "--currency", "euro"), "--currency"),
        ("create_region", ("--country", "CH", "--time-zone", "UTC", "--currency", "CHF"), "--currency"),
    ],
)
def test_a_region_that_cannot_be_leaves_nothing(command: str, arguments: tuple[str, ...], option: str) -> None:
    assert str(refused(command, "--code", "X", *arguments)).startswith(f"{option}: ")
    assert Region.objects.count() == 0


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("--node", "none", "--import-limit-kw", "1"), "--node"),
        (("--node", "default", "--import-limit-kw", "-1"), "--import-limit-kw"),
        (("--node", "default", "--import-limit-kw", "1", "--owner", "nobody"), "--owner"),
        (("--node", "default", "--import-limit-kw", "1", "--latitude", "91"), "--latitude"),
        (("--node", "default", "--import-limit-kw", "1", "--time-zone", "Mars"), "--time-zone"),
    ],
)
def test_a_site_that_cannot_be(arguments: tuple[str, ...], option: str) -> None:
    run("create_charger", "--identity", "CP-1", "--protocol", "ocpp1.6")
    error = refused("create_site", "--identity", "S-1", "--kind", "home", *arguments)
    assert str(error).startswith(option) and Site.objects.count() == 1


def test_a_car_has_one_computer_with_a_token() -> None:
    run("create_vehicle", "--identity", "EV-1")
    made = run("create_computer", "--identity", "CPU-1", "--vehicle", "EV-1")
    computer = Vehicle.objects.get().computer
    assert verify_secret(made["token"], computer.token_hash) and computer.cpu_cores == 4
    assert "one computer" in str(refused("create_computer", "--identity", "CPU-2", "--vehicle", "EV-1"))
    assert str(refused("create_computer", "--identity", "CPU-2", "--vehicle", "EV-9")).startswith("--vehicle: ")


def test_a_vehicle_has_a_token_a_wish_and_only_the_consents_given() -> None:
    run("create_owner", "--identity", "OWN-7", "--name", "Owner Seven")
    made = run(
        "create_vehicle",
        *("--identity", "EV-1", "--owner", "OWN-7", "--max-discharge-kw", "10", "--ready-by", "07:30"),
        *("--consent", "flexibility", "--consent", "computing"),
    )
    vehicle = Vehicle.objects.get()
    assert vehicle.v2g_capable and vehicle.owner.identity == "OWN-7" and vehicle.goal.kind == "weekly"
    assert IdToken.objects.get(vehicle=vehicle).token == made["id_token"] and len(made["id_token"]) <= 20
    assert set(Consent.objects.values_list("service", flat=True)) == {"flexibility", "computing"}
    other = run("create_vehicle", "--identity", "EV-2", "--battery-capacity-kwh", "40")
    assert other["owner"] == "default" and other["consents"] == []
    assert Vehicle.objects.get(identity="EV-2").model.battery_capacity_kwh == 40.0
    assert vehicle.model.battery_capacity_kwh == 60.0, "cars of another size have a model of their own"


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("--owner", "nobody"), "--owner"),
        (("--soc-fraction", "80"), "--soc-fraction"),
        (("--floor-soc-fraction", "0.9"), "--floor-soc-fraction"),
        (("--battery-capacity-kwh", "0"), "--battery-capacity-kwh"),
        (("--home-site", "nowhere"), "--home-site"),
        (("--wear-per-kwh", "-1"), "--wear-per-kwh"),
    ],
)
def test_a_vehicle_that_cannot_be(arguments: tuple[str, ...], option: str) -> None:
    assert str(refused("create_vehicle", "--identity", "EV-1", *arguments)).startswith(f"{option}: ")
    assert Vehicle.objects.count() == 0


def test_a_token_belongs_to_one_car() -> None:
    run("create_vehicle", "--identity", "EV-1", "--id-token", "CARD-1")
    assert str(refused("create_vehicle", "--identity", "EV-2", "--id-token", "CARD-1")).startswith("--id-token: ")
    assert Vehicle.objects.count() == 1


def test_packs_share_the_inverter_at_their_address() -> None:
    first = run("create_pack", "--host", "127.0.0.1", "--port", "15021", "--device-id", "2")
    second = run("create_pack", "--host", "127.0.0.1", "--port", "15021", "--device-id", "3", "--identity", "PACK-2")
    assert first["inverter"] == second["inverter"] == Inverter.objects.get().identity
    assert Pack.objects.get(asset__identity="PACK-2").history.get().kind == "intake"
    error = refused("create_pack", "--host", "127.0.0.1", "--port", "15021", "--device-id", "3", "--identity", "PACK-3")
    assert str(error).startswith("--device-id: ") and Pack.objects.count() == 2
    assert str(refused("create_pack", "--host", "h", "--port", "70000", "--device-id", "1")).startswith("--port: ")
    assert Inverter.objects.count() == 1


def test_packs_take_part_only_in_what_the_owner_of_their_site_agreed_to() -> None:
    address = ("--host", "127.0.0.1", "--port", "15021")
    assert run("create_pack", *address, "--device-id", "2")["consents"] == []
    made = run("create_pack", *address, "--device-id", "3", "--consent", "flexibility")
    assert made["consents"] == ["flexibility"] and made["site"] == "default"
    assert run("create_pack", *address, "--device-id", "4", "--consent", "flexibility")["consents"] == ["flexibility"]
    consent = Consent.objects.get()
    assert consent.site is not None and consent.owner.identity == "default"
    Site.objects.update(owner=None)
    error = refused("create_pack", *address, "--device-id", "5", "--consent", "emergency")
    assert str(error).startswith("--consent: ") and Pack.objects.count() == 3


def test_a_clients_secret_is_shown_once_and_its_name_is_its_own() -> None:
    made = run("create_client", "--name", "grid-co", "--role", "operator")
    client = ApiClient.objects.get()
    assert client.application.client_id == made["client_id"]
    assert made["client_secret"] not in client.application.client_secret
    assert "events:write" in made["scopes"] and "jobs:write" not in made["scopes"]
    assert str(refused("create_client", "--name", "grid-co", "--role", "tenant")).startswith("--name: ")


def test_an_owners_address_must_be_one() -> None:
    assert str(refused("create_owner", "--identity", "OWN-1", "--email", "nobody")).startswith("--email: ")
    assert Owner.objects.count() == 0
