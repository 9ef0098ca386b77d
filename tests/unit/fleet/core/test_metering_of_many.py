"""Energy of many assets at once is what it is for each alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.core.metering import energy_in_slots, energy_of_many

BOUNDARY_S = 1_760_000_000.0 + np.arange(5) * 900.0
registers = st.none() | st.floats(0, 500)


@st.composite
def readings(draw: st.DrawFn) -> list[tuple[float, float, float, float]]:
    """Readings of one asset around the slots: at odd times, with holes, registers that go back or say nothing."""
    offsets = draw(st.lists(st.integers(-12, 60), unique=True, max_size=40))
    found = []
    for offset in sorted(offsets):
        values = [draw(registers), draw(registers), draw(st.none() | st.floats(-10, 10))]
        found.append(
            (1_760_000_000.0 + offset * 75.0 + 0.125, *(np.nan if value is None else value for value in values))
        )
    return found


@settings(max_examples=150, deadline=None)
@given(st.lists(readings(), min_size=1, max_size=4), st.sampled_from([150.0, 900.0, 3600.0]))
def test_one_by_one_or_together(meters: list, longest_gap_s: float) -> None:
    rows = [(row, *reading) for row, meter in enumerate(meters) for reading in meter]
    table = np.array(rows, dtype=np.float64).reshape(-1, 5)
    net_kwh, complete = energy_of_many(
        asset=table[:, 0].astype(np.intp),
        measured_s=table[:, 1],
        import_kwh=table[:, 2],
        export_kwh=table[:, 3],
        power_kw=table[:, 4],
        assets=len(meters),
        boundary_s=BOUNDARY_S,
        longest_gap_s=longest_gap_s,
    )
    for row, meter in enumerate(meters):
        own = np.array(meter, dtype=np.float64).reshape(-1, 4)
        alone = energy_in_slots(
            measured_s=own[:, 0],
            import_kwh=own[:, 1],
            export_kwh=own[:, 2],
            power_kw=own[:, 3],
            boundary_s=BOUNDARY_S,
            longest_gap_s=longest_gap_s,
        )
        assert complete[row].tolist() == alone.complete.tolist()
        np.testing.assert_allclose(net_kwh[row], alone.net_kwh, rtol=1e-12, atol=1e-9)


def test_meters_that_only_grow_need_no_loop() -> None:
    times = np.tile(BOUNDARY_S, 3)
    growing = np.concatenate([np.arange(5) * step for step in (1.0, 2.0, 3.0)])
    nothing = np.full(15, np.nan)
    net_kwh, complete = energy_of_many(
        asset=np.repeat([0, 1, 3], 5),
        measured_s=times,
        import_kwh=growing,
        export_kwh=nothing,
        power_kw=nothing,
        assets=4,
        boundary_s=BOUNDARY_S,
        longest_gap_s=900.0,
    )
    assert complete.all(axis=1).tolist() == [True, True, False, True]
    assert net_kwh[:, 0].tolist() == [1.0, 2.0, 0.0, 3.0]
