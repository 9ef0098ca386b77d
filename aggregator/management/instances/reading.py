"""From the files of an instance to a dispatch problem. `INSTANCE_HELP` says what they hold."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch import DispatchProblem, ReserveDirection, ReserveProduct, SiteLimits
from aggregator.management.instances.columns import BadInstance, Columns, first_repeated, read_columns
from common.horizon import Horizon
from common.units import SECONDS_PER_HOUR
from fleet.core.flexibility import FlexibleAssets
from fleet.core.power_curves import charging_fault, curve_points, discharging_fault

INSTANCE_HELP = """\
files of an instance (CSV with the columns' names in the first line; assets also as assets.npz with arrays of the same names):

  assets.csv    asset_id, arrival_step, departure_step (half-open), energy_kwh, required_kwh, capacity_kwh, floor_kwh,
                charge_kw, discharge_kw, charge_efficiency, discharge_efficiency, wear_per_kwh (of grid-side kWh
                discharged), site_id (optional; empty: at no site),
                charge_curve, discharge_curve (optional; power by the energy in the battery, as kWh:kW points with spaces
                between, straight between them: "48:11 60:4.4" is 11 kW up to 48 kWh and 4.4 kW when full; empty: none)
  steps.csv     step, step_h, price_per_kwh, base_load_kw, import_limit_kw, export_limit_kw, missed_price_per_kwh
                the limits hold for base_load_kw plus all set-points; beyond them each kWh costs missed_price_per_kwh;
                inf: no limit
  sites.csv     optional: site_id, step, base_load_kw, import_limit_kw, export_limit_kw   (hard limits)
  reserves.csv  optional: product, step, direction (up, down), price_per_kw, duration_steps, max_kw

required_kwh is the energy in the battery at departure and floor_kwh the least while plugged in; both are met whenever the
asset's own physics allow, before any money, and what they do not allow is met as far as possible and listed.
"""
# Step 0 has no date in an instance; any will do.
STARTS_AT = datetime(2000, 1, 1, tzinfo=UTC)


def read_instance(folder: Path) -> DispatchProblem:
    """Read and check every file.

    Raises:
        BadInstance: something is missing or makes no sense; it names file, row and column.
    """
    if not folder.is_dir():
        raise BadInstance(
            "is no folder", field=str(folder), remedy="Give the folder that holds assets.csv and steps.csv."
        )
    steps = _required(folder, "steps")
    horizon = _horizon(steps)
    sites_file = read_columns(folder, "sites", required=False)
    sites = None if sites_file is None else _sites(sites_file, horizon)
    assets_file = _required(folder, "assets")
    reserves_file = read_columns(folder, "reserves", required=False)
    return DispatchProblem(
        assets=_assets(assets_file, horizon, sites),
        horizon=horizon,
        price_per_kwh=steps.numbers("price_per_kwh"),
        base_load_kw=steps.numbers("base_load_kw"),
        import_limit_kw=steps.numbers("import_limit_kw", infinite=True),
        export_limit_kw=steps.numbers("export_limit_kw", infinite=True),
        missed_price_per_kwh=steps.numbers("missed_price_per_kwh", least=0.0),
        sites=sites,
        reserves=() if reserves_file is None else _reserves(reserves_file, horizon),
    )


def _required(folder: Path, name: str) -> Columns:
    columns = read_columns(folder, name)
    assert columns is not None  # a missing one has been refused
    return columns


def _horizon(steps: Columns) -> Horizon:
    number = steps.whole("step", least=0, most=max(len(steps) - 1, 0))
    steps.refuse(number != np.arange(len(steps)), "step", "the steps in order, counted from 0, none left out")
    if not len(steps):
        raise BadInstance("has no step", field=steps.path.name, remedy="Give at least one row.")
    step_h = steps.numbers("step_h")
    steps.refuse(step_h <= 0, "step_h", "hours above zero")
    return Horizon(STARTS_AT, step_h * SECONDS_PER_HOUR)


def _assets(file: Columns, horizon: Horizon, sites: SiteLimits | None) -> FlexibleAssets:
    identities = file.column("asset_id")
    file.refuse(first_repeated(identities), "asset_id", "an identifier that no earlier row has")
    arrival = file.whole("arrival_step", least=0, most=horizon.steps)
    departure = file.whole("departure_step", least=0, most=horizon.steps)
    file.refuse(departure < arrival, "departure_step", "a step that is not before arrival_step")
    amounts: dict[str, Any] = {
        name: file.numbers(name, least=0.0)
        for name in (
            "energy_kwh",
            "required_kwh",
            "capacity_kwh",
            "floor_kwh",
            "charge_kw",
            "discharge_kw",
            "wear_per_kwh",
        )
    }
    for name in ("required_kwh", "floor_kwh"):
        file.refuse(amounts[name] > amounts["capacity_kwh"] * (1 + 1e-9), name, "no more than capacity_kwh")
    for name in ("charge_efficiency", "discharge_efficiency"):
        amounts[name] = file.numbers(name, most=1.0)
        file.refuse(amounts[name] <= 0, name, "a number above 0 and at most 1")
    return FlexibleAssets(
        asset_id=identities,
        site_index=_site_index(file, sites),
        node_index=np.full(len(file), -1),
        arrival_step=arrival,
        departure_step=departure,
        **amounts,
        charge_curve=_curve(file, "charge_curve", lambda points: charging_fault(points, amounts["capacity_kwh"])),
        discharge_curve=_curve(file, "discharge_curve", discharging_fault),
    )


def _curve(
    file: Columns, name: str, fault: Callable[[NDArray[np.float64]], tuple[NDArray[np.bool_], str]]
) -> NDArray[np.float64] | None:  # [asset, point, 2]
    """Points written as "kWh:kW kWh:kW"; None without such a column."""
    if name not in file:
        return None
    rows: list[list[tuple[float, float]]] = []
    unreadable = np.zeros(len(file), dtype=np.bool_)
    for row, cell in enumerate(_texts(file.column(name)).tolist()):
        pairs = [point.split(":") for point in cell.split()]
        try:
            rows.append([(float(kwh), float(kw)) for kwh, kw in pairs])
        except ValueError:
            rows.append([])
            unreadable[row] = True
    file.refuse(unreadable, name, "points kWh:kW with spaces between, such as “48:11 60:4.4”, or nothing")
    points = curve_points(rows)
    if points is None:
        return None
    bad, expected = fault(points)
    file.refuse(bad, name, f"two points or more, with {expected}")
    return points


def _site_index(file: Columns, sites: SiteLimits | None) -> NDArray[np.int64]:
    if sites is None or "site_id" not in file:
        return np.full(len(file), -1)
    wanted = _texts(file.column("site_id"))
    order = np.argsort(sites.site_id)
    place = np.searchsorted(sites.site_id[order], wanted)
    index = order[np.minimum(place, order.size - 1)] if order.size else np.zeros(len(file), dtype=np.int64)
    nowhere = wanted == ""
    found = (sites.site_id[index] == wanted) if order.size else np.zeros(len(file), dtype=np.bool_)
    file.refuse(~found & ~nowhere, "site_id", "a site that sites.csv names, or nothing")
    return np.where(nowhere, -1, index).astype(np.int64)


def _texts(values: NDArray[Any]) -> NDArray[np.str_]:
    """Identifiers as text; a whole number that a gap in its column made a float is whole again."""
    if values.dtype.kind == "f":
        return np.array(["" if np.isnan(v) else f"{v:g}" for v in values.tolist()], dtype=np.str_)
    texts = [
        "" if value is None or (isinstance(value, float) and np.isnan(value)) else str(value)
        for value in values.tolist()
    ]
    return np.array(texts, dtype=np.str_)


def _sites(file: Columns, horizon: Horizon) -> SiteLimits:
    names, row = np.unique(_texts(file.column("site_id")), return_inverse=True)
    step = file.whole("step", least=0, most=horizon.steps - 1)
    file.refuse(first_repeated(row * horizon.steps + step), "step", "each step of a site only once")
    missing = np.ones((names.size, horizon.steps), dtype=np.bool_)
    missing[row, step] = False
    if missing.any():
        site, first = (int(where[0]) for where in np.nonzero(missing))
        raise BadInstance(
            f"site “{names[site]}” has no row for step {first}",
            field=file.path.name,
            remedy="Give a row for every step of every site.",
        )

    def table(name: str, **bounds: Any) -> NDArray[np.float64]:
        values = np.zeros((names.size, horizon.steps))
        values[row, step] = file.numbers(name, **bounds)
        return values

    return SiteLimits(
        names,
        table("base_load_kw"),
        table("import_limit_kw", least=0.0, infinite=True),
        table("export_limit_kw", least=0.0, infinite=True),
    )


def _reserves(file: Columns, horizon: Horizon) -> tuple[ReserveProduct, ...]:
    products = _texts(file.column("product"))
    direction = _texts(file.column("direction"))
    known = [str(one.value) for one in ReserveDirection]
    file.refuse(~np.isin(direction, known), "direction", " or ".join(known))
    step = file.whole("step", least=0, most=horizon.steps - 1)
    price, most_kw = file.numbers("price_per_kw"), file.numbers("max_kw", least=0.0)
    duration = file.whole("duration_steps", least=1, most=horizon.steps)
    found = []
    for name in dict.fromkeys(products.tolist()):
        rows = np.flatnonzero(products == name)
        for column, values in (("direction", direction), ("duration_steps", duration)):
            differs = np.zeros(len(file), dtype=np.bool_)
            differs[rows] = values[rows] != values[rows[0]]
            file.refuse(differs, column, f"the same in every row of product “{name}”")
        repeated = np.zeros(len(file), dtype=np.bool_)
        repeated[rows] = first_repeated(step[rows])
        file.refuse(repeated, "step", f"each step of product “{name}” only once")
        price_per_kw, max_kw = np.zeros(horizon.steps), np.zeros(horizon.steps)
        price_per_kw[step[rows]], max_kw[step[rows]] = price[rows], most_kw[rows]
        # a product is held through so many steps; their hours are those of the longest such run
        window = np.convolve(horizon.step_h, np.ones(int(duration[rows[0]])), mode="valid")
        found.append(
            ReserveProduct(name, ReserveDirection(str(direction[rows[0]])), price_per_kw, float(window.max()), max_kw)
        )
    return tuple(found)
