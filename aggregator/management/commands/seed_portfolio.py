"""Fill an empty database with a realistic portfolio, and write the world that the digital twin plays."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from aggregator.management.demonstration_logins import make_logins
from common.errors import PlatformError
from fleet.operations.portfolio import store_portfolio
from fleet.operations.retention import ensure_partitions
from fleet.twin.portfolio import draw_portfolio
from fleet.twin.portfolio_world import world_of
from grid.operations.prices import FactorInput, PriceInput, record_factors, record_prices
from grid.operations.programmes import register_shipped_programmes

PRICE_DAYS = 3
SLOT = timedelta(minutes=30)


class Command(BaseCommand):
    help = "Fill an empty database with a portfolio drawn from published distributions."
    requires_system_checks = ()  # `make check` and the migration before the start have run them

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--vehicles", type=int, default=80, help="cars, each with a station of its own")
        parser.add_argument("--hub", action="store_true", help="add the stadium hub: 148 packs behind 4 inverters")
        parser.add_argument("--computers", type=int, default=None, help="cars that rent out their computer (a quarter)")
        parser.add_argument("--seed", type=int, default=1, help="the same seed draws the same portfolio")
        parser.add_argument("--arrive-within", type=float, default=8.0, help="seconds over which the cars plug in")
        parser.add_argument("--meter-interval", type=float, default=2.0, help="seconds between two meter values")
        parser.add_argument("--world", type=Path, default=None, help="where the twin's world goes")
        parser.add_argument("--logins", action="store_true", help="make an owner's and an operator's login")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["vehicles"] < 1:
            raise CommandError("--vehicles: give 1 or more")
        now = timezone.now()
        # before any device speaks: a day that is made later moves the rows that came in the meantime
        ensure_partitions(now=now)
        local = now.astimezone(ZoneInfo("Europe/Amsterdam"))
        computers = options["computers"] if options["computers"] is not None else options["vehicles"] // 4
        portfolio = draw_portfolio(
            vehicles=options["vehicles"],
            hub=options["hub"],
            computers=min(computers, options["vehicles"]),
            seed=options["seed"],
            at_h=local.hour + local.minute / 60,
            arrive_within_s=options["arrive_within"],
        )
        try:
            region_id = store_portfolio(portfolio=portfolio, now=now)
            register_shipped_programmes(region_code=portfolio.region_code, now=now)
        except PlatformError as error:
            raise CommandError(str(error)) from error
        _record_market(region_id, portfolio.region_code, now)
        # what an earlier twin was told belongs to an earlier database
        (settings.RUN_DIR / "acknowledged.jsonl").unlink(missing_ok=True)
        world_path = options["world"] or settings.RUN_DIR / "world.json"
        _write_private(world_path, world_of(portfolio, meter_interval_s=options["meter_interval"]))
        if options["logins"]:
            _write_private(settings.RUN_DIR / "logins.json", make_logins(portfolio))
        packs = sum(len(inverter.packs) for inverter in portfolio.inverters)
        self.stdout.write(
            f"stored {len(portfolio.cars)} vehicles at {len(portfolio.sites)} sites, {packs} packs,"
            f" {len(portfolio.owners)} owners"
        )


def _write_private(path: Path, content: dict) -> None:
    """Secrets stand in it: only its owner may read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(content, file)


def _record_market(region_id: int, region_code: str, now: datetime) -> None:
    """A day-ahead price and emission factors: illustrative curves of this project, and marked so in their series.

    They are laid around the start: the first hours are neither cheap nor dear, so that the portfolio rests and an event
    is what moves it; a trough comes five hours later, a peak after thirteen, and so on every day.
    """
    first = now.replace(minute=30 * (now.minute // 30), second=0, microsecond=0)
    slots = int(timedelta(days=PRICE_DAYS) / SLOT)
    starts = [first + index * SLOT for index in range(-slots // 3, slots)]
    hour = np.array([((start - first).total_seconds() / 3600.0) % 24.0 for start in starts])

    def bump(centre_h: float, width_h: float) -> np.ndarray:
        return np.exp(-(((hour - centre_h) / width_h) ** 2))

    price = 0.20 - 0.05 * bump(5, 1.8) + 0.11 * bump(13, 2) - 0.03 * bump(19, 2)
    average = 0.27 - 0.10 * bump(5, 2.5) + 0.08 * bump(13, 2.5)
    source = "illustrative curve of this project, laid around the start of the demonstration"
    record_prices(
        series_code=f"{region_code}-day-ahead-illustrative",
        region_id=region_id,
        currency="EUR",
        source=source,
        points=[PriceInput(at, at + SLOT, float(round(value, 4))) for at, value in zip(starts, price, strict=True)],
    )
    for kind, values in (("average", average), ("marginal", average + 0.15)):
        record_factors(
            series_code=f"{region_code}-{kind}-illustrative",
            region_id=region_id,
            kind=kind,
            source=source,
            points=[FactorInput(at, at + SLOT, float(round(v, 4))) for at, v in zip(starts, values, strict=True)],
        )
