"""One command to many stations, and new firmware for many stations in stages."""

from django.db import models
from django.db.models import F, Q


class CommandBatch(models.Model):
    """The same command for many stations; its progress is that of the commands that belong to it."""

    kind = models.CharField(max_length=32)
    parameters = models.JSONField(default=dict, blank=True)
    requested_by = models.CharField(max_length=150)
    idempotency_key = models.CharField(max_length=100)
    requested_at = models.DateTimeField()

    class Meta:
        ordering = [F("requested_at").desc()]
        constraints = [
            models.UniqueConstraint(fields=["requested_by", "idempotency_key"], name="command_batch_asked_once")
        ]

    def __str__(self) -> str:
        return f"{self.kind} #{self.pk}"


class CampaignState(models.TextChoices):
    DRAFT = "draft", "Not started"
    RUNNING = "running", "Running"
    STOPPED = "stopped", "Stopped"
    FINISHED = "finished", "Finished"


class FirmwareCampaign(models.Model):
    """New firmware for the stations of one make and model, rolled out in stages.

    A stage begins when the one before it has ended and rested for `rest_s` seconds. The campaign stops by itself when
    more than `failure_limit_fraction` of a stage's stations fail; a station that does not say within
    `patience_s` seconds that it has installed the firmware counts as failed.
    """

    name = models.CharField(max_length=80)
    vendor = models.CharField(max_length=50)
    model = models.CharField(max_length=50)
    firmware_version = models.CharField(max_length=50)
    location = models.CharField(max_length=512, help_text="address from which stations fetch the file")
    signing_certificate = models.TextField(blank=True, help_text="PEM; with a signature the update is a signed one")
    signature = models.CharField(max_length=800, blank=True, help_text="base64")
    failure_limit_fraction = models.FloatField(default=0.1)
    patience_s = models.PositiveIntegerField(default=3600)
    rest_s = models.PositiveIntegerField(default=3600)
    # failures of the present stage that a person has seen and gone on after
    accepted_failures = models.PositiveIntegerField(default=0)
    state = models.CharField(max_length=10, choices=CampaignState, default=CampaignState.DRAFT)
    reason = models.CharField(max_length=200, blank=True, help_text="why it stopped")
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = [F("created_at").desc()]
        constraints = [
            models.CheckConstraint(
                condition=Q(failure_limit_fraction__gte=0) & Q(failure_limit_fraction__lte=1),
                name="campaign_failure_limit_is_fraction",
            )
        ]

    def __str__(self) -> str:
        return self.name


class CampaignStage(models.Model):
    """A share of a campaign's stations that is updated together."""

    campaign = models.ForeignKey(FirmwareCampaign, on_delete=models.CASCADE, related_name="stages")
    number = models.PositiveSmallIntegerField()
    began_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["campaign", "number"], name="campaign_stage_unique")]

    def __str__(self) -> str:
        return f"{self.campaign_id}/{self.number}"


class TargetState(models.TextChoices):
    WAITING = "waiting", "Waiting"
    ASKED = "asked", "Told to update"
    INSTALLED = "installed", "Installed"
    FAILED = "failed", "Failed"


class CampaignTarget(models.Model):
    """One station of a stage."""

    stage = models.ForeignKey(CampaignStage, on_delete=models.CASCADE, related_name="targets")
    charger = models.ForeignKey("fleet.Charger", on_delete=models.CASCADE, related_name="campaign_targets")
    state = models.CharField(max_length=10, choices=TargetState, default=TargetState.WAITING)
    reason = models.CharField(max_length=200, blank=True)
    command = models.OneToOneField("fleet.DeviceCommand", on_delete=models.SET_NULL, null=True, blank=True)
    asked_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["stage", "charger"], name="campaign_target_unique")]

    def __str__(self) -> str:
        return f"{self.stage_id} {self.charger_id} {self.state}"
