"""`manage.py dispatch`: a portfolio given as files comes back as set-points that anybody can check."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from tests.unit.aggregator.core.dispatch.instances import study_problem

REPOSITORY = Path(__file__).resolve().parents[2]
ASSET_COLUMNS = [
    "asset_id",
    "arrival_step",
    "departure_step",
    "energy_kwh",
    "required_kwh",
    "capacity_kwh",
    "floor_kwh",
    "charge_kw",
    "discharge_kw",
    "charge_efficiency",
    "discharge_efficiency",
    "wear_per_kwh",
]
STEP_COLUMNS = [
    "step",
    "step_h",
    "price_per_kwh",
    "base_load_kw",
    "import_limit_kw",
    "export_limit_kw",
    "missed_price_per_kwh",
]


def write_csv(path, columns, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [",".join(columns), *(",".join(str(cell) for cell in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n")


def write_study(folder, count, *, npz=False):
    """The study's instance of so many assets."""
    problem = study_problem(count)
    columns = {name: getattr(problem.assets, name) for name in ASSET_COLUMNS}
    if npz:
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / "assets.npz", **columns)
    else:
        write_csv(
            folder / "assets.csv", ASSET_COLUMNS, zip(*(column.tolist() for column in columns.values()), strict=True)
        )
    steps = {"step": np.arange(96), "step_h": problem.horizon.step_h}
    steps |= {name: getattr(problem, name) for name in STEP_COLUMNS[2:]}
    write_csv(folder / "steps.csv", STEP_COLUMNS, zip(*(steps[name].tolist() for name in STEP_COLUMNS), strict=True))
    return problem


CAR = ["car", 0, 2, 10, 20, 40, 5, 10, 10, 0.95, 0.95, 0.05]
HOURS = [[step, 1, 0.1 * (step + 1), 0, "inf", "inf", 3] for step in range(2)]


def write_small(folder, *, assets=(CAR,), steps=HOURS, **more):
    write_csv(folder / "assets.csv", ASSET_COLUMNS, assets)
    write_csv(folder / "steps.csv", STEP_COLUMNS, steps)
    for name, (columns, rows) in more.items():
        write_csv(folder / f"{name}.csv", columns, rows)
    return folder


def dispatch(folder, out):
    call_command("dispatch", str(folder), "--out", str(out), "--gap", "1e-4")
    return json.loads((out / "summary.json").read_text()), np.load(out / "setpoints.npy")


@pytest.mark.parametrize(("count", "npz", "optimum"), [(100, False, 331.7641), (300, True, 966.4986)])
def test_the_studys_instances_reach_their_optima(tmp_path, count, npz, optimum):
    problem = write_study(tmp_path / "in", count, npz=npz)
    told, power_kw = dispatch(tmp_path / "in", tmp_path / "out")
    assert told["cost"] == pytest.approx(optimum, rel=1e-4)
    assert told["gap"] <= 1e-4 and told["missed"] == []
    assert power_kw.dtype == np.float32 and power_kw.shape == (count, 96)
    load_kw = problem.base_load_kw + power_kw.sum(axis=0)
    assert np.all(load_kw <= problem.import_limit_kw + 0.01)
    power = power_kw.astype(float)
    wear = problem.assets.wear_per_kwh @ np.maximum(-power, 0.0) @ problem.horizon.step_h
    paid = float(problem.price_per_kwh * problem.horizon.step_h @ power.sum(axis=0) + wear)
    assert paid == pytest.approx(told["cost"], rel=1e-5)
    assert {
        "cost",
        "lower_bound",
        "gap",
        "missed",
        "reserve_kw",
        "wall_s",
        "cpu_s",
        "peak_rss_mib",
        "solver",
        "status",
    } <= set(told)
    page = (tmp_path / "out" / "plan.html").read_text()
    assert "<svg" in page and "Every promise is kept" in page and "http" not in page.replace("http-equiv", "")


