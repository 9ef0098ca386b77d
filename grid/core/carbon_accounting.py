"""Carbon accounting: inventories, hourly matching, certificates in time, credits, positions, energy productivity. Pure.

Average factors make inventories, marginal factors judge decisions; no function here takes both, and nothing adds them.
Energies are consumption as at the meter (positive = import), in kWh; factors in kg CO2 per kWh; NaN: not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Inventory:
    """Scope 2 of a time, location-based and market-based (GHG Protocol), and what was not counted for want of a factor."""

    consumed_kwh: float
    location_kg: float
    market_kg: float
    covered_kwh: float
    without_factor_kwh: float


@dataclass(frozen=True, slots=True)
class CertificateLot:
    """Certificates that were retired for a consumption. `starts_at` and `ends_at` are when they were produced."""

    lot_id: int
    starts_at: datetime
    ends_at: datetime
    kwh: float
    supports_renewable_claim: bool
    kg_per_kwh: float


@dataclass(frozen=True, slots=True)
class Matching:
    """How consumption and certificates meet.

    Attributes:
        hourly_fraction: Σ_t min(C_t, L_t) / Σ L_t: certificates count only in the hour that they were produced in.
        annual_fraction: min(Σ C, Σ L) / Σ L: they count whenever in the time.
        covered_kwh: what is covered in each slot by the hour  # [slot]
    """

    hourly_fraction: float
    annual_fraction: float
    covered_kwh: Numbers


def inventory(
    *,
    consumed_kwh: Numbers,  # [slot]
    average_kg_per_kwh: Numbers,  # [slot]
    covered_kwh: Numbers,  # [slot]
    certificate_kg: float,
    residual_kg_per_kwh: Numbers,  # [slot]
) -> Inventory:
    """location = Σ L_t · AEF_t; market = emissions of the certificates + Σ (L_t − covered_t) · residual_t.

    Slots without a factor count nothing and are told. What is sent back to the grid does not make consumption negative.

    Args:
        covered_kwh: consumption that certificates stand for, slot by slot.
        certificate_kg: what the certified production itself emitted.
        residual_kg_per_kwh: factor of the mix that is left once claimed production is taken out; the average factor
            where no residual mix is published.
    """
    drawn = np.clip(consumed_kwh, 0.0, None)
    known = ~np.isnan(average_kg_per_kwh)
    left = np.clip(drawn - covered_kwh, 0.0, None)
    residual = np.where(np.isnan(residual_kg_per_kwh), average_kg_per_kwh, residual_kg_per_kwh)
    return Inventory(
        consumed_kwh=float(drawn.sum()),
        location_kg=float(drawn @ np.nan_to_num(average_kg_per_kwh)),
        market_kg=float(left @ np.nan_to_num(residual)) + certificate_kg,
        covered_kwh=float(np.minimum(covered_kwh, drawn).sum()),
        without_factor_kwh=float(drawn[~known].sum()),
    )


def match_certificates(
    *,
    slot_starts: Sequence[datetime],
    slot_ends: Sequence[datetime],
    consumed_kwh: Numbers,
    lots: Sequence[CertificateLot],
) -> Matching:
    """Match certificates to consumption by the hour and over the whole time. Only those that support a claim count.

    A lot that was produced over several slots is spread over them evenly; what a certificate of a year says about an hour is
    no more than that.
    """
    drawn = np.clip(consumed_kwh, 0.0, None)
    low = np.array([at.timestamp() for at in slot_starts])
    high = np.array([at.timestamp() for at in slot_ends])
    produced, total = np.zeros(len(drawn)), 0.0
    for lot in lots:
        if not lot.supports_renewable_claim:
            continue
        start, end = lot.starts_at.timestamp(), lot.ends_at.timestamp()
        overlap = np.clip(np.minimum(high, end) - np.maximum(low, start), 0.0, None)
        produced += lot.kwh * overlap / (end - start)
        total += lot.kwh
    covered = np.minimum(produced, drawn)
    consumed = float(drawn.sum())
    if consumed == 0:
        return Matching(1.0, 1.0, covered)
    return Matching(float(covered.sum()) / consumed, min(total, consumed) / consumed, covered)


def emission_reduction_kg(
    *, baseline_kwh: Numbers, project_kwh: Numbers, average_kg_per_kwh: Numbers, leakage_kg: float = 0.0
) -> tuple[float, float, float]:
    """Baseline-and-credit: (EM_BL, EM_PJ, ER = EM_BL − EM_PJ − leakage), in kg. Never less than nothing.

    Source of the form: J-Credit project plan. All three need the methodology's own factor in every slot.

    Args:
        baseline_kwh, project_kwh: energy used without and with the project  # [slot]

    Raises:
        ValueError: a slot has no factor; a credit is not computed from holes.
    """
    if np.isnan(average_kg_per_kwh).any():
        raise ValueError("a slot has no emission factor")
    baseline_kg = float(baseline_kwh @ average_kg_per_kwh)
    project_kg = float(project_kwh @ average_kg_per_kwh)
    return baseline_kg, project_kg, max(0.0, baseline_kg - project_kg - leakage_kg)


def allowance_position_kg(
    *, verified_kg: float, allowances_kg: float, offsets_kg: float, offset_limit_fraction: float
) -> float:
    """Cap-and-trade: what is left to cover (positive: short) = verified − allowances − eligible offsets, where offsets count
    up to a part of the verified emissions."""
    return verified_kg - allowances_kg - min(offsets_kg, offset_limit_fraction * verified_kg)


def energy_productivity(output: float, energy_kwh: float) -> float:
    """Output per kWh (EP100); NaN where no energy was used. It says nothing about renewables and is never mixed with them."""
    return output / energy_kwh if energy_kwh > 0 else float("nan")
