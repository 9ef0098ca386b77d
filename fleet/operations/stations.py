"""Charging stations as they come and go: log-in, connection, boot, heartbeat, connector status, tokens.

Used by the OCPP and the MQTT gateway. Everything here may be repeated without harm.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Greatest

from common.errors import NotAllowed, NotFound
from fleet.models import Asset, Charger, ChargingSession, Connector, ConnectorStatus, Evse, IdToken
from fleet.operations.changes import announce_change
from fleet.operations.commands import NO_ANSWER_FAULT
from fleet.operations.secrets import verify_secret

CONNECTOR_FAULT = "connector faulted"
# A station makes its connectors known by naming them; it cannot make up any number of them.
MOST_CONNECTORS = 20
_MOST_VERIFIED = 20_000


class UnknownDevice(NotFound):
    """No station is registered under this identity."""

    code = "unknown_device"


class WrongPassword(NotAllowed):
    """The password is not that of the station."""

    code = "wrong_password"


class UnknownEvse(NotFound):
    """The station has no EVSE of this number."""

    code = "unknown_evse"


class UnknownConnector(NotFound):
    """No EVSE has a connector of this number."""

    code = "unknown_connector"


@dataclass(frozen=True, slots=True)
class EvseIdentity:
    """An EVSE as a gateway needs it. Powers in kW."""

    evse_id: int
    number: int
    asset_id: int
    asset_identity: str
    max_charge_kw: float
    max_discharge_kw: float
    min_charge_kw: float
    fail_safe_kw: float


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """A transaction that the platform holds open at a station."""

    session_id: int
    transaction_id: str
    evse_number: int
    vehicle_known: bool
    arrival_known: bool
    meter_start_kwh: float | None = None


@dataclass(frozen=True, slots=True)
class ChargerIdentity:
    """A station as it stands in the books when it connects: what lets a gateway go on where another left off."""

    charger_id: int
    identity: str
    protocol: str
    vendor: str
    model: str
    phases: int
    capabilities: Mapping[str, Any]
    evses: tuple[EvseIdentity, ...]
    transactions: tuple[OpenTransaction, ...]
    energy_price_per_kwh: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Authorisation:
    """Whether a token may charge here. `reason` is empty, or Unknown, Blocked or Expired."""

    accepted: bool
    reason: str
    vehicle_id: int | None
    may_discharge: bool = False


class _VerifiedPasswords:
    """Digests of passwords that have been verified, so that a station that reconnects costs no slow hash.

    A changed password changes the stored hash and with it the key.
    """

    def __init__(self) -> None:
        self._digests: OrderedDict[str, bytes] = OrderedDict()

    def verify(self, password: str, stored: str) -> bool:
        digest = hashlib.sha256(f"{stored}\x00{password}".encode()).digest()
        known = self._digests.get(stored)
        if known is not None and hmac.compare_digest(known, digest):
            return True
        if not verify_secret(password, stored):
            return False
        self._digests[stored] = digest
        while len(self._digests) > _MOST_VERIFIED:
            self._digests.popitem(last=False)
        return True


_verified = _VerifiedPasswords()


def password_matches(password: str, stored: str) -> bool:
    """Whether a password is the one whose hash is stored; in constant time, and quick the second time."""
    return _verified.verify(password, stored)


def describe_charger(charger: Charger) -> ChargerIdentity:
    """What a gateway needs to know of a station."""
    evses = tuple(
        EvseIdentity(*row)
        for row in Evse.objects.filter(charger=charger)
        .order_by("number")
        .values_list(
            "id",
            "number",
            "asset_id",
            "asset__identity",
            "max_charge_kw",
            "max_discharge_kw",
            "min_charge_kw",
            "fail_safe_kw",
        )
    )
    transactions = tuple(
        OpenTransaction(
            session.pk,
            session.transaction_id,
            session.evse.number,
            session.vehicle_id is not None,
            session.arrival_soc_fraction is not None,
            session.meter_start_kwh,
        )
        for session in ChargingSession.objects.filter(charger=charger, ended_at=None).select_related("evse")
    )
    return ChargerIdentity(
        charger_id=charger.pk,
        identity=charger.identity,
        protocol=charger.protocol,
        vendor=charger.vendor,
        model=charger.model,
        phases=charger.phases,
        capabilities=dict(charger.capabilities),
        evses=evses,
        transactions=transactions,
        energy_price_per_kwh=charger.energy_price_per_kwh,
    )


@transaction.atomic
def mark_connected(*, identity: str, gateway_identity: str, now: datetime, protocol: str | None = None) -> None:
    """A station's newest connection is at this gateway; commands for it go there from now on.

    `protocol` is what it speaks on this connection, when that may have changed with its firmware.
    """
    charger = _charger_for_update(identity)
    charger.gateway_identity = gateway_identity
    charger.connected_at = charger.last_seen_at = now
    if protocol is not None:
        charger.protocol = protocol
    charger.save(update_fields=["gateway_identity", "connected_at", "last_seen_at", "protocol"])
    assets = Asset.objects.filter(evse__charger=charger)
    returned = list(assets.filter(Q(connected=False) | Q(fault=NO_ANSWER_FAULT)).values_list("pk", flat=True))
    assets.filter(fault=NO_ANSWER_FAULT).update(fault="")
    assets.update(connected=True, last_seen_at=now)
    for asset_id in returned:
        announce_change(kind="found_device", asset_id=asset_id, region_id=charger.site.grid_node.region_id)


@transaction.atomic
def mark_disconnected(*, identity: str, gateway_identity: str, now: datetime) -> bool:
    """A station's connection at this gateway has ended. Changes nothing if another gateway has taken it over.

    Returns whether the station was this gateway's.
    """
    charger = _charger_for_update(identity)
    if charger.gateway_identity != gateway_identity:
        return False
    charger.gateway_identity = ""
    charger.save(update_fields=["gateway_identity"])
    assets = Asset.objects.filter(evse__charger=charger, connected=True)
    lost = list(assets.values_list("pk", flat=True))
    assets.update(connected=False)
    for asset_id in lost:
        announce_change(kind="lost_device", asset_id=asset_id, region_id=charger.site.grid_node.region_id)
    return True


@transaction.atomic
def accept_boot(
    *,
    identity: str,
    vendor: str,
    model: str,
    serial_number: str,
    firmware_version: str,
    now: datetime,
) -> None:
    """A station has started and told what it is. Whatever it cannot name stays as registered.

    Raises:
        UnknownDevice: it is not registered.
    """
    charger = _charger_for_update(identity)
    told = {"vendor": vendor, "model": model, "serial_number": serial_number, "firmware_version": firmware_version}
    for field, value in told.items():
        if value:
            setattr(charger, field, value[:50])
    charger.booted_at = charger.last_seen_at = now
    charger.save(update_fields=[*told, "booted_at", "last_seen_at"])


@transaction.atomic
def record_capabilities(*, identity: str, capabilities: Mapping[str, Any]) -> None:
    """Remember what probing a station has found, beside what is known already.

    Raises:
        UnknownDevice: it is not registered.
    """
    charger = _charger_for_update(identity)
    charger.capabilities = {**charger.capabilities, **capabilities}
    charger.save(update_fields=["capabilities"])


def record_heartbeats(*, identities: Collection[str], now: datetime) -> int:
    """These stations have said something lately. Returns how many are registered."""
    ordered = list(Charger.objects.filter(identity__in=sorted(identities)).order_by("pk").values_list("pk", flat=True))
    return Charger.objects.filter(pk__in=ordered).update(last_seen_at=Greatest(F("last_seen_at"), now))


@transaction.atomic
def record_connector_status(
    *, identity: str, evse_number: int, connector_number: int, status: str, detail: str, at: datetime
) -> None:
    """A connector's status, in the words of OCPP 2.x, with whatever else the station said in `detail`.

    An older status than the one known changes nothing. A faulted connector takes its EVSE out of planning until it is
    well again.

    Raises:
        UnknownEvse: the station has no such EVSE.
        UnknownConnector: the number is none that a connector can have.
        ValueError: `status` is not one of `ConnectorStatus`.
    """
    status = ConnectorStatus(status)
    if not 1 <= connector_number <= MOST_CONNECTORS:
        raise UnknownConnector(
            f"there is no connector {connector_number}", field="connectorId", remedy="Count the connectors from 1."
        )
    evse = _find_evse(identity, evse_number)
    connector, created = Connector.objects.select_for_update().get_or_create(
        evse=evse, number=connector_number, defaults={"status": status, "detail": detail[:120], "status_at": at}
    )
    if not created:
        if connector.status_at is not None and connector.status_at > at:
            return
        connector.status, connector.detail, connector.status_at = status, detail[:120], at
        connector.save(update_fields=["status", "detail", "status_at"])
    _carry_fault(evse, status, detail)


def _carry_fault(evse: Evse, status: ConnectorStatus, detail: str) -> None:
    asset = evse.asset
    faulted = status == ConnectorStatus.FAULTED
    if faulted and not asset.fault:
        kind, fault = "lost_device", f"{CONNECTOR_FAULT}: {detail}"[:200].removesuffix(": ")
    elif not faulted and asset.fault.startswith(CONNECTOR_FAULT):
        kind, fault = "found_device", ""
    else:
        return
    Asset.objects.filter(pk=asset.pk).update(fault=fault)
    announce_change(kind=kind, asset_id=asset.pk, region_id=evse.charger.site.grid_node.region_id)


def authorise_token(*, identity: str, id_token: str, now: datetime) -> Authorisation:
    """Whether a token may charge at a station, and for which vehicle. Tokens are compared without regard to case."""
    token = find_token(id_token)
    if token is None:
        return Authorisation(False, "Unknown", None)
    vehicle = token.vehicle
    if token.blocked or (vehicle is not None and vehicle.withdrawn_at is not None):
        return Authorisation(False, "Blocked", token.vehicle_id)
    if token.expires_at is not None and token.expires_at <= now:
        return Authorisation(False, "Expired", token.vehicle_id)
    return Authorisation(True, "", token.vehicle_id, vehicle is not None and vehicle.v2g_capable)


def find_token(id_token: str) -> IdToken | None:
    """The token of that text; OCPP compares tokens without regard to case."""
    if not id_token:
        return None
    tokens = IdToken.objects.select_related("vehicle")
    return tokens.filter(token=id_token).first() or tokens.filter(token__iexact=id_token).first()


def lock_evse(identity: str, number: int | None) -> Evse:
    """The EVSE (the station's first for None), locked so that two starts at it follow each other.

    Raises:
        UnknownEvse: the station has no such EVSE.
    """
    evses = Evse.objects.select_for_update(of=("self",)).select_related("asset", "charger__site__grid_node")
    evses = evses.filter(charger__identity=identity)
    evse = (evses.order_by("number") if number is None else evses.filter(number=number)).first()
    if evse is None:
        raise UnknownEvse(
            f"station {identity!r} has no EVSE {number}", field="evse", remedy="Register the EVSE with the station."
        )
    return evse


def _charger_for_update(identity: str) -> Charger:
    charger = (
        Charger.objects.select_for_update(of=("self",))
        .select_related("site__grid_node")
        .filter(identity=identity)
        .first()
    )
    if charger is None:
        raise UnknownDevice(f"{identity!r} is not registered", field="identity", remedy="Register it first.")
    return charger


def _find_evse(identity: str, number: int) -> Evse:
    evse = (
        Evse.objects.select_related("asset", "charger__site__grid_node")
        .filter(charger__identity=identity, number=number)
        .first()
    )
    if evse is None:
        raise UnknownEvse(
            f"station {identity!r} has no EVSE {number}", field="evse", remedy="Register the EVSE with the station."
        )
    return evse
