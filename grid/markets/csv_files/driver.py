"""Offers, awards and orders as CSV files below one folder: `offers/`, `awards/`, `orders/`.

Files of a market are read as they lie, sorted by name; a broken line names its file, its line and its column. An offer is
one file, named by its reference, which is written beside and then put in its place, so that nobody reads half of it.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from common.clock import require_aware
from common.errors import InvalidInput
from common.money import to_ledger_amount
from grid.markets.driver import Offer, Order
from grid.operations.awards import AwardInput
from grid.queries.awards import SignalView

OFFER_COLUMNS = ("reference", "product", "starts_at", "ends_at", "up_kw", "down_kw", "capacity_price", "currency")


class CsvMarket:
    """One market behind one folder. `requested_by` is the client that its awards are booked to."""

    def __init__(self, *, folder: Path, requested_by: str, region_code: str) -> None:
        self._folder = folder
        self._requested_by = requested_by
        self._region_code = region_code

    def submit(self, offer: Offer) -> bool:
        """Write an offer once.

        Raises:
            InvalidInput: the reference is no file name, or an offer of that reference says something else.
        """
        if not offer.reference or not all(sign.isalnum() or sign in "-_" for sign in offer.reference):
            raise InvalidInput(
                f"{offer.reference!r} is no name of a file.", field="reference", remedy="Use letters, digits, - and _."
            )
        path = self._folder / "offers" / f"{offer.reference}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        values = (
            offer.reference,
            offer.product_code,
            offer.starts_at.isoformat(),
            offer.ends_at.isoformat(),
            f"{offer.up_kw:g}",
            f"{offer.down_kw:g}",
            str(offer.capacity_price),
            offer.currency,
        )
        text = f"{','.join(OFFER_COLUMNS)}\n{','.join(values)}\n"
        if path.exists():
            if path.read_text(encoding="utf-8") != text:
                raise InvalidInput(
                    f"An offer {offer.reference!r} with other terms was handed over before.",
                    field="reference",
                    remedy="Give a changed offer a reference of its own.",
                )
            return False
        beside = path.with_suffix(".partial")
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        return True

    def awards(self) -> Iterator[AwardInput]:
        """Columns: reference, product, starts_at, ends_at, up_kw, down_kw, capacity_price; optional: up_energy_price_per_kwh,
        down_energy_price_per_kwh, imbalance_price_per_kwh."""
        for row in self._rows("awards"):
            yield AwardInput(
                product_code=row("product", str),
                region_code=self._region_code,
                requested_by=self._requested_by,
                reference=row("reference", str),
                starts_at=row("starts_at", _instant),
                ends_at=row("ends_at", _instant),
                up_kw=row("up_kw", float, "0"),
                down_kw=row("down_kw", float, "0"),
                capacity_price=row("capacity_price", _amount),
                up_energy_price_per_kwh=row("up_energy_price_per_kwh", _amount, "0"),
                down_energy_price_per_kwh=row("down_energy_price_per_kwh", _amount, "0"),
                imbalance_price_per_kwh=row("imbalance_price_per_kwh", _amount, "0"),
            )

    def orders(self) -> Iterator[Order]:
        """Columns: reference, at, and one or more of ordered_up_kw, frequency_hz, limit_kw (empty: not said)."""
        for row in self._rows("orders"):
            yield Order(
                reference=row("reference", str),
                signal=SignalView(
                    at=row("at", _instant),
                    ordered_up_kw=row("ordered_up_kw", _number, ""),
                    frequency_hz=row("frequency_hz", _number, ""),
                    limit_kw=row("limit_kw", _number, ""),
                ),
            )

    def _rows(self, kind: str) -> Iterator[Callable[..., Any]]:
        for path in sorted((self._folder / kind).glob("*.csv")):
            with path.open(encoding="utf-8-sig", newline="") as file:
                for line, values in enumerate(csv.DictReader(file), start=2):
                    yield _reader(values, f"{kind}/{path.name} line {line}")


def _reader(values: dict[str, str], where: str) -> Callable[..., Any]:
    def read(column: str, convert: Callable[[str], Any], default: str | None = None) -> Any:
        text = (values.get(column) or "").strip() or default
        if text is None:
            raise InvalidInput(f"{where} has none.", field=column, remedy="Fill the column.")
        try:
            return convert(text)
        except (ValueError, InvalidOperation) as error:
            raise InvalidInput(f"{where}: {text!r} cannot be read.", field=column, remedy="Correct it.") from error

    return read


def _instant(text: str) -> datetime:
    return require_aware(datetime.fromisoformat(text), "instant")


def _amount(text: str) -> Decimal:
    return to_ledger_amount(Decimal(text))


def _number(text: str) -> float | None:
    return float(text) if text else None
