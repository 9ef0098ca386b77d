"""Market products: making the shipped ones known. Changed rules are a new row from a later date; rows are never edited."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

from grid.models import MarketProduct

SHIPPED_FILE = Path(__file__).resolve().parent.parent / "data" / "market_products.toml"
_AMOUNTS = ("price_cap",)


def register_shipped_products() -> int:
    """Register the shipped products that are missing; returns how many. Rows that are there stay as they are."""
    before = MarketProduct.objects.count()
    MarketProduct.objects.bulk_create([MarketProduct(**entry) for entry in shipped_products()], ignore_conflicts=True)
    return MarketProduct.objects.count() - before


def shipped_products() -> list[dict[str, Any]]:
    """The entries of `grid/data/market_products.toml`, amounts as Decimal."""
    entries: list[dict[str, Any]] = tomllib.loads(SHIPPED_FILE.read_text(encoding="utf-8"))["product"]
    return [
        {name: Decimal(str(value)) if name in _AMOUNTS else value for name, value in entry.items()} for entry in entries
    ]
