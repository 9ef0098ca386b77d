"""How far a car may be used, as its owner fills it in."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from aggregator.portal.forms import PlainForm

_CLOCK = {"type": "time"}


class UseLimitsForm(PlainForm):
    """Every field may stay empty: then there is no such limit."""

    max_discharge_kwh_per_day = forms.FloatField(
        label=_("Most energy to the grid in a day (kWh)"), required=False, min_value=0, max_value=10_000
    )
    max_discharge_kwh_per_month = forms.FloatField(
        label=_("Most energy to the grid in a month (kWh)"), required=False, min_value=0, max_value=100_000
    )
    max_events_per_month = forms.IntegerField(
        label=_("Most grid events in a month"), required=False, min_value=0, max_value=10_000
    )
    discharge_from = forms.TimeField(
        label=_("Sending to the grid is allowed from"), required=False, widget=forms.TimeInput(attrs=_CLOCK)
    )
    discharge_until = forms.TimeField(
        label=_("until"), required=False, help_text=_("Local time; it may pass midnight."),
        widget=forms.TimeInput(attrs=_CLOCK),
    )  # fmt: skip
