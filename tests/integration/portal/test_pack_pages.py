"""Used packs on the operator's pages, in both languages."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from fleet.models import Pack, PackIntake
from tests.portal_world import World

FORM = {
    "identity": "PACK-149",
    "inverter": "INV-1",
    "device_id": 40,
    "origin": "hatchback 2016",
    "nameplate_kwh": 24,
    "tested_kwh": 16,
    "cell_spread_v": 0.03,
    "insulation_ohm_per_v": 2000,
    "max_charge_kw": 20,
    "max_discharge_kw": 20,
}


def test_a_pack_is_taken_in_on_the_page_and_its_reasons_are_shown(world: World, operator: Client) -> None:
    answer = operator.post("/ops/packs/new/", FORM, follow=True)
    page = answer.content.decode()
    assert "PACK-149 is taken with 60% of its power." in page
    assert "State of health: 0.67, the mark is 0.70" in page
    assert Pack.objects.get(asset__identity="PACK-149").max_charge_kw == pytest.approx(12.0)
    japanese = operator.get("/ops/packs/", headers={"accept-language": "ja"}).content.decode()
    assert "出力を下げて受け入れ" in japanese


def test_a_refused_pack_and_a_wrong_figure_say_why(world: World, operator: Client) -> None:
    page = operator.post("/ops/packs/new/", FORM | {"damaged": "on"}, follow=True).content.decode()
    assert "PACK-149 is refused." in page
    assert "Visible damage" in page
    answer = operator.post("/ops/packs/new/", FORM | {"tested_kwh": 200})
    assert answer.status_code == 422
    assert "beyond what such a pack can hold" in answer.content.decode()
    assert PackIntake.objects.count() == 1


def test_a_test_that_cannot_begin_says_why(world: World, operator: Client) -> None:
    operator.post("/ops/packs/new/", FORM)
    page = operator.post("/ops/packs/test/", {"pack": "PACK-149"}, follow=True).content.decode()
    assert "it is offline" in page
    assert "Choose a pack." in operator.post("/ops/packs/test/", {"pack": "x"}, follow=True).content.decode()


def test_the_commands_do_the_same(world: World) -> None:
    out = StringIO()
    options = [f"--{name.replace('_', '-')}={value}" for name, value in FORM.items()]
    call_command("intake_pack", *options, "--inspected-by=bench", "--json", stdout=out)
    told = json.loads(out.getvalue())
    assert (told["verdict"], told["reasons"][0]["finding"], told["asset_id"] is not None) == (
        "derate",
        "state_of_health",
        True,
    )
    with pytest.raises(CommandError, match="offline"):
        call_command("measure_pack_capacity", "--pack=PACK-149")
    with pytest.raises(CommandError, match="manufactured-on"):
        call_command("intake_pack", *options, "--inspected-by=bench", "--manufactured-on=soon")
