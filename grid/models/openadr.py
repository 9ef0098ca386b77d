"""OpenADR 3.1: what grid operators and virtual end nodes keep at our VTN, and what is still to be told to whom.

Identifiers that clients see are random. What a client sent stands in `body`, less what the VTN writes itself;
columns hold what is searched by and what decides who may see it.
"""

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, Q

LONGEST_NAME = 128
LONGEST_CLIENT_ID = 128


if TYPE_CHECKING:
    AnyField = models.Field[Any, Any]
else:
    AnyField = models.Field


class WireJSONField(AnyField):
    """JSON kept as the text that it was: jsonb refuses strings with NUL, which JSON allows."""

    def get_internal_type(self) -> str:
        return "TextField"

    def from_db_value(self, value: str | None, *_: Any) -> Any:
        return None if value is None else json.loads(value)

    def to_python(self, value: Any) -> Any:
        return json.loads(value) if isinstance(value, str) else value

    def get_prep_value(self, value: Any) -> str | None:
        return None if value is None else json.dumps(value, separators=(",", ":"), allow_nan=False)

    def value_to_string(self, obj: models.Model) -> str:
        return self.get_prep_value(self.value_from_object(obj)) or ""


def targets_field() -> ArrayField:
    """Targets as `storable` writes them."""
    return ArrayField(models.TextField(), default=list, blank=True)


def new_object_id() -> str:
    """An identifier that is safe in a URL and cannot be guessed."""
    return str(uuid4())


class OpenAdrObject(models.Model):
    """What all addressable objects have in common."""

    object_id = models.CharField(max_length=LONGEST_NAME, unique=True, default=new_object_id)
    created_at = models.DateTimeField()
    modified_at = models.DateTimeField()
    body = WireJSONField(help_text="what its client sent, less what the VTN writes")

    class Meta:
        abstract = True
        ordering = [F("id").asc()]

    def __str__(self) -> str:
        return self.object_id


class OpenAdrProgram(OpenAdrObject):
    """A programme that a grid operator announces. `operator_client_id` is whose it is: no other operator sees it."""

    operator_client_id = models.CharField(max_length=LONGEST_CLIENT_ID, db_index=True)
    operator_name = models.CharField(max_length=120, help_text="under which its grid events stand")
    program_name = models.TextField()
    targets = targets_field()

    class Meta(OpenAdrObject.Meta):
        constraints = [models.UniqueConstraint(fields=["program_name"], name="openadr_program_name_unique")]
        indexes = [GinIndex(fields=["targets"], name="openadr_program_targets")]


class OpenAdrEvent(OpenAdrObject):
    """An event of a programme. `revision` grows with every change; the portfolio has answered up to
    `answered_revision`."""

    program = models.ForeignKey(OpenAdrProgram, on_delete=models.CASCADE, related_name="events")
    targets = targets_field()
    ends_at = models.DateTimeField(null=True, blank=True, help_text="none: no end is known")
    revision = models.PositiveIntegerField(default=1)
    answered_revision = models.PositiveIntegerField(default=0)

    class Meta(OpenAdrObject.Meta):
        indexes = [
            GinIndex(fields=["targets"], name="openadr_event_targets"),
            models.Index(fields=["ends_at"], name="openadr_event_ends_at"),
            models.Index(
                fields=["id"], name="openadr_event_unanswered", condition=Q(answered_revision__lt=F("revision"))
            ),
        ]


class OpenAdrVen(OpenAdrObject):
    """A virtual end node. `created_by` is the operator that made it; empty: it enrolled itself."""

    client_id = models.TextField(db_index=True)
    created_by = models.CharField(max_length=LONGEST_CLIENT_ID, blank=True)
    ven_name = models.TextField()
    targets = targets_field()

    class Meta(OpenAdrObject.Meta):
        constraints = [models.UniqueConstraint(fields=["ven_name"], name="openadr_ven_name_unique")]


