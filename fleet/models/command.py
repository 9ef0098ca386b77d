"""Commands to devices: rows that planning writes and gateways deliver. The two meet here and nowhere else."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q


class CommandKind(models.TextChoices):
    SET_POWER = "set_power", "Follow a power schedule"
    REMOTE_START = "remote_start", "Start a transaction"
    REMOTE_STOP = "remote_stop", "Stop a transaction"
    TRIGGER = "trigger", "Send a message now"
    RESET = "reset", "Restart"
    COMPOSITE_SCHEDULE = "composite_schedule", "Report the schedule in force"
    PRIORITY_CHARGING = "priority_charging", "Charge before all others"
    SET_DER_CONTROL = "set_der_control", "Take a DER control"
    CLEAR_DER_CONTROL = "clear_der_control", "Drop a DER control"
    GET_DER_CONTROL = "get_der_control", "Report its DER controls"
    AFRR_SIGNAL = "afrr_signal", "Follow an aFRR signal"
    UNLOCK = "unlock", "Unlock a connector"
    AVAILABILITY = "availability", "Put in or out of service"
    CLEAR_CACHE = "clear_cache", "Forget remembered tokens"
    READ_VARIABLES = "read_variables", "Read settings"
    WRITE_VARIABLE = "write_variable", "Write a setting"
    BASE_REPORT = "base_report", "Report all settings"
    COMPONENT_REPORT = "component_report", "Report components in trouble"
    SET_MONITOR = "set_monitor", "Monitor a variable"
    LIST_STREAMS = "list_streams", "Report its event streams"
    ADJUST_STREAM = "adjust_stream", "Stream more or less often"
    CLEAR_MONITORS = "clear_monitors", "Remove monitors"
    MONITORING_REPORT = "monitoring_report", "Report monitors"
    MONITORING_BASE = "monitoring_base", "Choose a set of monitors"
    MONITORING_LEVEL = "monitoring_level", "Choose what is severe enough to report"
    LOCAL_LIST = "local_list", "Replace or change the local list"
    LOCAL_LIST_VERSION = "local_list_version", "Report the version of the local list"
    RESERVE = "reserve", "Reserve"
    CANCEL_RESERVATION = "cancel_reservation", "Cancel a reservation"
    COST_UPDATE = "cost_update", "Show the cost so far"
    CUSTOMER_INFORMATION = "customer_information", "Report or erase a customer's data"
    GET_LOG = "get_log", "Send a log"
    GET_DIAGNOSTICS = "get_diagnostics", "Send diagnostics"
    UPDATE_FIRMWARE = "update_firmware", "Install firmware"
    PUBLISH_FIRMWARE = "publish_firmware", "Offer firmware to stations behind it"
    UNPUBLISH_FIRMWARE = "unpublish_firmware", "Offer that firmware no more"
    NETWORK_PROFILE = "network_profile", "Set a network connection"
    SHOW_MESSAGE = "show_message", "Show a message"
    LIST_MESSAGES = "list_messages", "Report shown messages"
    CLEAR_MESSAGE = "clear_message", "Remove a shown message"
    DATA_TRANSFER = "data_transfer", "Vendor's own message"
    TRANSACTION_STATUS = "transaction_status", "Report what of a transaction waits"
    LIST_PROFILES = "list_profiles", "Report charging profiles"
    CLEAR_PROFILES = "clear_profiles", "Remove charging profiles"
    INSTALL_CERTIFICATE = "install_certificate", "Install a root certificate"
    LIST_CERTIFICATES = "list_certificates", "Report installed certificates"
    DELETE_CERTIFICATE = "delete_certificate", "Delete an installed certificate"
    CERTIFICATE_SIGNED = "certificate_signed", "Take its signed certificate"
    NEW_PASSWORD = "new_password", "Take a new password"


class CommandState(models.TextChoices):
    QUEUED = "queued", "Queued"
    SENT = "sent", "Sent"
    CONFIRMED = "confirmed", "Confirmed by the device"
    REFUSED = "refused", "Refused by the device"
    TIMED_OUT = "timed_out", "No answer"
    SUPERSEDED = "superseded", "Replaced before it was sent"
    EXPIRED = "expired", "Too old to send"


class DeviceCommand(models.Model):
    """One command to one asset.

    For `set_power`: `starts_at` plus `offset_s[i]` is when `power_kw[i]` begins to hold (+ into the asset); after
    `valid_until` the device falls back to its fail-safe power by itself. `sequence` grows with every command to an
    asset, so that a device and a gateway can tell the newest. `parameters` holds what other kinds need.
    """

    asset = models.ForeignKey("fleet.Asset", on_delete=models.CASCADE, related_name="commands")
    sequence = models.BigIntegerField()
    kind = models.CharField(max_length=32, choices=CommandKind)
    starts_at = models.DateTimeField()
    valid_until = models.DateTimeField()
    offset_s = ArrayField(models.FloatField(), default=list)
    power_kw = ArrayField(models.FloatField(), default=list)
    parameters = models.JSONField(default=dict, blank=True)
    plan_id = models.BigIntegerField(null=True, blank=True, help_text="aggregator.Plan that caused it")
    grid_event_id = models.BigIntegerField(null=True, blank=True)
    batch = models.ForeignKey(
        "fleet.CommandBatch", on_delete=models.PROTECT, null=True, blank=True, related_name="commands"
    )
    requested_by = models.CharField(max_length=150, blank=True, help_text="who asked, where it was a person or program")
    state = models.CharField(max_length=12, choices=CommandState, default=CommandState.QUEUED)
    queued_at = models.DateTimeField()
    claimed_by = models.CharField(max_length=60, blank=True, help_text="gateway process")
    sent_at = models.DateTimeField(null=True, blank=True)
    answered_at = models.DateTimeField(null=True, blank=True)
    answer = models.JSONField(default=dict, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["asset", "sequence"], name="command_sequence_unique"),
            models.UniqueConstraint(
                fields=["asset"],
                condition=Q(state="queued", kind="set_power"),
                name="command_one_queued_set_power",
            ),
            models.CheckConstraint(condition=Q(valid_until__gt=F("starts_at")), name="command_valid_after_start"),
        ]
        indexes = [
            models.Index(fields=["asset"], condition=Q(state="queued"), name="command_queued"),
            models.Index(fields=["state", "sent_at"], condition=Q(state="sent"), name="command_unanswered"),
            models.Index(fields=["answered_at"], condition=Q(state="refused"), name="command_refused"),
            models.Index(fields=["grid_event_id"]),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.asset_id}#{self.sequence} {self.state}"
