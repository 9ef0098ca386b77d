"""Time-partitioned tables, made by SQL in a migration; written by COPY, never row by row."""

from django.db import models


class Reading(models.Model):
    """What an asset's meter said at one instant. A second reading of the same instant is the same reading.

    `power_kw` is signed (+ into the asset), as is `setpoint_kw`, what the device says that it follows; the registers only
    grow. `soc_fraction` and `temperature_c` where known.
    `flags` is a bit set: 1 register went back, 2 power beyond the asset's limits, 4 register jumped, 8 doubtful clock (kept,
    not used for settlement).
    """

    pk = models.CompositePrimaryKey("asset_id", "measured_at")
    asset_id = models.BigIntegerField()
    measured_at = models.DateTimeField()
    power_kw = models.FloatField(null=True)
    import_kwh = models.FloatField(null=True)
    export_kwh = models.FloatField(null=True)
    soc_fraction = models.FloatField(null=True)
    temperature_c = models.FloatField(null=True)
    setpoint_kw = models.FloatField(null=True)
    flags = models.SmallIntegerField(default=0)
    received_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "fleet_reading"

    def __str__(self) -> str:
        return f"{self.asset_id} {self.measured_at}"


class DeviceMessage(models.Model):
    """The trace of what was said to and by a device: one row per message, kept for weeks, not for ever."""

    pk = models.CompositePrimaryKey("id", "at")
    id = models.BigIntegerField()
    at = models.DateTimeField()
    device_identity = models.CharField(max_length=60)
    # "in" from the device, "out" to it
    direction = models.CharField(max_length=3)
    action = models.CharField(max_length=60)
    message_id = models.CharField(max_length=64)
    payload = models.JSONField()
    result = models.CharField(max_length=60)
    reply_ms = models.FloatField(null=True)
    command_id = models.BigIntegerField(null=True)

    class Meta:
        managed = False
        db_table = "fleet_device_message"

    def __str__(self) -> str:
        return f"{self.device_identity} {self.direction} {self.action}"