class OpenAdrResource(OpenAdrObject):
    """A device or group of devices behind a virtual end node."""

    ven = models.ForeignKey(OpenAdrVen, on_delete=models.CASCADE, related_name="resources")
    client_id = models.TextField(db_index=True)
    resource_name = models.TextField()
    targets = targets_field()

    class Meta(OpenAdrObject.Meta):
        constraints = [models.UniqueConstraint(fields=["ven", "resource_name"], name="openadr_resource_name_unique")]


class OpenAdrReport(OpenAdrObject):
    """A report of a virtual end node. It outlives its event: what was measured stays told."""

    client_id = models.CharField(max_length=LONGEST_CLIENT_ID, db_index=True)
    client_name = models.TextField()
    event_ref = models.CharField(max_length=LONGEST_NAME, db_index=True, help_text="identifier of the event")
    program_ref = models.CharField(max_length=LONGEST_NAME, db_index=True)
    operator_client_id = models.CharField(max_length=LONGEST_CLIENT_ID, db_index=True)
    origin_key = models.CharField(
        max_length=120, blank=True, help_text="names a report of our own, so that it is made once"
    )

    class Meta(OpenAdrObject.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["event_ref", "client_id", "origin_key"],
                condition=~Q(origin_key=""),
                name="openadr_own_report_once",
            )
        ]


class OpenAdrSubscription(OpenAdrObject):
    """Whom to call when what changes. A call-back that stays silent breaks it: it is not called until it is renewed."""

    client_id = models.CharField(max_length=LONGEST_CLIENT_ID, db_index=True)
    client_name = models.TextField()
    is_business_logic = models.BooleanField()
    program_ref = models.CharField(max_length=LONGEST_NAME, blank=True, help_text="empty: of all programmes")
    targets = targets_field()
    failing_since = models.DateTimeField(null=True, blank=True)
    broken_at = models.DateTimeField(null=True, blank=True)


class NotificationState(models.TextChoices):
    WAITING = "waiting", "Waiting"
    DELIVERED = "delivered", "Delivered"
    GIVEN_UP = "given_up", "Given up"


class OpenAdrNotification(models.Model):
    """Something that somebody is to be told: written in the transaction that changed it, delivered after it.

    With a subscription it is a call-back to `callback_url`; without one it goes to the MQTT topics in `topics`.
    """

    notification_id = models.UUIDField(unique=True, default=uuid4)
    subscription = models.ForeignKey(
        OpenAdrSubscription, on_delete=models.CASCADE, related_name="notifications", null=True, blank=True
    )
    callback_url = models.TextField(blank=True)
    topics = ArrayField(models.CharField(max_length=500), default=list, blank=True)
    payload = WireJSONField()
    state = models.CharField(max_length=10, choices=NotificationState, default=NotificationState.WAITING)
    created_at = models.DateTimeField()
    due_at = models.DateTimeField()
    attempts = models.PositiveSmallIntegerField(default=0)
    last_error = models.CharField(max_length=300, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["due_at"], name="openadr_notification_due", condition=Q(state="waiting")),
            models.Index(fields=["created_at"], name="openadr_notification_created"),
        ]

    def __str__(self) -> str:
        return str(self.notification_id)


class OpenAdrBrokerLogin(models.Model):
    """A client that asked how to listen at the broker; its token is its password there until it expires."""

    client_id = models.CharField(max_length=LONGEST_CLIENT_ID, unique=True)
    is_business_logic = models.BooleanField()
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.client_id


class AnswerState(models.TextChoices):
    ACCEPTED = "accepted", "Accepted"
    PARTIAL = "partial", "Accepted in part"
    REFUSED = "refused", "Refused"
    NOTED = "noted", "Noted: nothing to do"


