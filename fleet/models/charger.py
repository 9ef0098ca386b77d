"""Charging stations, their EVSEs and connectors, and the tokens that start transactions."""

from django.db import models
from django.db.models import F, Q


class ChargerProtocol(models.TextChoices):
    OCPP_16 = "ocpp1.6", "OCPP 1.6-J"
    OCPP_201 = "ocpp2.0.1", "OCPP 2.0.1"
    OCPP_21 = "ocpp2.1", "OCPP 2.1"
    MQTT = "mqtt", "MQTT firmware"


class Charger(models.Model):
    """A charging station: one identity, one connection."""

    identity = models.CharField(max_length=48, unique=True)
    site = models.ForeignKey("fleet.Site", on_delete=models.PROTECT, related_name="chargers")
    protocol = models.CharField(max_length=10, choices=ChargerProtocol)
    password_hash = models.CharField(max_length=200)
    next_password_hash = models.CharField(max_length=200, blank=True, help_text="offered to the station, not used yet")
    # OCPP's: 0 no password, 1 password, 2 password within TLS, 3 certificates on both sides. Never falls by itself.
    security_profile = models.PositiveSmallIntegerField(default=1)
    local_list_version = models.PositiveIntegerField(default=0)
    energy_price_per_kwh = models.DecimalField(
        max_digits=10, decimal_places=4, null=True, blank=True, help_text="what drivers pay here; shown by the station"
    )
    vendor = models.CharField(max_length=50, blank=True)
    model = models.CharField(max_length=50, blank=True)
    serial_number = models.CharField(max_length=50, blank=True)
    firmware_version = models.CharField(max_length=50, blank=True)
    phases = models.PositiveSmallIntegerField(default=3)
    # which gateway process holds its connection now; commands are claimed by that process alone
    gateway_identity = models.CharField(max_length=60, blank=True)
    connected_at = models.DateTimeField(null=True, blank=True)
    last_seen_at = models.DateTimeField(null=True, blank=True)
    booted_at = models.DateTimeField(null=True, blank=True)
    # what probing found: unit of profiles, number of periods, composite schedule …
    capabilities = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = [F("identity").asc()]
        indexes = [models.Index(fields=["gateway_identity"])]
        constraints = [
            models.CheckConstraint(condition=Q(security_profile__lte=3), name="charger_security_profile_is_one")
        ]

    def __str__(self) -> str:
        return self.identity


class Evse(models.Model):
    """The part of a station that serves one car at a time. Its asset is what is metered and controlled."""

    asset = models.OneToOneField("fleet.Asset", on_delete=models.PROTECT, related_name="evse")
    charger = models.ForeignKey(Charger, on_delete=models.PROTECT, related_name="evses")
    number = models.PositiveSmallIntegerField(help_text="evseId of OCPP 2.x, connectorId of 1.6; from 1")
    max_charge_kw = models.FloatField()
    max_discharge_kw = models.FloatField(default=0)
    min_charge_kw = models.FloatField(default=0, help_text="below it a station pauses: 6 A per phase in IEC 61851")
    fail_safe_kw = models.FloatField(default=0, help_text="what it falls back to when it hears nothing")
    local_control = models.JSONField(
        default=dict, blank=True, help_text="fleet.core.local_control: by which rule it departs from its schedules"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["charger", "number"], name="evse_number_unique"),
            models.CheckConstraint(
                condition=Q(number__gte=1)
                & Q(max_charge_kw__gt=0)
                & Q(max_discharge_kw__gte=0)
                & Q(min_charge_kw__gte=0)
                & Q(min_charge_kw__lte=F("max_charge_kw")),
                name="evse_limits",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.charger_id}/{self.number}"


class ConnectorStatus(models.TextChoices):
    AVAILABLE = "Available"
    OCCUPIED = "Occupied"
    RESERVED = "Reserved"
    UNAVAILABLE = "Unavailable"
    FAULTED = "Faulted"


class Connector(models.Model):
    """A socket or cable of an EVSE. Statuses are those of OCPP 2.x; 1.6's finer ones are kept in `detail`."""

    evse = models.ForeignKey(Evse, on_delete=models.CASCADE, related_name="connectors")
    number = models.PositiveSmallIntegerField()
    connector_type = models.CharField(max_length=20, default="cType2")
    status = models.CharField(max_length=20, choices=ConnectorStatus, default=ConnectorStatus.UNAVAILABLE)
    detail = models.CharField(max_length=120, blank=True)
    status_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["evse", "number"], name="connector_number_unique")]

    def __str__(self) -> str:
        return f"{self.evse_id}.{self.number}"


class IdToken(models.Model):
    """What a driver shows a station: a card, a car's own identifier, the platform's own token."""

    token = models.CharField(max_length=255)
    kind = models.CharField(max_length=20, default="ISO14443", help_text="IdTokenEnumType of OCPP 2.0.1")
    vehicle = models.ForeignKey("fleet.Vehicle", on_delete=models.CASCADE, related_name="tokens", null=True, blank=True)
    blocked = models.BooleanField(default=False)
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["token"], name="id_token_unique")]

    def __str__(self) -> str:
        return f"{self.kind} …{self.token[-4:]}"
