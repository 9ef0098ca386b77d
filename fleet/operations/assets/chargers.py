"""Registering chargers with their EVSEs, connectors and assets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction

from common.errors import InvalidInput
from fleet.models import Asset, AssetKind, Charger, ChargerProtocol, Connector, Evse, Site
from fleet.operations.assets.checks import find, registering, require_identity, require_not_negative, require_positive
from fleet.operations.broker_access import check_identity, write_broker_credentials
from fleet.operations.secrets import BROKER_FORM, generate_secret, hash_broker_secret, hash_secret

LONGEST_CHARGER_IDENTITY = 48
CHARGER_PROTOCOLS = tuple(ChargerProtocol.values)
# protocols in which a station can be told to discharge a car
DISCHARGING_PROTOCOLS = (ChargerProtocol.OCPP_21.value, ChargerProtocol.MQTT.value)
# BasicAuthPassword of OCPP 2.0.1 Part 2: 16 to 40 characters
SHORTEST_OCPP_PASSWORD, LONGEST_PASSWORD = 16, 40
# IEC 61851: below 6 A a car does not charge; 230 V between phase and neutral
MIN_CHARGE_KW_PER_PHASE = 1.38
CONNECTOR_TYPES = ("cCCS1", "cCCS2", "cG105", "cTesla", "cType1", "cType2", "sType1", "sType2", "sType3", "wInductive")


@dataclass(frozen=True, slots=True)
class EvseSpecification:
    """What an EVSE can do; powers in kW, never negative. `min_charge_kw` None: 6 A on every phase."""

    max_charge_kw: float = 11.0
    max_discharge_kw: float = 0.0
    min_charge_kw: float | None = None
    fail_safe_kw: float = 0.0
    connector_types: tuple[str, ...] = ("cType2",)


@dataclass(frozen=True, slots=True)
class RegisteredEvse:
    """An EVSE as registered: its number at the charger and the asset that carries it."""

    evse_id: int
    number: int
    asset_id: int
    asset_identity: str


@dataclass(frozen=True, slots=True)
class RegisteredCharger:
    """A charger as registered. `password` is here once and kept nowhere; `warnings` are sentences for a person."""

    charger_id: int
    identity: str
    protocol: str
    site_identity: str
    password: str
    evses: tuple[RegisteredEvse, ...]
    warnings: tuple[str, ...] = ()


def register_charger(
    *,
    identity: str,
    protocol: str,
    site_identity: str,
    password: str = "",
    phases: int = 3,
    evses: Sequence[EvseSpecification] = (EvseSpecification(),),
    vendor: str = "",
    model: str = "",
) -> RegisteredCharger:
    """Register a charger; without a password one is generated. Once committed, the MQTT broker lets an MQTT charger in.

    Raises:
        InvalidInput: a field breaks a rule.
        NotRegistered: the site is unknown.
        AlreadyRegistered: the identity is taken.
    """
    _check_charger(identity, protocol, password, phases)
    specifications = [_checked(specification, phases) for specification in evses]
    if not specifications:
        raise InvalidInput("A charger has no EVSE.", field="evses", remedy="Give at least one.")
    site = find(Site, field="site", identity=site_identity)
    secret = password or generate_secret()
    password_hash = charger_password_hash(protocol=protocol, secret=secret, generated=not password)
    with registering(identity):
        charger = Charger.objects.create(
            identity=identity,
            site=site,
            protocol=protocol,
            password_hash=password_hash,
            phases=phases,
            vendor=vendor,
            model=model,
        )
        registered = tuple(
            _register_evse(charger, number, specification)
            for number, specification in enumerate(specifications, start=1)
        )
        if protocol == ChargerProtocol.MQTT:
            transaction.on_commit(lambda: publish_broker_credentials({identity: password_hash}))
    return RegisteredCharger(
        charger.pk, identity, protocol, site.identity, secret, registered, _warnings(protocol, password)
    )


def charger_password_hash(*, protocol: str, secret: str, generated: bool) -> str:
    """The form in which a charger's password is kept: for MQTT the broker's own, so that both can verify it."""
    if protocol == ChargerProtocol.MQTT:
        return hash_broker_secret(secret)
    return hash_secret(secret, generated=generated)


def publish_broker_credentials(password_hashes: dict[str, str] | None = None) -> int:
    """Write chargers' password hashes where the MQTT broker reads them; None: those of all MQTT chargers.

    Returns how many were written; none where the broker manages its own users (no `MQTT_CREDENTIALS_FILE`).
    """
    if not settings.MQTT_CREDENTIALS_FILE:
        return 0
    if password_hashes is None:
        # also OCPP stations that come through the broker: their password is kept in its form
        chargers = Charger.objects.filter(password_hash__startswith=BROKER_FORM)
        password_hashes = dict(chargers.values_list("identity", "password_hash"))
    write_broker_credentials(settings.MQTT_CREDENTIALS_FILE, password_hashes)
    return len(password_hashes)


def evse_asset_identity(charger_identity: str, number: int) -> str:
    """The asset identity of an EVSE: CP-0412/1."""
    return f"{charger_identity}/{number}"


def min_charge_kw_of(phases: int) -> float:
    """Least charging power of a station on so many phases: 6 A each."""
    return round(MIN_CHARGE_KW_PER_PHASE * phases, 3)


def _register_evse(charger: Charger, number: int, specification: EvseSpecification) -> RegisteredEvse:
    asset = Asset.objects.create(
        identity=evse_asset_identity(charger.identity, number), kind=AssetKind.EVSE, site_id=charger.site_id
    )
    evse = Evse.objects.create(
        asset=asset,
        charger=charger,
        number=number,
        max_charge_kw=specification.max_charge_kw,
        max_discharge_kw=specification.max_discharge_kw,
        min_charge_kw=specification.min_charge_kw or 0.0,
        fail_safe_kw=specification.fail_safe_kw,
    )
    Connector.objects.bulk_create(
        Connector(evse=evse, number=index, connector_type=kind)
        for index, kind in enumerate(specification.connector_types, start=1)
    )
    return RegisteredEvse(evse.pk, number, asset.pk, asset.identity)


def _check_charger(identity: str, protocol: str, password: str, phases: int) -> None:
    require_identity(identity, longest=LONGEST_CHARGER_IDENTITY)
    if protocol not in ChargerProtocol.values:
        raise InvalidInput(
            f"{protocol!r} is no protocol that we speak.",
            field="protocol",
            remedy=f"Give one of {', '.join(ChargerProtocol.values)}.",
        )
    if protocol == ChargerProtocol.MQTT:
        check_identity(identity)
    if phases not in (1, 3):
        raise InvalidInput(f"{phases} is no number of phases.", field="phases", remedy="Give 1 or 3.")
    if len(password) > LONGEST_PASSWORD or not (password.isascii() and password.isprintable()):
        raise InvalidInput(
            "cannot be sent in HTTP Basic authentication.",
            field="password",
            remedy=f"Use up to {LONGEST_PASSWORD} printable ASCII characters, or leave it out to have one generated.",
        )


def _checked(specification: EvseSpecification, phases: int) -> EvseSpecification:
    charge_kw = require_positive(specification.max_charge_kw, field="max_charge_kw")
    discharge_kw = require_not_negative(specification.max_discharge_kw, field="max_discharge_kw")
    least_kw = min_charge_kw_of(phases) if specification.min_charge_kw is None else specification.min_charge_kw
    if require_not_negative(least_kw, field="min_charge_kw") > charge_kw:
        raise InvalidInput(
            f"{least_kw:g} kW is more than max_charge_kw ({charge_kw:g} kW).",
            field="min_charge_kw",
            remedy="Give a smaller one, or the right number of phases.",
        )
    if not -discharge_kw <= specification.fail_safe_kw <= charge_kw:
        raise InvalidInput(
            f"{specification.fail_safe_kw:g} kW is beyond what the EVSE can do.",
            field="fail_safe_kw",
            remedy=f"Give {-discharge_kw:g} to {charge_kw:g}; positive is charging.",
        )
    unknown = [kind for kind in specification.connector_types if kind not in CONNECTOR_TYPES]
    if unknown or not specification.connector_types:
        raise InvalidInput(
            f"{', '.join(unknown) or 'nothing'} is no connector type.",
            field="connector_types",
            remedy=f"Give at least one of {', '.join(CONNECTOR_TYPES)}.",
        )
    return EvseSpecification(
        charge_kw, discharge_kw, least_kw, float(specification.fail_safe_kw), specification.connector_types
    )


def _warnings(protocol: str, password: str) -> tuple[str, ...]:
    if not password or protocol == ChargerProtocol.MQTT or len(password) >= SHORTEST_OCPP_PASSWORD:
        return ()
    return (f"OCPP asks for passwords of at least {SHORTEST_OCPP_PASSWORD} characters; this one has {len(password)}.",)
