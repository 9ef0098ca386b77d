"""A stored fleet that is plugged in, connected and metered: what planning finds on an ordinary evening."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fleet.models import Asset, Charger, ChargingSession, Region, VehicleGoal
from fleet.operations.portfolio import store_portfolio
from fleet.operations.telemetry import MeterReading, record_readings
from fleet.twin.portfolio import draw_portfolio
from grid.models import PricePoint, PriceSeries
from grid.operations.programmes import register_shipped_programmes

NOW = datetime(2026, 11, 23, 17, 0, tzinfo=UTC)
CAR_POWER_KW = 7.0


def park_fleet(*, vehicles: int = 24, hub: bool = True, now: datetime = NOW) -> Region:
    """Store a portfolio, plug every car in, connect everything, and let every meter report once."""
    portfolio = draw_portfolio(vehicles=vehicles, hub=hub, computers=4, seed=11, at_h=18, arrive_within_s=5)
    store_portfolio(portfolio=portfolio, now=now)
    register_shipped_programmes(region_code=portfolio.region_code, now=now)
    region = Region.objects.get(code=portfolio.region_code)
    _price_energy(region, now)
    Asset.objects.update(connected=True, last_seen_at=now)
    Charger.objects.update(gateway_identity="gw-test")
    cars = {car.charger: car for car in portfolio.cars}
    sessions, readings = [], []
    for charger in Charger.objects.prefetch_related("evses").order_by("pk"):
        car, evse = cars[charger.identity], charger.evses.all()[0]
        goal = VehicleGoal.objects.select_related("vehicle").get(vehicle__identity=car.identity)
        sessions.append(
            ChargingSession(
                charger=charger,
                evse=evse,
                vehicle=goal.vehicle,
                transaction_id=f"T-{car.identity}",
                started_at=now - timedelta(minutes=30),
                arrival_soc_fraction=car.soc_fraction,
                departure_at=now + timedelta(seconds=max(car.departure_in_s, 7200.0)),
                target_soc_fraction=car.target_soc_fraction,
                floor_soc_fraction=car.floor_soc_fraction,
                bidirectional=car.bidirectional,
            )
        )
        power_kw = CAR_POWER_KW if car.soc_fraction < car.target_soc_fraction else 0.0
        readings.append(MeterReading(evse.asset_id, now, power_kw, 100.0, 0.0, car.soc_fraction, None))
    ChargingSession.objects.bulk_create(sessions)
    for inverter in portfolio.inverters:
        for pack in inverter.packs:
            asset = Asset.objects.get(identity=pack.identity)
            readings.append(MeterReading(asset.pk, now, 0.0, 50.0, 40.0, pack.soc_fraction, 24.0))
    outcome = record_readings(readings=readings, now=now)
    assert outcome.stored == len(readings), outcome.refused
    return region


def report_power(power_kw: dict[int, float], *, at: datetime, soc_fraction: float | None = None) -> None:
    """Let assets report a power."""
    record_readings(
        readings=[MeterReading(asset, at, power, None, None, soc_fraction, None) for asset, power in power_kw.items()],
        now=at,
    )


def _price_energy(region: Region, now: datetime) -> None:
    series = PriceSeries.objects.create(code="test-day-ahead", region=region, currency="EUR")
    first = now.replace(minute=0, second=0, microsecond=0)
    PricePoint.objects.bulk_create(
        PricePoint(
            series=series,
            starts_at=first + timedelta(hours=hour),
            ends_at=first + timedelta(hours=hour + 1),
            price_per_kwh="0.34" if hour < 4 else "0.12",
        )
        for hour in range(26)
    )