class OpenAdrAnswer(models.Model):
    """What the portfolio answers to one interval of an event, of our own VTN or of an outside one.

    `source` names the event (`vtn:<id>`, or `<outside VTN>:<id>`). It outlives the event: what was promised stays told.
    """

    source = models.CharField(max_length=300)
    revision = models.PositiveIntegerField()
    position = models.PositiveIntegerField(help_text="of the interval in the event, from 0")
    interval_id = models.BigIntegerField()
    payload_type = models.CharField(max_length=LONGEST_NAME, blank=True)
    starts_at = models.DateTimeField(null=True, blank=True)
    ends_at = models.DateTimeField(null=True, blank=True)
    asked_kw = models.FloatField(null=True, blank=True, help_text="change wanted, positive = consume more")
    promised_kw = models.FloatField(null=True, blank=True, help_text="change promised, positive = consume more")
    state = models.CharField(max_length=10, choices=AnswerState)
    reason = models.CharField(max_length=300, blank=True)
    grid_event = models.ForeignKey(
        "grid.GridEvent", on_delete=models.PROTECT, related_name="openadr_answers", null=True, blank=True
    )
    answered_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["source", "revision", "position"], name="openadr_answer_once"),
        ]
        ordering = [F("source").asc(), F("revision").asc(), F("position").asc()]

    def __str__(self) -> str:
        return f"{self.source} {self.position}: {self.state}"


class VtnTransport(models.TextChoices):
    POLL = "poll", "Polling"
    WEBHOOK = "webhook", "Call-back, and polling"
    MQTT = "mqtt", "Broker, and polling"


class OutsideVtn(models.Model):
    """A top node of others at which the portfolio is enrolled. Its secret stands in the environment, not here."""

    name = models.CharField(max_length=60, unique=True, help_text="its events stand under this name")
    base_url = models.CharField(max_length=500, help_text="ends before /programs")
    client_id = models.CharField(max_length=400)
    secret_variable = models.CharField(max_length=120, help_text="environment variable that holds the client secret")
    scope = models.CharField(max_length=400, blank=True, help_text="to ask for; empty: what the client gets by itself")
    ven_name = models.CharField(max_length=LONGEST_NAME)
    programmes = models.JSONField(help_text='programName there -> code of our programme, {"TOU-1": "utility-dr"}')
    targets = ArrayField(models.CharField(max_length=LONGEST_NAME), default=list, blank=True)
    transport = models.CharField(max_length=10, choices=VtnTransport, default=VtnTransport.POLL)
    poll_s = models.PositiveIntegerField(default=60)
    enabled = models.BooleanField(default=True)
    callback_token = models.CharField(max_length=64, blank=True)
    ven_id = models.CharField(max_length=LONGEST_NAME, blank=True)
    subscription_id = models.CharField(max_length=LONGEST_NAME, blank=True)
    due_at = models.DateTimeField(null=True, blank=True, help_text="when it is asked again; none: at once")
    last_success_at = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=300, blank=True)
    failures = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(poll_s__gte=1), name="outside_vtn_poll_positive")]

    def __str__(self) -> str:
        return self.name


class OutsideEvent(models.Model):
    """An event of an outside VTN as it was read last."""

    vtn = models.ForeignKey(OutsideVtn, on_delete=models.CASCADE, related_name="events")
    event_id = models.CharField(max_length=LONGEST_NAME)
    code = models.CharField(max_length=60, help_text="of our programme")
    body = WireJSONField()
    program_body = WireJSONField()
    revision = models.PositiveIntegerField(default=1)
    received_at = models.DateTimeField(help_text="this revision")
    gone_at = models.DateTimeField(null=True, blank=True, help_text="when it was missing there for the first time")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["vtn", "event_id"], name="outside_event_once")]

    def __str__(self) -> str:
        return f"{self.vtn_id}:{self.event_id}"


class OutsideReport(models.Model):
    """A report to an outside VTN: kept until it is taken there."""

    event = models.ForeignKey(OutsideEvent, on_delete=models.CASCADE, related_name="reports")
    key = models.CharField(max_length=120)
    body = WireJSONField()
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)
    refused = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["event", "key"], name="outside_report_once")]
        indexes = [models.Index(fields=["id"], name="outside_report_unsent", condition=Q(sent_at=None, refused=""))]

    def __str__(self) -> str:
        return f"{self.event_id} {self.key}"
