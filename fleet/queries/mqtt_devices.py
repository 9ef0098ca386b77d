"""Chargers that speak MQTT, as their gateway needs them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from fleet.models import Charger, ChargerProtocol


@dataclass(frozen=True, slots=True)
class MqttDevice:
    """A charger that is registered for MQTT, with the asset of each of its EVSEs by number."""

    identity: str
    gateway_identity: str
    asset_ids: Mapping[int, int]


def mqtt_devices(identities: Collection[str]) -> dict[str, MqttDevice]:
    """Those of the identities that are registered for MQTT."""
    chargers = Charger.objects.filter(identity__in=identities, protocol=ChargerProtocol.MQTT).prefetch_related("evses")
    return {
        charger.identity: MqttDevice(
            charger.identity,
            charger.gateway_identity,
            {evse.number: evse.asset_id for evse in charger.evses.all()},
        )
        for charger in chargers
    }
