"""Settlements as documents: every number with the rule and the facts that it follows from."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime

import numpy as np

from aggregator.core.documents import Column, Document, DocumentTable, Figure
from grid.core.award_settlement import AwardSlot
from grid.core.carbon import FactorCurve, factors_of_slots
from grid.queries import EventView, SettlementView, emission_factors, event, settlement
from grid.queries.awards import AwardNotFound, AwardSettlementView, award, latest_award_settlement
from grid.queries.baseline_rules import BaselineRuleView, baseline_rule
from grid.queries.programmes import programme_on
from grid.queries.settlements import SettlementStepView

TERMS = "programme terms"


def settlement_document(
    *, event_id: int, revision: int | None = None, requested_by: str | None = None, with_shares: bool = True
) -> Document:
    """A revision of an event's settlement as a document; None: the latest.

    Raises:
        EventNotFound, SettlementNotFound: there is none for this caller.
    """
    found = event(event_id, requested_by=requested_by)
    settled = settlement(event_id=event_id, revision=revision, with_shares=with_shares)
    rule = baseline_rule(settled.baseline_method, found.starts_at)
    programme = programme_on(found.programme_code, found.starts_at)
    unverified = f"; not confirmed: {', '.join(rule.unverified)}" if rule.unverified else ""
    return Document(
        subject="settlement",
        number=f"E-{event_id} r{settled.revision}",
        facts=_event_facts(found, settled, rule),
        totals=_event_totals(settled),
        tables=(_event_slots(settled, _marginal(found, settled)), *([_event_shares(settled)] if with_shares else [])),
        evidence={
            "rule_version": settled.rule_version,
            "evidence_sha256": settled.evidence_sha256,
            "readings": f"/api/events/{event_id}/settlement/evidence?asset_id=…",
        },
        sources=(
            f"{programme.code} from {programme.effective_from.date()}: {programme.source}",
            f"{rule.code} from {rule.effective_from.date()}: {rule.source}{unverified}",
        ),
    )


def _event_facts(found: EventView, settled: SettlementView, rule: BaselineRuleView) -> tuple[Figure, ...]:
    money = found.currency
    return (
        Figure("operator", found.requested_by, "", "the event"),
        Figure("programme", found.programme_code, "", "the event"),
        Figure("direction", found.direction, "", "the event"),
        Figure("target_kw", found.target_kw, "kW", "the event"),
        Figure("starts_at", _instant(found.starts_at), "", "the event"),
        Figure("ends_at", _instant(found.ends_at), "", "the event"),
        Figure("revision", settled.revision, "", "1 at first; late readings make a further one"),
        Figure("settled_at", _instant(settled.settled_at), "", ""),
        Figure("baseline_method", rule.code, "", f"rule from {rule.effective_from.date()}"),
        Figure("energy_price_per_kwh", found.energy_price_per_kwh, f"{money}/kWh", TERMS),
        Figure("capacity_price_per_kw", found.capacity_price_per_kw, f"{money}/kW", TERMS),
        Figure("missed_price_per_kwh", found.missed_price_per_kwh, f"{money}/kWh", TERMS),
        Figure("tolerance_fraction", found.tolerance_fraction, "", TERMS),
        Figure("owner_share_fraction", found.owner_share_fraction, "", TERMS),
    )


def _event_totals(settled: SettlementView) -> tuple[Figure, ...]:
    money = settled.currency
    return (
        Figure("delivered_kwh", settled.delivered_kwh, "kWh", "Σ slots delivered_kwh = Σ shares delivered_kwh"),
        Figure("target_kwh", settled.target_kwh, "kWh", "Σ slots target_kw · h"),
        Figure("missed_kwh", settled.missed_kwh, "kWh", "rule 3: owed after the ramp beyond the tolerance"),
        Figure("energy_payment", settled.energy_payment, money, "rule 2: Σ slots paid kWh · energy_price_per_kwh"),
        Figure("capacity_payment", settled.capacity_payment, money, "rule 4: mean kW held · capacity_price_per_kw"),
        Figure("penalty", settled.penalty, money, "rule 3: missed_kwh · missed_price_per_kwh"),
        Figure("payment", settled.payment, money, "rule 5: energy + capacity − penalty"),
        Figure("avoided_co2_kg", settled.avoided_co2_kg, "kg CO2", "Σ (baseline − metered) · marginal factor"),
    )


def _marginal(found: EventView, settled: SettlementView) -> list[float | None]:
    """The region's marginal factor of each slot; None where it has none."""
    factors = emission_factors(
        region_id=found.region_id, kind="marginal", starts_at=found.starts_at, ends_at=found.ends_at
    )
    if not factors:
        return [None] * len(settled.steps)
    curve = FactorCurve(
        np.array([factor.starts_at.timestamp() for factor in factors]),
        np.array([factor.ends_at.timestamp() for factor in factors]),
        np.array([factor.kg_per_kwh for factor in factors]),
    )
    edges = [step.starts_at.timestamp() for step in settled.steps] + [found.ends_at.timestamp()]
    return [None if np.isnan(kg) else float(kg) for kg in factors_of_slots(curve, edges)]


