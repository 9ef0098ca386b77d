"""Carbon accounting by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from grid.core.carbon_accounting import (
    CertificateLot,
    allowance_position_kg,
    emission_reduction_kg,
    energy_productivity,
    inventory,
    match_certificates,
)

START = datetime(2026, 11, 24, tzinfo=UTC)
STARTS = [START + timedelta(hours=n) for n in range(4)]
ENDS = [at + timedelta(hours=1) for at in STARTS]


def lot(hour: int, hours: int, kwh: float, *, renewable: bool = True) -> CertificateLot:
    starts_at = START + timedelta(hours=hour)
    return CertificateLot(1, starts_at, starts_at + timedelta(hours=hours), kwh, renewable, 0.0)


def test_hourly_and_annual_matching_differ() -> None:
    consumed = np.array([10.0, 10.0, 10.0, 10.0])
    # 40 kWh at noon stand for the year but for one hour only
    matched = match_certificates(slot_starts=STARTS, slot_ends=ENDS, consumed_kwh=consumed, lots=[lot(1, 1, 40.0)])
    assert matched.hourly_fraction == 0.25 and matched.annual_fraction == 1.0
    assert matched.covered_kwh.tolist() == [0.0, 10.0, 0.0, 0.0]
    spread = match_certificates(slot_starts=STARTS, slot_ends=ENDS, consumed_kwh=consumed, lots=[lot(0, 4, 20.0)])
    assert spread.hourly_fraction == spread.annual_fraction == 0.5


def test_certificates_without_a_renewable_claim_match_nothing() -> None:
    matched = match_certificates(
        slot_starts=STARTS, slot_ends=ENDS, consumed_kwh=np.ones(4), lots=[lot(0, 4, 4.0, renewable=False)]
    )
    assert matched.hourly_fraction == matched.annual_fraction == 0.0


def test_location_and_market_based_inventory() -> None:
    found = inventory(
        consumed_kwh=np.array([10.0, -5.0, 20.0, 4.0]),
        average_kg_per_kwh=np.array([0.4, 0.4, 0.5, np.nan]),
        covered_kwh=np.array([4.0, 0.0, 30.0, 0.0]),
        certificate_kg=0.1,
        residual_kg_per_kwh=np.array([0.6, 0.6, np.nan, np.nan]),
    )
    assert found.location_kg == pytest.approx(14.0), "what is sent back makes consumption no less"
    assert found.market_kg == pytest.approx(6.0 * 0.6 + 0.1) and found.covered_kwh == pytest.approx(24.0)
    assert found.consumed_kwh == 34.0 and found.without_factor_kwh == 4.0


def test_a_credit_is_the_difference_and_never_from_holes() -> None:
    given = {"baseline_kwh": np.array([100.0, 50.0]), "project_kwh": np.array([60.0, 50.0])}
    assert emission_reduction_kg(**given, average_kg_per_kwh=np.array([0.5, 0.4])) == pytest.approx((70.0, 50.0, 20.0))
    assert emission_reduction_kg(**given, average_kg_per_kwh=np.array([0.5, 0.4]), leakage_kg=50.0)[2] == 0.0
    with pytest.raises(ValueError, match="no emission factor"):
        emission_reduction_kg(**given, average_kg_per_kwh=np.array([0.5, np.nan]))


def test_positions_and_productivity() -> None:
    assert allowance_position_kg(
        verified_kg=1000.0, allowances_kg=700.0, offsets_kg=200.0, offset_limit_fraction=0.1
    ) == pytest.approx(200.0)
    assert energy_productivity(600.0, 200.0) == 3.0 and np.isnan(energy_productivity(1.0, 0.0))
