"""Programmes: making their terms known. A change of terms is a new row from a later date; rows are never edited."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.db import transaction

from common.clock import require_aware
from common.errors import Conflict, InvalidInput, NotFound
from fleet.queries.places import RegionView, region_by_code
from grid.models import BaselineMethod, Programme
from grid.operations.baseline_rules import register_shipped_baseline_rules
from grid.operations.products import register_shipped_products
from grid.queries.programmes import ProgrammeView, programme_view

SHIPPED_FILE = Path(__file__).resolve().parent.parent / "data" / "programmes.toml"


class ProgrammeExists(Conflict):
    """Terms of this programme from this date are registered already."""

    code = "programme_exists"


class CurrencyNotShipped(NotFound):
    """The shipped programmes have no prices in this currency."""

    code = "currency_not_shipped"


@dataclass(frozen=True, slots=True)
class ProgrammeTerms:
    """What a programme buys and on which terms; see `grid.models.Programme` for the meaning of each field."""

    code: str
    name: str
    effective_from: datetime
    max_kw: float
    notice_s: int
    slot_s: int
    max_duration_s: int
    energy_price_per_kwh: Decimal
    missed_price_per_kwh: Decimal
    capacity_price_per_kw: Decimal = Decimal(0)
    allows_reduction: bool = True
    allows_increase: bool = False
    min_kw: float = 0.0
    ramp_s: int = 0
    tolerance_fraction: float = 0.1
    owner_share_fraction: Decimal = Decimal("0.8")
    baseline_method: str = BaselineMethod.METER_BEFORE.value
    baseline_window_s: int = 900
    currency: str = ""
    source: str = ""


def register_programme(*, region_code: str, terms: ProgrammeTerms) -> ProgrammeView:
    """Register the terms of a programme from a date on; its currency is the region's unless given.

    Raises:
        InvalidInput: a field breaks a rule.
        NotFound: the region is not registered.
        ProgrammeExists: terms from that date are registered, or the code is another region's.
    """
    _check(terms)
    region = region_by_code(region_code)
    with transaction.atomic():
        register_shipped_baseline_rules()
        same_code = Programme.objects.select_for_update().filter(code=terms.code)
        if same_code.exclude(region_id=region.region_id).exists():
            raise ProgrammeExists(
                f"{terms.code!r} belongs to another region.", field="code", remedy="Choose another code."
            )
        if same_code.filter(effective_from=terms.effective_from).exists():
            raise ProgrammeExists(
                f"{terms.code!r} has terms from {terms.effective_from.isoformat()}.",
                field="effective_from",
                remedy="Register changed terms from a later date.",
            )
        row = Programme.objects.create(
            code=terms.code,
            name=terms.name,
            region_id=region.region_id,
            effective_from=terms.effective_from,
            allows_reduction=terms.allows_reduction,
            allows_increase=terms.allows_increase,
            min_kw=terms.min_kw,
            max_kw=terms.max_kw,
            notice_s=terms.notice_s,
            ramp_s=terms.ramp_s,
            slot_s=terms.slot_s,
            max_duration_s=terms.max_duration_s,
            energy_price_per_kwh=terms.energy_price_per_kwh,
            capacity_price_per_kw=terms.capacity_price_per_kw,
            missed_price_per_kwh=terms.missed_price_per_kwh,
            tolerance_fraction=terms.tolerance_fraction,
            owner_share_fraction=terms.owner_share_fraction,
            baseline_method=terms.baseline_method,
            baseline_window_s=terms.baseline_window_s,
            currency=terms.currency or region.currency,
            source=terms.source,
        )
    return programme_view(Programme.objects.select_related("region").get(pk=row.pk))


def shipped_terms(*, currency: str) -> list[ProgrammeTerms]:
    """The programmes in `grid/data/programmes.toml`, priced in a currency.

    Raises:
        CurrencyNotShipped: the file has no prices in it.
    """
    entries = tomllib.loads(SHIPPED_FILE.read_text(encoding="utf-8"), parse_float=Decimal)["programme"]
    return [_priced(entry, currency) for entry in entries]


@transaction.atomic
def register_shipped_programmes(*, region_code: str, now: datetime) -> list[ProgrammeView]:
    """Register the shipped programmes in a region, those that are missing; once registered they stay as they are.

    A code that another region has already gets this region's code behind it.

    Raises:
        NotFound: the region is not registered, or has a currency without shipped prices.
    """
    require_aware(now, "now")
    region = region_by_code(region_code)
    register_shipped_baseline_rules()
    register_shipped_products()
    views = []
    for terms in shipped_terms(currency=region.currency):
        row = Programme.objects.select_related("region").filter(
            region_id=region.region_id, code__in=(terms.code, _code_in_region(terms.code, region))
        )
        existing = row.order_by("-effective_from").first()
        if existing is not None:
            views.append(programme_view(existing))
            continue
        taken = Programme.objects.filter(code=terms.code).exists()
        code = _code_in_region(terms.code, region) if taken else terms.code
        views.append(register_programme(region_code=region_code, terms=_with_code(terms, code)))
    return views


def _code_in_region(code: str, region: RegionView) -> str:
    return f"{code}-{region.code}"


def _with_code(terms: ProgrammeTerms, code: str) -> ProgrammeTerms:
    return ProgrammeTerms(**{**{name: getattr(terms, name) for name in terms.__slots__}, "code": code})


def _priced(entry: Mapping[str, Any], currency: str) -> ProgrammeTerms:
    fields = dict(entry)
    by_currency = fields.pop("prices")
    if currency not in by_currency:
        raise CurrencyNotShipped(
            f"{entry['code']!r} has no prices in {currency}.",
            field="currency",
            remedy=f"Register a programme of your own, or use {', '.join(sorted(by_currency))}.",
        )
    prices = {name: Decimal(str(price)) for name, price in by_currency[currency].items()}
    for name in ("min_kw", "max_kw", "tolerance_fraction"):
        fields[name] = float(fields[name])
    terms: dict[str, Any] = {**fields, **prices, "currency": currency}
    return ProgrammeTerms(**terms)


def _check(terms: ProgrammeTerms) -> None:
    require_aware(terms.effective_from, "effective_from")

    def refuse(field: str, message: str, remedy: str) -> None:
        raise InvalidInput(message, field=field, remedy=remedy)

    if not terms.code or len(terms.code) > 60:
        refuse("code", "is empty or too long.", "Give 1 to 60 characters.")
    if not terms.name or len(terms.name) > 160:
        refuse("name", "is empty or too long.", "Give 1 to 160 characters.")
    if not (terms.allows_reduction or terms.allows_increase):
        refuse("allows_reduction", "It buys neither direction.", "Allow a reduction, an increase or both.")
    if not (math.isfinite(terms.max_kw) and 0 <= terms.min_kw <= terms.max_kw and terms.max_kw > 0):
        refuse("max_kw", "The range of power is empty.", "Give 0 ≤ min_kw ≤ max_kw.")
    if terms.slot_s <= 0:
        refuse("slot_s", "A settlement slot has no length.", "Give seconds above zero.")
    if terms.max_duration_s < terms.slot_s:
        refuse("max_duration_s", "An event cannot hold one slot.", f"Give at least {terms.slot_s}.")
    for field in ("notice_s", "ramp_s"):
        if getattr(terms, field) < 0:
            refuse(field, "is negative.", "Give zero or more seconds.")
    for field in ("energy_price_per_kwh", "capacity_price_per_kw", "missed_price_per_kwh"):
        if getattr(terms, field) < 0:
            refuse(field, "is negative.", "Give zero or more.")
    for field in ("tolerance_fraction", "owner_share_fraction"):
        if not 0 <= getattr(terms, field) <= 1:
            refuse(field, "is no fraction.", "Give 0 to 1.")
    if terms.baseline_method not in BaselineMethod.values:
        refuse(
            "baseline_method", f"{terms.baseline_method!r} is none.", f"Give one of {', '.join(BaselineMethod.values)}."
        )
    if terms.baseline_window_s <= 0:
        refuse("baseline_window_s", "is no length.", "Give seconds above zero.")