def _avoided_kg(step: SettlementStepView, kg_per_kwh: float | None) -> float | None:
    hours = (step.ends_at - step.starts_at).total_seconds() / 3600.0
    return None if kg_per_kwh is None else round((step.baseline_kw - step.metered_kw) * hours * kg_per_kwh, 6)


def _event_slots(settled: SettlementView, marginal: list[float | None]) -> DocumentTable:
    return DocumentTable(
        "slots",
        (
            Column("starts_at", "", ""),
            Column("ends_at", "", ""),
            Column("baseline_kw", "kW", "Σ participants, by the baseline rule"),
            Column("metered_kw", "kW", "Σ participants, registers at the slot's ends"),
            Column("delivered_kw", "kW", "rule 1: baseline − metered, positive in the direction asked for"),
            Column("target_kw", "kW", "target; mean of the ramp in slots that it covers"),
            Column("delivered_kwh", "kWh", "delivered_kw · h, rounded to a milliwatt-hour"),
            Column("imbalance_kwh", "kWh", "delivered_kwh − target_kw · h"),
            Column("payment", settled.currency, "energy less penalty of the slot"),
            Column("marginal_kg_per_kwh", "kg CO2/kWh", "the region's marginal factor"),
            Column("avoided_co2_kg", "kg CO2", "(baseline − metered) · h · marginal factor"),
        ),
        tuple(
            (
                step.starts_at,
                step.ends_at,
                step.baseline_kw,
                step.metered_kw,
                step.delivered_kw,
                step.target_kw,
                step.delivered_kwh,
                round(
                    float(step.delivered_kwh)
                    - step.target_kw * (step.ends_at - step.starts_at).total_seconds() / 3600.0,
                    6,
                ),
                step.payment,
                kg_per_kwh,
                _avoided_kg(step, kg_per_kwh),
            )
            for step, kg_per_kwh in zip(settled.steps, marginal, strict=True)
        ),
    )


def _event_shares(settled: SettlementView) -> DocumentTable:
    return DocumentTable(
        "shares",
        (
            Column("asset_id", "", ""),
            Column("baseline_kwh", "kWh", "its baseline over the event"),
            Column("metered_kwh", "kWh", "its meter over the event"),
            Column("delivered_kwh", "kWh", "baseline − metered in the direction asked for; rounding to the largest"),
        ),
        tuple((share.asset_id, share.baseline_kwh, share.metered_kwh, share.delivered_kwh) for share in settled.shares),
    )


