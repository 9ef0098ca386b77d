"""Power curves for the optimiser's tests."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from fleet.core.power_curves import curve_points


def tapered(assets, from_fraction=0.8, full_fraction=0.3):
    """The charging curves of cars that take less and less from a state of charge on."""
    from_kwh, to_kwh = from_fraction * assets.capacity_kwh, assets.capacity_kwh
    points = np.stack(
        [np.stack([from_kwh, to_kwh], axis=1), np.stack([assets.charge_kw, full_fraction * assets.charge_kw], axis=1)],
        axis=2,
    )
    return np.where(assets.capacity_kwh[:, None, None] > 0, points, np.nan)


@st.composite
def charge_curves(draw, assets):
    """None, one or two bends, above and below the power limit."""
    rows = []
    for capacity, most_kw in zip(assets.capacity_kwh.tolist(), assets.charge_kw.tolist(), strict=True):
        shapes = [
            [],
            [(0.8 * capacity, most_kw), (capacity, draw(st.sampled_from([0.0, 0.1, 0.5])) * most_kw)],
            [(0.5 * capacity, 1.2 * most_kw), (0.8 * capacity, 0.8 * most_kw), (capacity, 0.05 * most_kw)],
            [(0.6 * capacity, 0.7 * most_kw), (capacity, 0.3 * most_kw)],
        ]
        rows.append(draw(st.sampled_from(shapes)) if capacity > 0 else [])
    return curve_points(rows)


@st.composite
def discharge_curves(draw, assets):
    """The same for batteries that give less when nearly empty."""
    rows = []
    for capacity, most_kw in zip(assets.capacity_kwh.tolist(), assets.discharge_kw.tolist(), strict=True):
        shapes = [
            [],
            [(0.0, 0.2 * most_kw), (0.3 * capacity, most_kw)],
            [(0.0, 0.0), (0.2 * capacity, 0.7 * most_kw), (0.5 * capacity, 1.1 * most_kw)],
        ]
        rows.append(draw(st.sampled_from(shapes)) if capacity > 0 else [])
    return curve_points(rows)
