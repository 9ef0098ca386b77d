"""Energy between two instants: against integrals done by hand, with gaps, and with either kind of evidence missing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.core.metering import energy_in_slots, power_is_beyond_limits

NAN = float("nan")


def energy(times: list[float], registers: list[float], powers: list[float], boundaries: list[float], gap: float = 15):
    """`registers` is the net of both, which may fall: export grows when it does."""
    net = np.array(registers, dtype=float)
    steps = np.diff(net, prepend=net[:1])
    exported = np.where(np.isnan(net), np.nan, np.cumsum(np.maximum(-np.nan_to_num(steps), 0)))
    return energy_in_slots(
        measured_s=np.array(times),
        import_kwh=net + exported,
        export_kwh=exported,
        power_kw=np.array(powers),
        boundary_s=np.array(boundaries),
        longest_gap_s=gap,
    )


def test_registers_are_interpolated_at_the_boundaries() -> None:
    found = energy([-1, 1, 29, 31], [0.0, 2.0, 58.0, 62.0], [NAN] * 4, [0, 30], gap=30)
    assert found.net_kwh == pytest.approx([59.0])  # 1 at 0 s, 60 at 30 s
    assert found.complete.all()


def test_a_gap_inside_a_slot_does_not_matter_to_registers_but_one_over_a_boundary_does() -> None:
    inside = energy([0, 1, 29, 30], [0.0, 1.0, 9.0, 10.0], [NAN] * 4, [0, 30])
    across = energy([0, 1, 20, 40, 60], [0.0, 1.0, 9.0, 10.0, 11.0], [NAN] * 5, [0, 30, 60])
    assert inside.complete.tolist() == [True]
    assert across.complete.tolist() == [False, False]
    assert across.net_kwh.tolist() == [0.0, 0.0]


def test_power_fills_in_where_the_register_is_missing_and_needs_every_gap_short() -> None:
    ramp = energy([0, 10, 20, 30], [NAN] * 4, [0.0, 36.0, 36.0, 0.0], [0, 15, 30])
    assert ramp.net_kwh == pytest.approx([0.1, 0.1])  # (10·36/2 + 5·36) kW·s
    assert ramp.complete.all()
    gap = energy([0, 10, 30, 40, 60], [NAN] * 5, [3.6] * 5, [0, 10, 35, 60], gap=10)
    assert gap.complete.tolist() == [True, False, False]


def test_a_slot_that_reaches_beyond_the_readings_is_not_complete() -> None:
    found = energy([5, 10, 20, 25], [0.0, 1.0, 2.0, 3.0], [1.0] * 4, [0, 10, 20, 30])
    assert found.complete.tolist() == [False, True, False]


def test_a_register_that_went_back_is_bridged_by_power() -> None:
    found = energy_in_slots(
        measured_s=np.array([0.0, 10.0, 20.0, 30.0]),
        import_kwh=np.array([100.0, 100.1, 0.1, 0.2]),
        export_kwh=np.full(4, NAN),
        power_kw=np.full(4, 36.0),
        boundary_s=np.array([0.0, 10.0, 20.0, 30.0]),
        longest_gap_s=10,
    )
    assert found.net_kwh == pytest.approx([0.1, 0.1, 0.1])
    assert found.complete.all()


def test_a_missing_export_register_counts_as_nothing_exported() -> None:
    found = energy_in_slots(
        measured_s=np.array([0.0, 10.0]),
        import_kwh=np.array([5.0, 6.0]),
        export_kwh=np.full(2, NAN),
        power_kw=np.full(2, NAN),
        boundary_s=np.array([0.0, 10.0]),
        longest_gap_s=10,
    )
    assert found.net_kwh.tolist() == [1.0]


def test_no_reading_at_all_is_no_energy_and_not_complete() -> None:
    found = energy([], [], [], [0, 15, 30])
    assert found.net_kwh.tolist() == [0.0, 0.0]
    assert not found.complete.any()


@given(
    st.lists(st.floats(-50, 50), min_size=8, max_size=8),
    st.lists(st.floats(0.1, 5), min_size=7, max_size=7),
    st.lists(st.floats(0.05, 0.95), min_size=2, max_size=5, unique=True),
)
def test_slots_add_up_to_the_whole_whichever_evidence_is_used(
    powers: list[float], gaps: list[float], cuts: list[float]
) -> None:
    times = np.concatenate(([0.0], np.cumsum(gaps)))
    trapezoids = np.diff(times) * (np.array(powers)[1:] + np.array(powers)[:-1]) / 2 / 3600
    register = np.concatenate(([0.0], np.cumsum(trapezoids)))
    boundaries = [0.0, *sorted(float(times[-1] * cut) for cut in cuts), float(times[-1])]
    for registers in (register.tolist(), [NAN] * 8):
        found = energy(times.tolist(), registers, powers, boundaries, gap=5.1)
        assert found.complete.all()
        assert found.net_kwh.sum() == pytest.approx(register[-1], abs=1e-9)


@pytest.mark.parametrize(
    ("power_kw", "beyond"), [(11, False), (12.5, False), (12.7, True), (-0.4, False), (-0.6, True)]
)
def test_power_beyond_limits_forgives_overshoot_and_noise(power_kw: float, beyond: bool) -> None:
    assert power_is_beyond_limits(power_kw, max_charge_kw=11, max_discharge_kw=0) is beyond
