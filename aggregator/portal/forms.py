"""What people fill in. Each field says what it wants; rules of the domain stay in the operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth import password_validation
from django.core.exceptions import ValidationError
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from aggregator.models import User
from fleet.core.der_control import CONTROL_TYPES
from fleet.core.local_control import V2XMode
from fleet.operations.goals import Wish
from fleet.queries.portfolio import ModelChoice
from grid.queries import ProgrammeView


class PlainForm(forms.Form):
    """Labels without a colon: they stand above their field."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})


class LoginForm(PlainForm):
    """E-mail and password."""

    email = forms.EmailField(label=_("E-mail"), widget=forms.EmailInput(attrs={"autocomplete": "username"}))
    password = forms.CharField(
        label=_("Password"), strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )


class SignUpForm(PlainForm):
    """A new owner's login."""

    email = forms.EmailField(
        label=_("E-mail"), max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "email"})
    )
    name = forms.CharField(label=_("Name"), max_length=120, widget=forms.TextInput(attrs={"autocomplete": "name"}))
    password = forms.CharField(
        label=_("Password"),
        strip=False,
        help_text=_("At least 12 characters."),
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    language = forms.ChoiceField(label=_("Language"), choices=settings.LANGUAGES)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["language"].initial = "ja" if (get_language() or "").startswith("ja") else "en"

    def clean_email(self) -> str:
        email = User.objects.normalize_email(self.cleaned_data["email"])
        if User.objects.filter(email__iexact=email).exists():
            raise ValidationError(_("There is an account with this address already. Log in instead."))
        return email

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("password"):
            user = User(email=data.get("email", ""), name=data.get("name", ""))
            try:
                password_validation.validate_password(data["password"], user)
            except ValidationError as error:
                self.add_error("password", error)
        return data


WEEKDAYS = [(0, _("Mo")), (1, _("Tu")), (2, _("We")), (3, _("Th")), (4, _("Fr")), (5, _("Sa")), (6, _("Su"))]
GOAL_KINDS = [("weekly", _("every week")), ("once", _("once")), ("none", _("no fixed time"))]


def percent_field(label: Any, initial: int) -> forms.IntegerField:
    """A level in whole per cent, typed or stepped by five."""
    widget = forms.NumberInput(attrs={"min": 0, "max": 100, "step": 5, "inputmode": "numeric"})
    return forms.IntegerField(label=label, min_value=0, max_value=100, initial=initial, widget=widget)


class GoalForm(PlainForm):
    """When the car must be ready, how full, and how low it may go."""

    kind = forms.ChoiceField(label=_("When do you need the car?"), choices=GOAL_KINDS, widget=forms.RadioSelect)
    weekdays = forms.TypedMultipleChoiceField(
        label=_("Days"), choices=WEEKDAYS, coerce=int, required=False, widget=forms.CheckboxSelectMultiple
    )
    ready_by = forms.TimeField(
        label=_("Ready by"), required=False, widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M")
    )
    ready_at = forms.DateTimeField(
        label=_("Date and time"),
        required=False,
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"],
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )
    target_percent = percent_field(_("With (%)"), 80)
    floor_percent = percent_field(_("Never below (%)"), 30)
    keep_charging_if_late = forms.BooleanField(
        label=_("If late, keep charging after that time"), required=False, initial=True
    )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("kind") == "weekly" and not data.get("weekdays"):
            self.add_error("weekdays", _("Choose at least one day, or “no fixed time”."))
        if data.get("kind") == "weekly" and "ready_by" not in self.errors and data.get("ready_by") is None:
            self.add_error("ready_by", _("Say by when, such as 07:30."))
        if data.get("kind") == "once" and "ready_at" not in self.errors and data.get("ready_at") is None:
            self.add_error("ready_at", _("Say when you need the car."))
        floor, target = data.get("floor_percent"), data.get("target_percent")
        if floor is not None and target is not None and floor > target:
            self.add_error("floor_percent", _("The lowest level lies above the goal. Lower it, or raise the goal."))
        return data

    def wish(self) -> Wish:
        """What was filled in, as the fleet wants it."""
        data = self.cleaned_data
        return Wish(
            kind=data["kind"],
            target_soc_fraction=data["target_percent"] / 100,
            floor_soc_fraction=data["floor_percent"] / 100,
            weekdays=tuple(data["weekdays"]) if data["kind"] == "weekly" else (),
            ready_by=data["ready_by"] if data["kind"] == "weekly" else None,
            ready_at=data["ready_at"] if data["kind"] == "once" else None,
            keep_charging_if_late=data["keep_charging_if_late"],
        )


class CarForm(PlainForm):
    """Step 1: which car. Whether it can send power back may be unknown."""

    label = forms.CharField(label=_("What do you call it?"), max_length=80)
    model = forms.ChoiceField(label=_("Model"), required=False)
    battery_capacity_kwh = forms.FloatField(
        label=_("Battery (kWh)"),
        required=False,
        min_value=5,
        max_value=500,
        help_text=_("Only if your model is not in the list. It is in the car's papers."),
    )
    two_way = forms.ChoiceField(
        label=_("Can it send power back?"),
        choices=[("unknown", _("I do not know")), ("yes", _("yes")), ("no", _("no"))],
        widget=forms.RadioSelect,
        initial="unknown",
    )

    def __init__(self, *args: Any, models: Sequence[ModelChoice] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["model"].choices = [  # type: ignore[attr-defined]
            ("", _("not in the list")),
            *((str(model.model_id), model.label) for model in models),
        ]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if not data.get("model") and not data.get("battery_capacity_kwh") and "battery_capacity_kwh" not in self.errors:
            self.add_error("battery_capacity_kwh", _("Choose a model, or say how large the battery is."))
        return data


class ChargerForm(PlainForm):
    """Step 2: where it is usually plugged in."""

    charger_code = forms.CharField(
        label=_("Charger code"),
        max_length=48,
        required=False,
        help_text=_(
            "It is on the charger's label, such as CP-0412. Leave it empty if you have no charger of your own yet."
        ),
    )


class ConsentForm(PlainForm):
    """Step 4: three separate consents; none is ticked for you."""

    flexibility = forms.BooleanField(label=_("Use for the grid"), required=False)
    computing = forms.BooleanField(label=_("Rent out the computer"), required=False)
    emergency = forms.BooleanField(label=_("Use in an emergency"), required=False)

    def services(self) -> list[str]:
        """Those that were ticked."""
        return [name for name in ("flexibility", "computing", "emergency") if self.cleaned_data[name]]


class EventForm(PlainForm):
    """What the operator asks of the portfolio."""

    programme_code = forms.ChoiceField(label=_("Programme"))
    direction = forms.ChoiceField(
        label=_("What"),
        choices=[("reduce", _("reduce consumption or send")), ("increase", _("consume more"))],
        widget=forms.RadioSelect,
        initial="reduce",
    )
    target_kw = forms.FloatField(label=_("How much (kW)"), min_value=0.1)
    starts_at = forms.DateTimeField(
        label=_("Starts at"),
        input_formats=["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M"],
        widget=forms.DateTimeInput(attrs={"type": "datetime-local", "step": 1}, format="%Y-%m-%dT%H:%M:%S"),
    )
    duration_s = forms.IntegerField(label=_("For how long (s)"), min_value=1, initial=900)
    idempotency_key = forms.CharField(widget=forms.HiddenInput, max_length=120)

    def __init__(self, *args: Any, programmes: Sequence[ProgrammeView] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["programme_code"].choices = [  # type: ignore[attr-defined]
            (programme.code, f"{programme.code} ({programme.region_code})") for programme in programmes
        ]


class DerControlForm(PlainForm):
    """A DER control for a station, its content as OCPP writes it."""

    control_type = forms.ChoiceField(label=_("Type"), choices=[(name, name) for name in CONTROL_TYPES])
    is_default = forms.BooleanField(
        label=_("Default"), required=False, help_text=_("A default holds whenever no scheduled control does.")
    )
    content = forms.JSONField(
        label=_("Content (JSON)"),
        widget=forms.Textarea(attrs={"rows": 8, "spellcheck": "false"}),
        help_text=_("The element of SetDERControl for this type, with its priority; 0 is the highest."),
        error_messages={"invalid": _("This is no JSON.")},
    )

    def clean_content(self) -> dict[str, Any]:
        """An object, not a list or a number."""
        content = self.cleaned_data["content"]
        if not isinstance(content, dict):
            raise forms.ValidationError(_("Give an object in braces."))
        return content


class LocalControlForm(PlainForm):
    """By which rule an EVSE departs from its schedules."""

    evse = forms.IntegerField(label=_("EVSE"), min_value=1, initial=1)
    mode = forms.ChoiceField(label=_("Mode of operation"), choices=[(mode, mode) for mode in V2XMode])
    frequency_watt = forms.CharField(
        label=_("Frequency curve"),
        required=False,
        help_text=_("Hertz and kW that the schedule's power changes by, such as 49.8:-8 50:0 50.2:8; + into the car."),
    )
    signal_watt = forms.CharField(
        label=_("Signal curve"),
        required=False,
        help_text=_("aFRR signal and kW, such as -100:-5 0:0 100:5."),
    )

    def clean_frequency_watt(self) -> tuple[tuple[float, float], ...]:
        """Points as numbers."""
        return _curve(self.cleaned_data["frequency_watt"])

    def clean_signal_watt(self) -> tuple[tuple[float, float], ...]:
        """Points as numbers."""
        return _curve(self.cleaned_data["signal_watt"])


def _curve(text: str) -> tuple[tuple[float, float], ...]:
    try:
        points = [point.split(":") for point in text.split()]
        return tuple((float(x), float(y)) for x, y in points)
    except ValueError:
        raise forms.ValidationError(_("Write points as x:y, with spaces between them.")) from None
