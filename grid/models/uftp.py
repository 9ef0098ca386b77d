"""UFTP (Shapeshifter): with whom messages are exchanged, what came in, and what is to be sent."""

import zoneinfo
from base64 import b64decode

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q

from grid.models.programme import Programme

LONGEST_REASON = 300
KEY_BYTES = 32


class UftpRole(models.TextChoices):
    DSO = "DSO", "Distribution system operator"


class OutgoingState(models.TextChoices):
    WAITING = "waiting", "Waiting"
    SENT = "sent", "Sent"
    GIVEN_UP = "given_up", "Given up"


class UftpParticipant(models.Model):
    """A party of the market. Its public key and endpoint are what it published; our private key is not kept here."""

    domain = models.CharField(max_length=253, help_text="internet domain, as it signs its messages")
    role = models.CharField(max_length=3, choices=UftpRole, default=UftpRole.DSO)
    endpoint = models.URLField(max_length=500, help_text="where its messages go, https://…/shapeshifter/api/v3/message")
    public_key = models.CharField(max_length=44, help_text="Ed25519 key to verify its signatures with, in base64")
    enabled = models.BooleanField(default=True, help_text="off: its messages are answered with Barred Sender")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["domain", "role"], name="uftp_participant_once")]
        ordering = [F("domain").asc()]

    def __str__(self) -> str:
        return f"{self.domain} ({self.role})"

    def clean(self) -> None:
        """A key that cannot be one would refuse every message as if it were forged."""
        try:
            length = len(b64decode(self.public_key, validate=True))
        except ValueError:
            length = 0
        if length != KEY_BYTES:
            raise ValidationError({"public_key": f"This is no Ed25519 key: give {KEY_BYTES} bytes in base64."})


class UftpCongestionPoint(models.Model):
    """A place in the grid at which a participant may ask our portfolio for flexibility, and in which programme."""

    entity_address = models.CharField(max_length=500, unique=True, help_text="ea1.… or ean.…")
    participant = models.ForeignKey(UftpParticipant, on_delete=models.PROTECT, related_name="congestion_points")
    programme_code = models.CharField(max_length=60, help_text="programme of ours whose region feeds from this point")
    isp_minutes = models.PositiveIntegerField(default=15, help_text="length of an imbalance settlement period")
    time_zone = models.CharField(max_length=60, default="Europe/Amsterdam")

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(isp_minutes__range=(1, 60)), name="uftp_isp_minutes_range")]
        ordering = [F("entity_address").asc()]

    def __str__(self) -> str:
        return self.entity_address

    def clean(self) -> None:
        """Days begin in a zone that exists, and what is asked for belongs to a programme that exists."""
        if self.time_zone not in zoneinfo.available_timezones():
            raise ValidationError({"time_zone": "There is no such time zone: give one such as Europe/Amsterdam."})
        if not Programme.objects.filter(code=self.programme_code).exists():
            raise ValidationError({"programme_code": "There is no programme of this code: add it first."})


class UftpReceived(models.Model):
    """A message with a valid signature, kept as it was signed, and how it was judged."""

    participant = models.ForeignKey(UftpParticipant, on_delete=models.PROTECT, related_name="received")
    message_id = models.UUIDField()
    conversation_id = models.UUIDField()
    kind = models.CharField(max_length=60)
    xml = models.TextField()
    rejection_reason = models.CharField(max_length=LONGEST_REASON, blank=True, help_text="empty: accepted")
    received_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["participant", "message_id"], name="uftp_received_once")]
        ordering = [F("received_at").desc()]

    def __str__(self) -> str:
        return f"{self.kind} {self.message_id}"


class UftpOutgoing(models.Model):
    """A message to a participant; it is signed when it is sent, so that no row depends on a key."""

    participant = models.ForeignKey(UftpParticipant, on_delete=models.PROTECT, related_name="outgoing")
    message_id = models.UUIDField(unique=True)
    kind = models.CharField(max_length=60)
    xml = models.TextField()
    answers = models.ForeignKey(UftpReceived, on_delete=models.PROTECT, related_name="answers", null=True, blank=True)
    state = models.CharField(max_length=10, choices=OutgoingState, default=OutgoingState.WAITING)
    created_at = models.DateTimeField()
    due_at = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)
    sent_at = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=LONGEST_REASON, blank=True)

    class Meta:
        indexes = [models.Index(fields=["due_at"], name="uftp_outgoing_due", condition=Q(state="waiting"))]
        ordering = [F("created_at").desc()]

    def __str__(self) -> str:
        return f"{self.kind} {self.message_id}"
