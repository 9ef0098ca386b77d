"""From readings to money: settled once, the same again, and corrected when late readings change what is proven."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from unittest import mock

import pytest
from django.db import close_old_connections, connection

from aggregator.models import LedgerEntry, LedgerTransaction
from aggregator.operations import settlements as operations
from aggregator.operations.baselines import event_baseline
from aggregator.operations.settlements import EventCancelled, EventNotOver, settle_event
from aggregator.queries.ledger import booked_for_event, ledger_is_balanced, owner_balances, statement
from fleet.models import Charger, ChargingSession, Owner, Region, Vehicle
from fleet.operations.assets import (
    EvseSpecification,
    register_charger,
    register_inverter,
    register_owner,
    register_pack,
    register_vehicle,
)
from grid.models import EmissionFactor, EmissionFactorSeries, GridEvent, Settlement
from grid.operations.events import cancel_event, mark_planned, record_event
from grid.queries import EventView, SettlementView, event, events_to_settle, settlement
from tests.integration.metering import meter_readings, store_readings
from tests.integration.places import OWNER, REGION, SITE, register_test_place

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)  # a Tuesday
START = NOW + timedelta(hours=1)
BEFORE_KW, DURING_KW = 8.0, -2.0


@dataclass(frozen=True)
class Fleet:
    """A car of OWN-2 at an EVSE, a pack of OWN-1's site, and an EVSE at which nobody's car stands."""

    car: int
    pack: int
    unowned: int

    @property
    def all(self) -> list[int]:
        return [self.car, self.pack, self.unowned]


@pytest.fixture
def fleet(db: None) -> Fleet:
    return build_fleet()


def build_fleet() -> Fleet:
    register_test_place(now=NOW)
    register_owner(identity="OWN-2")
    register_vehicle(identity="EV-1", owner_identity="OWN-2", now=NOW, id_token="CARD-1")
    charger = register_charger(
        identity="CP-1",
        protocol="ocpp2.1",
        site_identity=SITE,
        evses=[EvseSpecification(max_charge_kw=11.0, max_discharge_kw=11.0)] * 2,
    )
    register_inverter(
        identity="INV-1", site_identity=SITE, host="h", port=502, max_charge_kw=20.0, max_discharge_kw=20.0
    )
    pack = register_pack(identity="PACK-1", inverter_identity="INV-1", device_id=2, now=NOW)
    plug_in(evse_id=charger.evses[0].evse_id)
    return Fleet(charger.evses[0].asset_id, pack.asset_id, charger.evses[1].asset_id)


def plug_in(*, evse_id: int) -> None:
    ChargingSession.objects.create(
        charger=Charger.objects.get(),
        evse_id=evse_id,
        vehicle=Vehicle.objects.get(),
        transaction_id="T-1",
        started_at=NOW - timedelta(days=30),
    )


def ask(
    participants: list[int],
    *,
    programme: str = "utility-dr",
    direction: str = "reduce",
    target_kw: float = 30.0,
    starts_at: datetime = START,
    minutes: float = 60,
    key: str = "key-1",
) -> EventView:
    recorded = record_event(
        requested_by="grid-co",
        idempotency_key=key,
        programme_code=programme,
        direction=direction,
        target_kw=target_kw,
        starts_at=starts_at,
        ends_at=starts_at + timedelta(minutes=minutes),
        now=starts_at - timedelta(hours=2),
    )
    mark_planned(
        event_id=recorded.event.event_id,
        participants=participants,
        baseline_kw=24.0,
        now=starts_at - timedelta(minutes=30),
    )
    return event(recorded.event.event_id)


def meter(
    asset_id: int,
    *,
    starts_at: datetime = START - timedelta(minutes=20),
    ends_at: datetime = START + timedelta(minutes=80),
    before_kw: float = BEFORE_KW,
    during_kw: float = DURING_KW,
    event_starts_at: datetime = START,
    every_s: float = 60.0,
) -> None:
    store_readings(
        meter_readings(
            asset_id,
            starts_at=starts_at,
            ends_at=ends_at,
            every_s=every_s,
            power_kw=lambda at: before_kw if at < event_starts_at else during_kw,
        ),
        now=ends_at,
    )


def amounts(event_id: int) -> dict[tuple[str, str, str, int | None], Decimal]:
    return {
        (line.account_kind, line.party, line.unit, line.asset_id): line.amount
        for line in booked_for_event(grid_event_id=event_id)
    }


def after(view: EventView) -> datetime:
    return view.ends_at + timedelta(seconds=10)


class TestOneEvent:
    def test_each_owner_is_paid_for_what_the_meter_proves(self, fleet: Fleet) -> None:
        for asset_id in fleet.all:
            meter(asset_id)
        view = ask(fleet.all)
        assert [ended.event_id for ended in events_to_settle(now=after(view))] == [view.event_id]
        settled = settle_event(event_id=view.event_id, now=after(view))
        # three assets went from +8 to −2 kW for an hour: 30 kW, 30 kWh at 0.30
        assert settled.delivered_kwh == pytest.approx(Decimal(30), abs=Decimal("0.000001"))
        assert settled.payment == Decimal(9) and settled.penalty == 0 and settled.missed_kwh == 0
        assert [step.delivered_kw for step in settled.steps] == pytest.approx([30.0] * 4)
        assert [step.in_ramp for step in settled.steps] == [True, False, False, False]
        booked = amounts(view.event_id)
        assert booked["grid_operator", "grid-co", "EUR", None] == Decimal(-9)
        assert booked["owner", "OWN-2", "EUR", fleet.car] == booked["owner", OWNER, "EUR", fleet.pack] == Decimal("2.4")
        assert booked["platform", "", "EUR", None] == Decimal("4.2"), "its fifth, and the part of the asset of nobody"
        assert booked["energy_source", "OWN-2", "kWh", fleet.car] == pytest.approx(Decimal(-10), abs=Decimal("0.00001"))
        assert booked["energy_grid", "grid-co", "kWh", None] == settled.delivered_kwh
        assert ledger_is_balanced()
        assert event(view.event_id).state == "settled" and events_to_settle(now=after(view)) == []

    def test_again_from_the_same_readings_nothing_changes(self, fleet: Fleet) -> None:
        for asset_id in fleet.all:
            meter(asset_id)
        view = ask(fleet.all)
        first = settle_event(event_id=view.event_id, now=after(view))
        entries = list(LedgerEntry.objects.order_by("pk").values_list("pk", "amount"))
        again = settle_event(event_id=view.event_id, now=after(view) + timedelta(days=1))
        assert again == settlement(event_id=view.event_id) and again.settlement_id == first.settlement_id
        assert again.evidence_sha256 == first.evidence_sha256
        assert list(LedgerEntry.objects.order_by("pk").values_list("pk", "amount")) == entries

    def test_a_lost_settlement_is_computed_again_to_the_last_digit(self, fleet: Fleet) -> None:
        for asset_id in fleet.all:
            meter(asset_id, during_kw=-2.34567)
        view = ask(fleet.all)
        first = settle_event(event_id=view.event_id, now=after(view))
        Settlement.objects.all().delete()
        second = settle_event(event_id=view.event_id, now=after(view) + timedelta(hours=5))
        assert second.evidence_sha256 == first.evidence_sha256
        assert (second.steps, second.shares, second.payment) == (first.steps, first.shares, first.payment)
        assert LedgerTransaction.objects.count() == 1, "the books have it already"

    def test_late_readings_make_a_revision_and_a_correction(self, fleet: Fleet) -> None:
        meter(fleet.pack)
        meter(fleet.unowned)
        view = ask(fleet.all)
        first = settle_event(event_id=view.event_id, now=after(view))
        assert first.delivered_kwh == pytest.approx(Decimal(20), abs=Decimal("0.000001"))
        assert first.missed_kwh > 0 and {share.asset_id: share.payment for share in first.shares}[fleet.car] == 0
        meter(fleet.car)
        second = settle_event(event_id=view.event_id, now=after(view) + timedelta(hours=3))
        assert second.revision == 2 and second.payment == Decimal(9) and second.evidence_sha256 != first.evidence_sha256
        assert settlement(event_id=view.event_id, revision=1).payment == first.payment, "what was settled stays"
        booked = amounts(view.event_id)
        assert booked["owner", "OWN-2", "EUR", fleet.car] == Decimal("2.4")
        assert booked["grid_operator", "grid-co", "EUR", None] == Decimal(-9)
        kinds = list(LedgerTransaction.objects.order_by("pk").values_list("kind", flat=True))
        assert kinds == ["settlement", "correction"] and ledger_is_balanced()
        assert settle_event(event_id=view.event_id, now=after(view) + timedelta(hours=4)).revision == 2

    def test_readings_that_change_no_number_make_no_revision(self, fleet: Fleet) -> None:
        for asset_id in fleet.all:
            meter(asset_id, ends_at=START + timedelta(minutes=60))
        view = ask(fleet.all)
        settle_event(event_id=view.event_id, now=after(view))
        late = meter_readings(
            fleet.car,
            starts_at=START + timedelta(minutes=61),
            ends_at=START + timedelta(minutes=65),
            every_s=60,
            power_kw=lambda at: 5.0,
            import_kwh=2000.0,
            export_kwh=900.0,
        )
        store_readings(late, now=START + timedelta(hours=2))
        assert settle_event(event_id=view.event_id, now=after(view) + timedelta(hours=1)).revision == 1

    def test_an_increase_is_paid_for_what_was_drawn_more(self, fleet: Fleet) -> None:
        for asset_id in fleet.all:
            meter(asset_id, before_kw=2.0, during_kw=10.0)
        view = ask(fleet.all, direction="increase", target_kw=24.0)
        settled = settle_event(event_id=view.event_id, now=after(view))
        assert settled.delivered_kwh == pytest.approx(
            Decimal(24), abs=Decimal("0.00001")
        ) and settled.payment == Decimal("7.2")

    def test_nobody_took_part_and_the_platform_pays_the_penalty(self, fleet: Fleet) -> None:
        view = ask([])
        settled = settle_event(event_id=view.event_id, now=after(view))
        assert settled.delivered_kwh == 0 and settled.payment < 0
        assert amounts(view.event_id)["platform", "", "EUR", None] == settled.payment
        assert not any(key[0] == "owner" for key in amounts(view.event_id))

    def test_an_event_called_off_while_it_runs_is_settled_until_then(self, fleet: Fleet) -> None:
        for asset_id in fleet.all:
            meter(asset_id)
        view = ask(fleet.all)
        cut = cancel_event(event_id=view.event_id, requested_by="grid-co", now=START + timedelta(minutes=40))
        settled = settle_event(event_id=view.event_id, now=after(cut))
        assert settled.delivered_kwh == pytest.approx(Decimal(20), abs=Decimal("0.00001"))
        assert settled.target_kwh == pytest.approx(Decimal("18.75"), abs=Decimal("0.00001")), "20 less half the ramp"

    def test_what_cannot_be_settled(self, fleet: Fleet) -> None:
        view = ask(fleet.all)
        with pytest.raises(EventNotOver):
            settle_event(event_id=view.event_id, now=view.ends_at - timedelta(seconds=1))
        cancel_event(event_id=view.event_id, requested_by="grid-co", now=NOW)
        with pytest.raises(EventCancelled):
            settle_event(event_id=view.event_id, now=after(view))

    def test_a_crash_while_booking_leaves_nothing(self, fleet: Fleet) -> None:
        for asset_id in fleet.all:
            meter(asset_id)
        view = ask(fleet.all)
        with (
            mock.patch.object(operations, "book_transaction", side_effect=RuntimeError("the worker dies")),
            pytest.raises(RuntimeError),
        ):
            settle_event(event_id=view.event_id, now=after(view))
        assert Settlement.objects.count() == 0 and event(view.event_id).state == "planned"
        assert settle_event(event_id=view.event_id, now=after(view)).payment == Decimal(9)

    def test_what_was_avoided_counts_by_the_marginal_factor_only(self, fleet: Fleet) -> None:
        region = Region.objects.get(code=REGION)
        for kind, factor in (("marginal", 0.5), ("average", 0.1)):
            series = EmissionFactorSeries.objects.create(code=kind, region=region, kind=kind)
            EmissionFactor.objects.create(
                series=series, starts_at=START, ends_at=START + timedelta(hours=2), kg_per_kwh=factor
            )
        for asset_id in fleet.all:
            meter(asset_id)
        view = ask(fleet.all)
        settled = settle_event(event_id=view.event_id, now=after(view))
        assert settled.avoided_co2_kg == pytest.approx(Decimal(15), abs=Decimal("0.00001"))
        booked = amounts(view.event_id)
        assert booked["carbon_source", "", "kgCO2", None] == -settled.avoided_co2_kg
        assert booked["carbon_account", "OWN-2", "kgCO2", fleet.car] == pytest.approx(
            Decimal(5), abs=Decimal("0.00001")
        )
        owner = Owner.objects.get(identity="OWN-2")
        month = statement(owner.pk, START.date())
        assert month.earned == {"EUR": Decimal("2.4")}
        assert month.energy_kwh == pytest.approx(Decimal(10), abs=Decimal("0.00001"))
        assert month.co2_kg == pytest.approx(Decimal(5), abs=Decimal("0.00001"))
        assert {row.unit: row.balance for row in owner_balances("OWN-2")}["EUR"] == Decimal("2.4")


class TestHistoryBaseline:
    def test_the_highest_four_of_five_working_days_count(self, fleet: Fleet) -> None:
        evening = datetime(2026, 11, 24, 17, 0, tzinfo=UTC)
        # Monday, Friday, Thursday, Wednesday, Tuesday before; the weekend between does not count
        for back, level_kw in ((1, 9.0), (2, 1.0), (3, 1.0), (4, 10.0), (5, 8.0), (6, 9.5), (7, 10.5), (8, 50.0)):
            day = evening - timedelta(days=back)
            self.feed(fleet.car, day, level_kw / 5, window_kw=level_kw / 10)
        self.feed(fleet.car, evening, 0.5, window_kw=2.0)
        view = ask([fleet.car], programme="utility-dr-history", target_kw=1.0, starts_at=evening)
        steered_by = event_baseline(event=view, participants=[fleet.car], now=evening + timedelta(seconds=1))
        settled = settle_event(event_id=view.event_id, now=after(view))
        # kept 9, 10, 9.5 and 10.5: a fifth of their mean is 1.95 kW, their window 0.975, today's 2.0: adjustment +1.025
        assert settled.baseline_method == "high_4_of_5"
        assert [step.baseline_kw for step in settled.steps] == pytest.approx([2.975, 2.975], abs=1e-6)
        assert [step.delivered_kw for step in settled.steps] == pytest.approx([2.475, 2.475], abs=1e-6)
        assert steered_by.final and steered_by.power_kw == pytest.approx(2.975, abs=1e-6), "steered by what is settled"

    def test_a_day_with_an_event_is_no_day_like_the_others(self, fleet: Fleet) -> None:
        evening = datetime(2026, 11, 24, 17, 0, tzinfo=UTC)
        yesterday = ask([], key="yesterday", starts_at=evening - timedelta(days=1))
        for back, level_kw in ((1, 20.0), (4, 10.0)):
            self.feed(fleet.car, evening - timedelta(days=back), level_kw / 10, window_kw=1.0)
        self.feed(fleet.car, evening, 0.0, window_kw=1.0)
        view = ask([fleet.car], programme="utility-dr-history", target_kw=1.0, starts_at=evening)
        settled = settle_event(event_id=view.event_id, now=after(view))
        assert settled.steps[0].baseline_kw == pytest.approx(1.0, abs=1e-6)
        cancel = GridEvent.objects.filter(pk=yesterday.event_id)
        cancel.update(state="cancelled")
        again = settle_event(event_id=view.event_id, now=after(view))
        assert again.steps[0].baseline_kw == pytest.approx(1.5, abs=1e-6), "an event called off was none"

    def test_without_any_earlier_day_the_meter_before_counts_and_the_settlement_says_so(self, fleet: Fleet) -> None:
        evening = datetime(2026, 11, 24, 17, 0, tzinfo=UTC)
        self.feed(fleet.car, evening, 1.0, window_kw=3.0, before_kw=4.0)
        view = ask([fleet.car], programme="utility-dr-history", target_kw=1.0, starts_at=evening)
        settled = settle_event(event_id=view.event_id, now=after(view))
        assert settled.baseline_method == "meter_before"
        assert settled.steps[0].baseline_kw == pytest.approx(4.0, abs=1e-6)

    @staticmethod
    def feed(
        asset_id: int, start: datetime, event_kw: float, *, window_kw: float, before_kw: float | None = None
    ) -> None:
        def power_kw(at: datetime) -> float:
            if at >= start:
                return event_kw
            if before_kw is not None and at >= start - timedelta(hours=1):
                return before_kw
            return window_kw

        # registers of a meter that counts on over the days
        import_kwh = 1000.0 + (start - NOW).total_seconds() / 3600.0
        store_readings(
            meter_readings(
                asset_id,
                starts_at=start - timedelta(hours=6),
                ends_at=start + timedelta(minutes=90),
                every_s=600,
                power_kw=power_kw,
                import_kwh=import_kwh * 20,
                export_kwh=0.0,
            ),
            now=start + timedelta(minutes=90),
        )


@pytest.mark.django_db(transaction=True)
def test_two_workers_settle_an_event_once() -> None:
    fleet = build_fleet()
    for asset_id in fleet.all:
        meter(asset_id)
    view = ask(fleet.all)
    ready = threading.Barrier(4)

    def work(_: int) -> SettlementView:
        try:
            connection.ensure_connection()
            ready.wait(timeout=20)
            return settle_event(event_id=view.event_id, now=after(view))
        finally:
            close_old_connections()
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        settled = list(pool.map(work, range(4)))
    assert len({view.settlement_id for view in settled}) == 1
    assert Settlement.objects.count() == 1 and LedgerTransaction.objects.count() == 1 and ledger_is_balanced()
