"""What stations tell of themselves besides charging: variables, monitors, events, reports, transfers, reservations."""

from django.db import models
from django.db.models import F


class StationVariable(models.Model):
    """One attribute of a variable of a station's device model (OCPP 2.x), or one configuration key of 1.6.

    A key of 1.6 has an empty component. `evse_number` and `connector_number` are 0 for the station as a whole.
    Secrets (write-only variables) have no value here.
    """

    charger = models.ForeignKey("fleet.Charger", on_delete=models.CASCADE, related_name="variables")
    component = models.CharField(max_length=50, blank=True)
    component_instance = models.CharField(max_length=50, blank=True)
    evse_number = models.PositiveIntegerField(default=0)
    connector_number = models.PositiveIntegerField(default=0)
    name = models.CharField(max_length=50)
    instance = models.CharField(max_length=50, blank=True)
    attribute = models.CharField(max_length=10, default="Actual", help_text="Actual, Target, MinSet or MaxSet")
    value = models.TextField(blank=True)
    mutability = models.CharField(max_length=10, default="ReadWrite", help_text="ReadOnly, WriteOnly or ReadWrite")
    data_type = models.CharField(max_length=20, blank=True)
    unit = models.CharField(max_length=16, blank=True)
    choices = models.TextField(blank=True, help_text="the values that a list takes, separated by commas")
    supports_monitoring = models.BooleanField(default=False)
    reported_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "charger",
                    "component",
                    "component_instance",
                    "evse_number",
                    "connector_number",
                    "name",
                    "instance",
                    "attribute",
                ],
                name="station_variable_unique",
            )
        ]

    def __str__(self) -> str:
        return f"{self.component}.{self.name}"


class VariableMonitor(models.Model):
    """A monitor that a station has set on one of its variables (2.x). `monitor_id` is the station's number for it."""

    charger = models.ForeignKey("fleet.Charger", on_delete=models.CASCADE, related_name="monitors")
    monitor_id = models.BigIntegerField()
    component = models.CharField(max_length=50)
    evse_number = models.PositiveIntegerField(default=0)
    name = models.CharField(max_length=50)
    kind = models.CharField(max_length=24, help_text="UpperThreshold, LowerThreshold, Delta, Periodic …")
    value = models.FloatField()
    severity = models.PositiveSmallIntegerField(help_text="0 danger to 9 debug")
    reported_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["charger", "monitor_id"], name="variable_monitor_unique")]

    def __str__(self) -> str:
        return f"{self.component}.{self.name} {self.kind} {self.value}"


class StationEventKind(models.TextChoices):
    SECURITY = "security", "Security"
    MONITORING = "monitoring", "Monitored variable"


class StationEvent(models.Model):
    """Something that a station noticed: a security event, or an event of its device model.

    `name` is the type of a security event, or component.variable. Told twice, it is the same event.
    """

    charger = models.ForeignKey("fleet.Charger", on_delete=models.CASCADE, related_name="events")
    kind = models.CharField(max_length=12, choices=StationEventKind)
    name = models.CharField(max_length=110)
    value = models.CharField(max_length=500, blank=True)
    detail = models.CharField(max_length=500, blank=True)
    evse_number = models.PositiveIntegerField(default=0)
    event_id = models.BigIntegerField(default=0, help_text="the station's number for it (2.x)")
    severity = models.PositiveSmallIntegerField(null=True, blank=True)
    cleared = models.BooleanField(default=False)
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField()

    class Meta:
        ordering = [F("occurred_at").desc()]
        constraints = [
            models.UniqueConstraint(
                fields=["charger", "kind", "name", "occurred_at", "event_id"], name="station_event_unique"
            )
        ]
        indexes = [models.Index(fields=["charger", "-occurred_at"], name="station_event_newest")]

    def __str__(self) -> str:
        return f"{self.name} {self.occurred_at}"


class StationReport(models.Model):
    """What a station tells in parts after it was asked: variables, monitors, profiles, messages, a customer's data.

    `parts` holds the payloads by their sequence number; the report is complete when the last part and all before it
    have come. Reports of customers' data are deleted after a week.
    """

    charger = models.ForeignKey("fleet.Charger", on_delete=models.CASCADE, related_name="reports")
    action = models.CharField(max_length=40, help_text="the message that carries it, such as NotifyReport")
    request_id = models.BigIntegerField()
    parts = models.JSONField(default=dict)
    last_part = models.PositiveIntegerField(null=True, blank=True)
    complete = models.BooleanField(default=False)
    began_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        ordering = [F("began_at").desc()]
        constraints = [
            models.UniqueConstraint(fields=["charger", "action", "request_id"], name="station_report_unique")
        ]

    def __str__(self) -> str:
        return f"{self.charger_id} {self.action} {self.request_id}"


class TransferKind(models.TextChoices):
    FIRMWARE = "firmware", "Firmware to the station"
    LOG = "log", "Log from the station"
    PUBLISHING = "publishing", "Firmware to a local controller"


class StationTransfer(models.Model):
    """A file on its way to or from a station, and the last that the station said of it, in the protocol's own words."""

    charger = models.ForeignKey("fleet.Charger", on_delete=models.CASCADE, related_name="transfers")
    kind = models.CharField(max_length=10, choices=TransferKind)
    request_id = models.BigIntegerField()
    command = models.ForeignKey(
        "fleet.DeviceCommand", on_delete=models.SET_NULL, null=True, blank=True, related_name="transfers"
    )
    location = models.CharField(max_length=512)
    status = models.CharField(max_length=40, blank=True)
    detail = models.CharField(max_length=500, blank=True)
    began_at = models.DateTimeField()
    status_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = [F("began_at").desc()]
        constraints = [
            models.UniqueConstraint(fields=["charger", "kind", "request_id"], name="station_transfer_unique")
        ]

    def __str__(self) -> str:
        return f"{self.charger_id} {self.kind} {self.status}"


class ReservationState(models.TextChoices):
    REQUESTED = "requested", "Asked of the station"
    ACTIVE = "active", "Held by the station"
    REFUSED = "refused", "Refused by the station"
    USED = "used", "Used"
    CANCELLED = "cancelled", "Cancelled"
    EXPIRED = "expired", "Expired"


class Reservation(models.Model):
    """An EVSE kept for a driver until `expires_at`; without an EVSE, any of the station's."""

    charger = models.ForeignKey("fleet.Charger", on_delete=models.CASCADE, related_name="reservations")
    evse = models.ForeignKey("fleet.Evse", on_delete=models.CASCADE, null=True, blank=True)
    id_token = models.CharField(max_length=255)
    starts_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=ReservationState, default=ReservationState.REQUESTED)
    reason = models.CharField(max_length=200, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = [F("starts_at").desc()]
        constraints = [
            models.CheckConstraint(condition=models.Q(expires_at__gt=F("starts_at")), name="reservation_ends_later")
        ]

    def __str__(self) -> str:
        return f"{self.charger_id} #{self.pk} {self.state}"


class LocalListEntry(models.Model):
    """A token that a station has in its local list, as it last accepted it."""

    charger = models.ForeignKey("fleet.Charger", on_delete=models.CASCADE, related_name="local_list")
    id_token = models.CharField(max_length=255)
    kind = models.CharField(max_length=20, default="ISO14443")
    status = models.CharField(max_length=20, default="Accepted")
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["charger", "id_token"], name="local_list_entry_unique")]

    def __str__(self) -> str:
        return f"{self.charger_id} …{self.id_token[-4:]}"
