"""Forms for commands to stations, made from the fleet's own table of commands; and for what else is asked of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from aggregator.portal.forms import PlainForm
from aggregator.portal.station_words import COMMAND_WORDS, PARAMETER_WORDS
from fleet.core.station_commands import COMMANDS, Parameter

LONG_TEXTS = frozenset({"certificate", "signing_certificate", "data"})
_NOTHING = ("", "–")


def offered_commands(protocol: str = "") -> list[tuple[str, Any]]:
    """Commands that a station of this protocol takes (empty: any), with their words."""
    return [
        (kind, COMMAND_WORDS.get(kind, kind))
        for kind, command in COMMANDS.items()
        if command.offered and (not protocol or protocol in command.versions)
    ]


class CommandForm(PlainForm):
    """The parameters of one command."""

    def __init__(self, *args: Any, kind: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kind = kind
        self.parameters = {parameter.name: parameter for parameter in COMMANDS[kind].parameters}
        for name, parameter in self.parameters.items():
            self.fields[name] = _field(parameter)

    def given(self) -> dict[str, Any]:
        """What was filled in, as the operation takes it."""
        values = {}
        for name, parameter in self.parameters.items():
            value = self.cleaned_data.get(name)
            if value is None or value == "":
                continue
            values[name] = _value(parameter, value)
        return values


def _field(parameter: Parameter) -> forms.Field:
    options: dict[str, Any] = {
        "label": PARAMETER_WORDS.get(parameter.name, parameter.name),
        "required": parameter.required,
    }
    if parameter.kind == "boolean":
        answers = [("true", _("yes")), ("false", _("no"))]
        return forms.ChoiceField(choices=answers if parameter.required else [_NOTHING, *answers], **options)
    if parameter.kind == "integer":
        return forms.IntegerField(min_value=int(parameter.least), max_value=int(parameter.most), **options)
    if parameter.kind == "number":
        return forms.FloatField(min_value=parameter.least, max_value=parameter.most, **options)
    if parameter.kind == "instant":
        widget = forms.DateTimeInput(attrs={"type": "datetime-local", "step": 1}, format="%Y-%m-%dT%H:%M:%S")
        return forms.DateTimeField(widget=widget, **options)
    if parameter.kind in ("texts", "integers") or parameter.name in LONG_TEXTS:
        return forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), max_length=40_000, **options)
    if parameter.choices:
        choices = [(choice, choice) for choice in parameter.choices]
        return forms.ChoiceField(choices=choices if parameter.required else [_NOTHING, *choices], **options)
    return forms.CharField(max_length=parameter.longest, **options)


def _value(parameter: Parameter, value: Any) -> Any:
    if parameter.kind == "boolean":
        return value == "true"
    if parameter.kind == "instant":
        assert isinstance(value, datetime)
        return value.isoformat()
    if parameter.kind in ("texts", "integers"):
        lines = [line.strip() for line in value.splitlines() if line.strip()]
        if parameter.kind == "texts":
            return lines
        return [int(line) if line.isdecimal() else line for line in lines]
    return value


class ReservationForm(PlainForm):
    """Keeping an EVSE for a driver."""

    evse = forms.IntegerField(label=_("EVSE (0: any)"), min_value=0, max_value=1000, initial=0)
    id_token = forms.CharField(label=_("Token"), max_length=36)
    minutes = forms.IntegerField(label=_("For how many minutes"), min_value=1, max_value=1440, initial=30)


class BatchForm(PlainForm):
    """Which stations get the same command. What is left empty does not matter."""

    site = forms.CharField(label=_("Site"), max_length=60, required=False)
    vendor = forms.CharField(label=_("Maker"), max_length=50, required=False)
    model = forms.CharField(label=_("Model"), max_length=50, required=False)
    identities = forms.CharField(
        label=_("Stations, one a line"), widget=forms.Textarea(attrs={"rows": 3}), max_length=500_000, required=False
    )
    idempotency_key = forms.CharField(widget=forms.HiddenInput, max_length=100)


class CampaignForm(PlainForm):
    """New firmware for a make and model."""

    name = forms.CharField(label=_("Name"), max_length=80)
    vendor = forms.CharField(label=_("Maker"), max_length=50)
    model = forms.CharField(label=_("Model"), max_length=50)
    firmware_version = forms.CharField(
        label=_("Version"), max_length=50, help_text=_("As stations name it after the update.")
    )
    location = forms.CharField(label=_("Address of the file"), max_length=512)
    stages = forms.CharField(
        label=_("Stages in per cent"), initial="5, 25, 100", help_text=_("Told after each stage; the last is 100.")
    )
    failure_limit_percent = forms.IntegerField(
        label=_("Stop when more fail than, per cent"), min_value=0, max_value=100, initial=10
    )
    patience_minutes = forms.IntegerField(
        label=_("Silence that counts as failure, minutes"), min_value=1, max_value=10_080, initial=60
    )
    rest_minutes = forms.IntegerField(
        label=_("Rest between stages, minutes"), min_value=0, max_value=10_080, initial=60
    )
    signing_certificate = forms.CharField(
        label=_("Certificate of the signer (PEM)"),
        widget=forms.Textarea(attrs={"rows": 3}),
        max_length=5500,
        required=False,
    )
    signature = forms.CharField(label=_("Signature (base64)"), max_length=800, required=False)

    def stage_fractions(self) -> list[float]:
        """The stages as fractions; empty where they cannot be read."""
        try:
            return [float(part) / 100 for part in self.cleaned_data["stages"].replace("、", ",").split(",")]
        except ValueError:
            return []
