"""OCPP stations whose frames come through the MQTT broker instead of a websocket."""

from __future__ import annotations

from django.db import transaction

from fleet.models import Charger, ChargerProtocol
from fleet.operations.assets.chargers import publish_broker_credentials
from fleet.operations.broker_access import check_identity
from fleet.operations.secrets import BROKER_FORM, generate_secret, hash_broker_secret
from fleet.operations.station_access import CERTIFICATE, UnknownDevice, WeakProfile
from fleet.operations.stations import ChargerIdentity, describe_charger


def allow_tunnel(*, identity: str) -> str:
    """Let an OCPP station in at the MQTT broker too; returns its new password, which holds for both ways in.

    Raises:
        UnknownDevice: no station of that identity speaks OCPP here.
        InvalidInput: its identity cannot be a name at the broker.
        WeakProfile: it comes with a certificate; the broker knows passwords only.
    """
    check_identity(identity)
    with transaction.atomic():
        charger = _station(identity)
        password = generate_secret()
        charger.password_hash = hash_broker_secret(password)
        charger.save(update_fields=["password_hash"])
        publish_broker_credentials({identity: charger.password_hash})
    return password


def admit_tunnelled_station(*, identity: str) -> ChargerIdentity:
    """What is known of a station that the broker has let in.

    Raises:
        UnknownDevice: no station of that identity speaks OCPP here, or it was never allowed to come through the broker.
        WeakProfile: it comes with a certificate.
    """
    charger = _station(identity)
    if not charger.password_hash.startswith(BROKER_FORM):
        raise UnknownDevice(
            f"{identity[:60]!r} may not come through the broker",
            field="identity",
            remedy="Allow it with the command allow_mqtt_tunnel.",
        )
    return describe_charger(charger)


def _station(identity: str) -> Charger:
    charger = Charger.objects.filter(identity=identity).exclude(protocol=ChargerProtocol.MQTT).first()
    if charger is None:
        raise UnknownDevice(
            f"{identity[:60]!r} is not registered",
            field="identity",
            remedy="Register it with the command create_charger.",
        )
    if charger.security_profile >= CERTIFICATE:
        raise WeakProfile(
            f"{identity!r} comes with a certificate, which the broker does not check",
            field="security_profile",
            remedy="Connect it over a websocket.",
        )
    return charger
