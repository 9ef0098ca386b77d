"""Charging sessions: a car at an EVSE, from plug to unplug; in OCPP's word, a transaction."""

from django.db import models
from django.db.models import F, Q
from psycopg.types.multirange import Multirange

from fleet.models.multirange import IntegerMultirangeField

# Why a session ended of which the station never told the end: another one's start closed it.
SUPERSEDED = "Superseded"


class ChargingSession(models.Model):
    """One transaction. `transaction_id` is the station's in OCPP 2.x and MQTT, ours (the row's id) in 1.6.

    `departure_at`, `target_soc_fraction` and `floor_soc_fraction` are the driver's wish as it holds for this stay;
    `energy_needed_kwh` is what the car itself asked for (NotifyEVChargingNeeds), if it did.
    """

    charger = models.ForeignKey("fleet.Charger", on_delete=models.PROTECT, related_name="sessions")
    evse = models.ForeignKey("fleet.Evse", on_delete=models.PROTECT, related_name="sessions")
    vehicle = models.ForeignKey(
        "fleet.Vehicle", on_delete=models.PROTECT, related_name="sessions", null=True, blank=True
    )
    transaction_id = models.CharField(max_length=64)
    id_token = models.CharField(max_length=255, blank=True)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    stop_reason = models.CharField(max_length=40, blank=True)
    meter_start_kwh = models.FloatField(null=True, blank=True)
    meter_stop_kwh = models.FloatField(null=True, blank=True)
    last_sequence_number = models.IntegerField(default=-1)
    # which events of the transaction have come (2.x): what is missing between them is asked for
    received_sequences = IntegerMultirangeField(default=Multirange)
    # set when the station has nothing left to send and events are still missing
    events_lost = models.BooleanField(default=False)

    arrival_soc_fraction = models.FloatField(null=True, blank=True)
    departure_at = models.DateTimeField(null=True, blank=True)
    target_soc_fraction = models.FloatField(null=True, blank=True)
    floor_soc_fraction = models.FloatField(null=True, blank=True)
    energy_needed_kwh = models.FloatField(null=True, blank=True)
    # the car's own limits as it told the station; null until it does
    max_charge_kw = models.FloatField(null=True, blank=True)
    max_discharge_kw = models.FloatField(null=True, blank=True)
    bidirectional = models.BooleanField(default=False, help_text="the car and the station agreed on discharging")
    priority_charging = models.BooleanField(default=False, help_text="the station serves it before all others")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["charger", "transaction_id"], name="session_transaction_unique"),
            models.UniqueConstraint(
                fields=["evse"], condition=Q(ended_at__isnull=True), name="session_one_open_per_evse"
            ),
            models.UniqueConstraint(
                fields=["vehicle"], condition=Q(ended_at__isnull=True), name="session_one_open_per_vehicle"
            ),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True) | Q(ended_at__gte=F("started_at")), name="session_ends_after_start"
            ),
        ]
        indexes = [models.Index(fields=["started_at"])]

    def __str__(self) -> str:
        return f"{self.charger_id} {self.transaction_id}"