def test_the_json_summary_is_all_that_stands_on_standard_output(tmp_path):
    write_small(tmp_path / "in")
    done = subprocess.run(
        [sys.executable, "manage.py", "dispatch", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--json"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["missed_count"] == 0


def test_needs_that_contradict_physics_are_planned_as_far_as_possible_and_listed(tmp_path):
    greedy = ["late", 1, 2, 0, 30, 40, 0, 10, 0, 1.0, 1.0, 0.05]
    told, power_kw = dispatch(write_small(tmp_path / "in", assets=[CAR, greedy]), tmp_path / "out")
    (miss,) = told["missed"]
    assert (miss["kind"], miss["asset_id"], miss["kwh"]) == ("departure_need", "late", pytest.approx(20.0, abs=1e-3))
    assert power_kw[1].tolist() == pytest.approx([0.0, 10.0], abs=1e-4)
    assert "reaches only 10.0 kWh" in miss["reason"]


def test_sites_and_reserves_are_read(tmp_path):
    sites = ["site_id", "step", "base_load_kw", "import_limit_kw", "export_limit_kw"]
    folder = write_small(
        tmp_path / "in",
        sites=(sites, [["home", step, 2, 6, 6] for step in range(2)]),
        reserves=(
            ["product", "step", "direction", "price_per_kw", "duration_steps", "max_kw"],
            [["aFRR", step, "up", 2.0, 1, 3] for step in range(2)],
        ),
    )
    fuller = [*CAR[:3], 18, *CAR[4:]]
    write_csv(folder / "assets.csv", [*ASSET_COLUMNS, "site_id"], [[*fuller, "home"]])
    told, power_kw = dispatch(folder, tmp_path / "out")
    assert power_kw.max() <= 4.0 + 1e-3  # 6 kW less the load of 2
    assert told["reserve_kw"]["aFRR"] == pytest.approx([3.0, 3.0], abs=1e-3)


def test_a_fleet_with_reserves_is_planned_by_column_generation(tmp_path):
    problem = write_study(tmp_path / "in", 160, npz=True)
    columns = ["product", "step", "direction", "price_per_kw", "duration_steps", "max_kw"]
    rows = [[name, step, name, 0.004, 2, 60] for name in ("up", "down") for step in range(40, 60)]
    write_csv(tmp_path / "in" / "reserves.csv", columns, rows)
    told, power_kw = dispatch(tmp_path / "in", tmp_path / "out")
    assert told["solver"] == "column-generation" and told["gap"] <= 2e-3
    for name in ("up", "down"):
        sold_kw = np.array(told["reserve_kw"][name])
        assert sold_kw.shape == (96,) and sold_kw.max() <= 60.0 + 1e-6
        assert np.all(sold_kw[40:60] > 50.0) and not sold_kw[:40].any() and not sold_kw[60:].any()
    up_kw = problem.assets.discharge_limit_kw(96) + power_kw
    assert np.all(told["reserve_kw"]["up"] <= up_kw.sum(axis=0) + 0.01), "no more than all set-points leave in kW"


def test_power_curves_are_read_as_points(tmp_path):
    folder, full = write_small(tmp_path / "in"), [*CAR[:3], 30, 40, *CAR[5:9], 1.0, 1.0, 0.05]
    write_csv(
        folder / "assets.csv",
        [*ASSET_COLUMNS, "charge_curve", "discharge_curve"],
        [[*CAR, "", "0:2 10:10"], [*["full", *full[1:]], "30:10 40:2", ""]],
    )
    told, power_kw = dispatch(folder, tmp_path / "out")
    assert power_kw[1].tolist() == pytest.approx([5.556, 3.086], abs=1e-3)
    assert [miss["asset_id"] for miss in told["missed"]] == ["full"]


@pytest.mark.parametrize(
    ("curve", "said"),
    [
        ("30:10 40", "row 2, column “charge_curve”: found “30:10 40”, expected points kWh:kW"),
        ("30:10", "expected two points or more"),
        ("30:4 40:10", "powers that never rise"),
        ("20:10 30:5 40:4", "fall ever faster"),
        ("30:10 35:0", "not below 0 kW up to the capacity"),
    ],
)
def test_a_curve_that_makes_no_sense_is_named(tmp_path, curve, said):
    folder = write_small(tmp_path / "in")
    write_csv(folder / "assets.csv", [*ASSET_COLUMNS, "charge_curve"], [[*CAR, curve]])
    with pytest.raises(CommandError) as refused:
        dispatch(folder, tmp_path / "out")
    assert said in str(refused.value)


def spoilt(place, value):
    row = list(CAR)
    row[ASSET_COLUMNS.index(place)] = value
    return [CAR[:], ["other", *row[1:]] if place != "asset_id" else row]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (dict(assets=spoilt("energy_kwh", "")), "assets.csv: row 3, column “energy_kwh”: found “nan”"),
        (dict(assets=spoilt("charge_kw", "strong")), "assets.csv: row 3, column “charge_kw”: found “strong”"),
        (dict(assets=spoilt("charge_kw", -1)), "column “charge_kw”: found “-1”, expected a finite number, at least 0"),
        (dict(assets=spoilt("departure_step", -1)), "column “departure_step”"),
        (dict(assets=spoilt("arrival_step", 1.5)), "column “arrival_step”: found “1.5”, expected a whole number"),
        (dict(assets=[CAR, ["other", 2, 1, *CAR[3:]]]), "a step that is not before arrival_step"),
        (dict(assets=spoilt("required_kwh", 41)), "column “required_kwh”: found “41”, expected no more than capacity_kwh"),
        (dict(assets=spoilt("charge_efficiency", 1.2)), "column “charge_efficiency”"),
        (dict(assets=spoilt("asset_id", "car")), "an identifier that no earlier row has"),
        (dict(steps=[HOURS[0], [5, *HOURS[1][1:]]]), "steps.csv: row 3, column “step”"),
        (dict(steps=[[0, 0, 0.1, 0, 5, 5, 3]]), "column “step_h”"),
        (dict(steps=[[0, 1, "nan", 0, 5, 5, 3], HOURS[1]]), "column “price_per_kwh”"),
        (dict(sites=(["site_id", "step", "base_load_kw", "import_limit_kw", "export_limit_kw"], [["x", 0, 0, 5, -5], ["x", 1, 0, 5, 5]])),
         "sites.csv: row 2, column “export_limit_kw”"),
        (dict(sites=(["site_id", "step", "base_load_kw", "import_limit_kw", "export_limit_kw"], [["x", 0, 0, 5, 5]])),
         "site “x” has no row for step 1"),
        (dict(reserves=(["product", "step", "direction", "price_per_kw", "duration_steps", "max_kw"], [["p", 0, "left", 1, 1, 1]])),
         "reserves.csv: row 2, column “direction”"),
    ],
)  # fmt: skip
def test_bad_input_is_named_by_file_row_and_column(tmp_path, written, said):
    write_small(tmp_path / "in", **written)
    with pytest.raises(CommandError) as refused:
        dispatch(tmp_path / "in", tmp_path / "out")
    assert said in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_an_unknown_site_and_a_missing_column_are_named(tmp_path):
    sites = ["site_id", "step", "base_load_kw", "import_limit_kw", "export_limit_kw"]
    folder = write_small(tmp_path / "in", sites=(sites, [["home", step, 0, 6, 6] for step in range(2)]))
    write_csv(folder / "assets.csv", [*ASSET_COLUMNS, "site_id"], [[*CAR, "work"]])
    with pytest.raises(
        CommandError, match=r"row 2, column “site_id”: found “work”, expected a site that sites\.csv names"
    ):
        dispatch(folder, tmp_path / "out")
    write_csv(folder / "assets.csv", ASSET_COLUMNS[:-1], [CAR[:-1]])
    with pytest.raises(CommandError, match="has no column “wear_per_kwh”"):
        dispatch(folder, tmp_path / "out")


def test_a_folder_that_is_none_and_a_gap_that_is_none_are_refused(tmp_path):
    with pytest.raises(CommandError, match="is no folder"):
        dispatch(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(CommandError, match="--gap"):
        call_command("dispatch", str(tmp_path), "--out", str(tmp_path / "out"), "--gap", "1.5")
