"""Prices and emission factors that come as OpenADR events: kept as the series of their programme, which planning reads."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from common.errors import PlatformError
from grid.core.openadr.wishes import EMISSIONS, PRICE, Wish
from grid.models import (
    AnswerState,
    EmissionFactorSeries,
    FactorKind,
    OpenAdrAnswer,
    PriceSeries,
)
from grid.operations.prices import FactorInput, PriceInput, record_factors, record_prices
from grid.queries.programmes import ProgrammeView

_SOURCE = "OpenADR events of this programme"


def record_signals(source: str, programme: ProgrammeView, wishes: Sequence[Wish]) -> list[OpenAdrAnswer]:
    """Keep the prices and factors among an event's intervals; what asks for nothing is noted. Answers are not saved."""
    answers = {wish.position: _noted(wish) for wish in wishes}
    prices = [wish for wish in wishes if wish.payload_type == PRICE]
    factors = [wish for wish in wishes if wish.payload_type == EMISSIONS]
    for kept, keep in ((prices, _keep_prices), (factors, _keep_factors)):
        if kept:
            state, reason = keep(source, programme, kept)
            for wish in kept:
                answers[wish.position].state, answers[wish.position].reason = state, reason
    return list(answers.values())


def forget_signals(source: str) -> list[int]:
    """Take back the prices and factors that an event brought; returns the regions that had them."""
    regions: set[int] = set()
    for kind, model in ((PRICE, PriceSeries), (EMISSIONS, EmissionFactorSeries)):
        series: Any = model.objects.filter(code=_series_code(source, kind)).first()
        if series is not None:
            regions.add(series.region_id)
            series.delete()
    return sorted(regions)


def _keep_prices(source: str, programme: ProgrammeView, wishes: Sequence[Wish]) -> tuple[AnswerState, str]:
    currencies = {wish.currency for wish in wishes if wish.currency} or {programme.currency}
    if currencies != {programme.currency}:
        return AnswerState.REFUSED, f"prices in {', '.join(sorted(currencies))}; here they are in {programme.currency}"
    try:
        record_prices(
            series_code=_series_code(source, PRICE),
            region_id=programme.region_id,
            currency=programme.currency,
            source=_SOURCE,
            points=[PriceInput(wish.starts_at, wish.ends_at, wish.value) for wish in wishes if wish.ends_at],
        )
    except PlatformError as error:
        return AnswerState.REFUSED, str(error)[:300]
    return AnswerState.ACCEPTED, ""


def _keep_factors(source: str, programme: ProgrammeView, wishes: Sequence[Wish]) -> tuple[AnswerState, str]:
    try:
        record_factors(
            series_code=_series_code(source, EMISSIONS),
            region_id=programme.region_id,
            kind=FactorKind.MARGINAL,
            source=_SOURCE,
            points=[FactorInput(wish.starts_at, wish.ends_at, wish.value) for wish in wishes if wish.ends_at],
        )
    except PlatformError as error:
        return AnswerState.REFUSED, str(error)[:300]
    return AnswerState.ACCEPTED, ""


def _series_code(source: str, kind: str) -> str:
    """One series an event: a later event's prices count, and go with it."""
    return f"openadr-{kind.lower()}-{sha256(source.encode()).hexdigest()[:32]}"


def _noted(wish: Wish) -> OpenAdrAnswer:
    return OpenAdrAnswer(
        position=wish.position,
        interval_id=wish.interval_id,
        payload_type=wish.payload_type,
        starts_at=wish.starts_at,
        ends_at=wish.ends_at,
        state=AnswerState.NOTED,
        reason="nothing that a portfolio acts on",
    )