def award_document(*, award_id: int, requested_by: str | None = None) -> Document:
    """The latest settlement of an award as a document.

    Raises:
        AwardNotFound: there is none for this caller, or it is not settled yet.
    """
    sold = award(award_id, requested_by=requested_by)
    settled = latest_award_settlement(award_id)
    if settled is None:
        raise AwardNotFound(f"Award {award_id} is not settled yet.", field="award_id")
    product, money = sold.product, sold.currency
    unverified = f"; not confirmed: {', '.join(product.unverified)}" if product.unverified else ""
    return Document(
        subject="award_settlement",
        number=f"A-{award_id} r{settled.revision}",
        facts=(
            Figure("operator", sold.requested_by, "", "the award"),
            Figure("product", f"{product.code} {product.name}", "", f"rules from {product.effective_from.date()}"),
            Figure("contracted_kw", sold.contracted_kw, "kW", "the award"),
            Figure("starts_at", _instant(sold.starts_at), "", "the award"),
            Figure("ends_at", _instant(sold.ends_at), "", "the award"),
            Figure("settled_at", _instant(settled.settled_at), "", ""),
            Figure("capacity_price", sold.capacity_price, f"{money}/kW", "the award"),
            Figure("up_energy_price_per_kwh", sold.up_energy_price_per_kwh, f"{money}/kWh", "the award"),
            Figure("down_energy_price_per_kwh", sold.down_energy_price_per_kwh, f"{money}/kWh", "the award"),
            Figure("imbalance_price_per_kwh", sold.imbalance_price_per_kwh, f"{money}/kWh", "the award"),
            Figure("tolerance_fraction", product.tolerance_fraction, "", "product rules"),
            Figure("penalty_multiplier", product.penalty_multiplier, "", "product rules"),
        ),
        totals=_award_totals(settled),
        tables=(_award_slots(settled), _award_shares(settled)),
        evidence={"rule_version": settled.rule_version, "evidence_sha256": settled.evidence_sha256},
        sources=(f"{product.code} from {product.effective_from.date()}: {product.source}{unverified}",),
    )


_SLOT_ORIGINS = {
    "baseline_kw": ("kW", "nominated schedule, else the meter before"),
    "metered_kw": ("kW", "Σ participants, registers at the interval's ends"),
    "ordered_up_kw": ("kW", "the market's order, or the droop's answer to the frequency"),
    "delivered_up_kw": ("kW", "rule 1: baseline − metered"),
    "short_kw": ("kW", "rule 2: by the product's assessment"),
    "compliant_fraction": ("", "part of the judged intervals that were as ordered"),
    "up_kwh": ("kWh", "rule 3"),
    "down_kwh": ("kWh", "rule 3"),
    "imbalance_kwh": ("kWh", "rule 4: delivered − ordered"),
    "capacity_payment": ("", "rule 2: contracted kW · capacity price"),
    "energy_payment": ("", "rule 3"),
    "imbalance_payment": ("", "rule 4"),
    "penalty": ("", "rule 2: multiplier · capacity price · short_kw"),
}


def _award_totals(settled: AwardSettlementView) -> tuple[Figure, ...]:
    money = settled.currency
    return (
        Figure("compliant_fraction", settled.compliant_fraction, "", "part of all judged intervals"),
        Figure("up_kwh", settled.up_kwh, "kWh", "Σ slots"),
        Figure("down_kwh", settled.down_kwh, "kWh", "Σ slots"),
        Figure("imbalance_kwh", settled.imbalance_kwh, "kWh", "Σ slots"),
        Figure("capacity_payment", settled.capacity_payment, money, "Σ slots"),
        Figure("energy_payment", settled.energy_payment, money, "Σ slots"),
        Figure("imbalance_payment", settled.imbalance_payment, money, "Σ slots"),
        Figure("penalty", settled.penalty, money, "Σ slots"),
        Figure("payment", settled.payment, money, "rule 5: capacity + energy + imbalance − penalty"),
        Figure("avoided_co2_kg", settled.avoided_co2_kg, "kg CO2", "Σ (baseline − metered) · marginal factor"),
    )


def _award_slots(settled: AwardSettlementView) -> DocumentTable:
    names = [field.name for field in fields(AwardSlot)]
    columns = tuple(Column(name, *_SLOT_ORIGINS.get(name, ("", ""))) for name in names)
    rows = tuple(tuple(getattr(slot, name) for name in names) for slot in settled.slots)
    return DocumentTable("slots", columns, rows)


def _award_shares(settled: AwardSettlementView) -> DocumentTable:
    return DocumentTable(
        "shares",
        (
            Column("asset_id", "", ""),
            Column("committed_kw", "kW", "what it stands for"),
            Column("delivered_kwh", "kWh", "its energy in the direction ordered"),
        ),
        tuple((share.asset_id, share.committed_kw, share.delivered_kwh) for share in settled.shares),
    )


def _instant(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
