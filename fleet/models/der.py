"""DER controls of stations (OCPP 2.1, block R): what was set, what the station reports, and its alarms."""

from django.db import models
from django.db.models import F


class DerControlState(models.TextChoices):
    REQUESTED = "requested", "Asked for"
    SET = "set", "Set in the station"
    REFUSED = "refused", "Refused by the station"
    SUPERSEDED = "superseded", "Another of higher priority holds"
    CLEARED = "cleared", "No longer in the station"


class DerControl(models.Model):
    """One control of a station, set by us or found there. `content` is the element of SetDERControl for its type."""

    charger = models.ForeignKey("fleet.Charger", on_delete=models.CASCADE, related_name="der_controls")
    control_id = models.CharField(max_length=36)
    control_type = models.CharField(max_length=30)
    is_default = models.BooleanField()
    content = models.JSONField()
    state = models.CharField(max_length=10, choices=DerControlState, default=DerControlState.REQUESTED)
    reason = models.CharField(max_length=200, blank=True)
    # what the station told of a scheduled control: null until it does
    started_at = models.DateTimeField(null=True, blank=True)
    stopped_at = models.DateTimeField(null=True, blank=True)
    reported_in = models.BigIntegerField(null=True, blank=True, help_text="request of the last report that named it")
    requested_at = models.DateTimeField()
    changed_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["charger", "control_id"], name="der_control_unique")]
        ordering = [F("requested_at").desc()]

    def __str__(self) -> str:
        return f"{self.charger_id} {self.control_type} {self.state}"


class DerAlarm(models.Model):
    """A station's word that a control acts on a fault of the grid, and when that was over."""

    charger = models.ForeignKey("fleet.Charger", on_delete=models.CASCADE, related_name="der_alarms")
    control_type = models.CharField(max_length=30)
    fault = models.CharField(max_length=30, blank=True)
    extra = models.CharField(max_length=200, blank=True)
    began_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["charger", "control_type", "fault", "began_at"], name="der_alarm_once")
        ]
        ordering = [F("began_at").desc()]

    def __str__(self) -> str:
        return f"{self.charger_id} {self.control_type} {self.fault}"
