"""Limits that somebody else has set at a station: an energy management system, the system operator, the site itself."""

from django.db import models


class ChargingLimit(models.Model):
    """What a station has told of one source's limit (NotifyChargingLimit), for one EVSE or, without one, all together.

    Each step {"offset_s", "limit_kw", "discharge_limit_kw"} holds from `starts_at + offset_s` until the next or `ends_at`;
    null is no limit, and limits are never negative. No steps: the station says that there is a limit, not which.
    """

    charger = models.ForeignKey("fleet.Charger", on_delete=models.CASCADE, related_name="charging_limits")
    evse = models.ForeignKey(
        "fleet.Evse", on_delete=models.CASCADE, null=True, blank=True, related_name="charging_limits"
    )
    source = models.CharField(max_length=20)
    grid_critical = models.BooleanField(default=False)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    steps = models.JSONField(default=list)
    told_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["charger", "evse", "source"], nulls_distinct=False, name="charging_limit_one_per_source"
            )
        ]

    def __str__(self) -> str:
        return f"{self.charger_id}/{self.evse_id or 'all'} {self.source}"
