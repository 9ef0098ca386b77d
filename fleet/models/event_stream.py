"""Periodic event streams of OCPP 2.1: values of a monitored variable that a station sends without waiting for answers."""

from django.db import models


class EventStream(models.Model):
    """A stream that a station has opened for one of its monitors. A closed one is kept with what it has told."""

    charger = models.ForeignKey("fleet.Charger", on_delete=models.CASCADE, related_name="event_streams")
    stream_id = models.BigIntegerField(help_text="the station's number for it")
    monitor_id = models.BigIntegerField(help_text="VariableMonitor.monitor_id at the same station")
    interval_s = models.PositiveIntegerField(null=True, blank=True)
    values_per_message = models.PositiveIntegerField(null=True, blank=True)
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)
    last_value = models.CharField(max_length=200, blank=True)
    last_value_at = models.DateTimeField(null=True, blank=True)
    received = models.BigIntegerField(default=0, help_text="values")
    pending = models.PositiveIntegerField(default=0, help_text="values that the station has still to send")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["charger", "stream_id"], name="event_stream_unique")]

    def __str__(self) -> str:
        return f"{self.charger_id} {self.stream_id}"
