"""What an operator fills in about used packs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from aggregator.portal.forms import PlainForm


class PackIntakeForm(PlainForm):
    """A pack as inspected. What was not measured stays empty."""

    identity = forms.CharField(label=_("Name of the pack"), max_length=60, help_text=_("Such as PACK-149."))
    inverter = forms.ChoiceField(label=_("Inverter"))
    device_id = forms.IntegerField(label=_("Modbus unit"), min_value=0, max_value=255)
    origin = forms.CharField(label=_("Vehicle model it came from"), max_length=120)
    serial_number = forms.CharField(label=_("Serial number"), max_length=60, required=False)
    manufactured_on = forms.DateField(
        label=_("Made on"), required=False, widget=forms.DateInput(attrs={"type": "date"})
    )
    nameplate_kwh = forms.FloatField(label=_("Energy when new (kWh)"), min_value=0.1)
    tested_kwh = forms.FloatField(label=_("Energy from full to empty, tested (kWh)"), min_value=0.1, required=False)
    cell_spread_v = forms.FloatField(
        label=_("Spread of cell voltages at rest (V)"), min_value=0, required=False, help_text=_("Highest less lowest.")
    )
    resistance_ratio = forms.FloatField(
        label=_("Inner resistance against a new pack"), min_value=0, required=False, help_text=_("1 is as new.")
    )
    insulation_ohm_per_v = forms.FloatField(label=_("Insulation (Ω/V)"), min_value=0, required=False)
    damaged = forms.BooleanField(label=_("Visible damage, swelling or traces of water"), required=False)
    max_charge_kw = forms.FloatField(label=_("Largest charging power (kW)"), min_value=0.1, initial=20)
    max_discharge_kw = forms.FloatField(label=_("Largest discharging power (kW)"), min_value=0.1, initial=20)

    def __init__(self, *args: Any, inverters: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = self.fields["inverter"]
        assert isinstance(choices, forms.ChoiceField)
        choices.choices = [(identity, identity) for identity in inverters]


class CapacityTestForm(PlainForm):
    """Which pack is to be tested."""

    pack = forms.ChoiceField(label=_("Pack"))

    def __init__(self, *args: Any, identities: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = self.fields["pack"]
        assert isinstance(choices, forms.ChoiceField)
        choices.choices = [(identity, identity) for identity in identities]
