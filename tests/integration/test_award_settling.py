"""Power sold to markets: a Japanese day of 三次調整力①, a European hour of aFRR and of FCR, from meters to balanced books."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from unittest import mock

import pytest

from aggregator.models import LedgerEntry
from aggregator.operations import award_settlements as operations
from aggregator.operations.award_settlements import AwardCalledOff, AwardNotOver, settle_award_of
from aggregator.queries.ledger import booked_for_award, ledger_is_balanced, ledger_totals
from common.errors import InvalidInput
from fleet.operations.assets import (
    PackSpecification,
    register_inverter,
    register_node,
    register_owner,
    register_pack,
    register_region,
    register_site,
)
from grid.models import AwardSettlement, MarketProduct
from grid.operations.awards import (
    AwardDiffers,
    AwardInput,
    AwardOver,
    cancel_award,
    commit_participants,
    record_award,
    record_signals,
)
from grid.operations.products import register_shipped_products, shipped_products
from grid.queries.awards import AwardSettlementView, AwardView, SignalView, award, awards_to_settle
from grid.queries.products import UnknownProduct, current_products, product_on
from tests.integration.metering import meter_readings, store_readings

pytestmark = pytest.mark.django_db

START = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
NOW = START - timedelta(days=1)


@pytest.fixture
def packs() -> list[int]:
    """Two packs of 1 MW behind meters of their own, one each of two owners."""
    register_shipped_products()
    register_region(code="JP-9", name="Kyushu", country="JP", time_zone="Asia/Tokyo", currency="JPY")
    register_region(code="NL", name="Netherlands", country="NL", time_zone="Europe/Amsterdam", currency="EUR")
    register_node(code="N", region_code="NL")
    ids = []
    for number in (1, 2):
        register_owner(identity=f"OWN-{number}", name="An owner")
        register_site(
            identity=f"SITE-{number}",
            kind="hub",
            grid_node_code="N",
            import_limit_kw=5000.0,
            export_limit_kw=5000.0,
            owner_identity=f"OWN-{number}",
        )
        register_inverter(
            identity=f"INV-{number}",
            site_identity=f"SITE-{number}",
            host=f"h{number}",
            port=502,
            max_charge_kw=1000.0,
            max_discharge_kw=1000.0,
        )
        pack = register_pack(
            identity=f"P-{number}",
            inverter_identity=f"INV-{number}",
            device_id=number,
            now=NOW,
            specification=PackSpecification(nameplate_kwh=4000.0, max_charge_kw=1000.0, max_discharge_kw=1000.0),
        )
        ids.append(pack.asset_id)
    return ids


def sell(
    packs: list[int], product: str, *, slots: int, planned: list[float] | None = None, **terms: object
) -> AwardView:
    rules = product_on(product, START)
    given = AwardInput(
        product_code=product,
        region_code="JP-9" if product.startswith("jp") else "NL",
        requested_by="tso",
        reference=f"{product}-1",
        starts_at=START,
        ends_at=START + timedelta(seconds=rules.slot_s * slots),
        capacity_price=Decimal(5),
        **{"up_kw": 1000.0, **terms},  # type: ignore[arg-type]
    )
    sold = record_award(given=given, now=NOW)
    return commit_participants(
        award_id=sold.award_id, committed_kw={packs[0]: 750.0, packs[1]: 250.0}, planned_kw=planned or ()
    )


def order(sold: AwardView, *orders: tuple[float, float]) -> None:
    """(seconds after the start, ordered up kW)"""
    signals = [SignalView(sold.starts_at + timedelta(seconds=s), kw, None, None) for s, kw in orders]
    assert record_signals(award_id=sold.award_id, signals=signals) == len(orders)
    assert record_signals(award_id=sold.award_id, signals=signals) == 0, "heard again, kept once"


def meter(
    asset_id: int, power_kw: Callable[[float], float], *, every_s: float, until_s: float, from_s: float = -900.0
) -> None:
    store_readings(
        meter_readings(
            asset_id,
            starts_at=START + timedelta(seconds=from_s),
            ends_at=START + timedelta(seconds=until_s + every_s),
            every_s=every_s,
            power_kw=lambda at: power_kw((at - START).total_seconds()),
            import_kwh=100_000.0,
            export_kwh=100_000.0,
        ),
        now=START + timedelta(seconds=until_s + every_s + 60),
    )


def amounts(sold: AwardView) -> dict[tuple[str, str, str], Decimal]:
    found: dict[tuple[str, str, str], Decimal] = {}
    for line in booked_for_award(market_award_id=sold.award_id):
        key = (line.account_kind, line.party, line.unit)
        found[key] = found.get(key, Decimal(0)) + line.amount
    return found


def balanced() -> bool:
    return ledger_is_balanced() and all(total == 0 for total in ledger_totals().values())


class TestTertiaryReserve:
    """Four half hours of 三次調整力①, 1 MW up, against a nominated schedule of nothing."""

    def settle(self, packs: list[int]) -> tuple[AwardView, AwardSettlementView]:
        sold = sell(
            packs,
            "jp-tertiary-1",
            slots=4,
            planned=[0.0] * 4,
            up_energy_price_per_kwh=Decimal(30),
            imbalance_price_per_kwh=Decimal(10),
        )
        order(sold, (0, 0.0), (1800, 1000.0), (3600, 1000.0), (5400, 0.0))

        def power(part: float) -> Callable[[float], float]:
            # nothing; 950 kW, within 10 % of what was contracted; 600 kW, not within; nothing
            return lambda s: -part * (950.0 if 1800 <= s < 3600 else 600.0 if 3600 <= s < 5400 else 0.0)

        meter(packs[0], power(0.8), every_s=300, until_s=7200)
        meter(packs[1], power(0.2), every_s=300, until_s=7200)
        return sold, settle_award_of(award_id=sold.award_id, now=sold.ends_at + timedelta(seconds=10))

    def test_capacity_energy_imbalance_and_penalty(self, packs: list[int]) -> None:
        sold, settled = self.settle(packs)
        assert [slot.delivered_up_kw for slot in settled.slots] == pytest.approx([0, 950, 600, 0], abs=1e-6)
        assert [slot.compliant_fraction for slot in settled.slots] == [1.0, 1.0, 0.0, 1.0]
        assert [slot.short_kw for slot in settled.slots] == pytest.approx([0, 0, 400, 0], abs=1e-6)
        # four slots of 1,000 kW at 5; half a penalty and a half on 400 kW; 775 kWh at 30; 225 kWh missing at 10
        assert settled.capacity_payment == Decimal(20_000)
        assert settled.penalty == Decimal(3_000)
        assert settled.up_kwh == Decimal(775) and settled.down_kwh == 0
        assert settled.energy_payment == Decimal(23_250)
        assert settled.imbalance_kwh == Decimal(-225) and settled.imbalance_payment == Decimal(-2_250)
        assert settled.payment == Decimal(38_000)
        booked = amounts(sold)
        assert booked["grid_operator", "tso", "JPY"] == Decimal(-38_000)
        # 17,000 by committed kW (3 : 1), 21,000 by energy delivered (4 : 1), four fifths of both to the owners
        assert booked["owner", "OWN-1", "JPY"] == Decimal("0.8") * (Decimal(12_750) + Decimal(16_800))
        assert booked["owner", "OWN-2", "JPY"] == Decimal("0.8") * (Decimal(4_250) + Decimal(4_200))
        assert booked["platform", "", "JPY"] == Decimal(7_600)
        assert booked["energy_grid", "tso", "kWh"] == Decimal(775)
        assert balanced()

    def test_settling_again_changes_nothing_and_late_readings_correct_it(self, packs: list[int]) -> None:
        sold, settled = self.settle(packs)
        again = settle_award_of(award_id=sold.award_id, now=sold.ends_at + timedelta(hours=1))
        assert again == settled and AwardSettlement.objects.count() == 1
        with pytest.raises(AwardOver):
            commit_participants(award_id=sold.award_id, committed_kw={})
        from fleet.models import Reading

        Reading.objects.filter(asset_id=packs[1]).delete()
        corrected = settle_award_of(award_id=sold.award_id, now=sold.ends_at + timedelta(hours=2))
        assert corrected.revision == 2 and corrected.payment < settled.payment
        assert amounts(sold)["grid_operator", "tso", "JPY"] == -corrected.payment and balanced()

    def test_a_crash_between_keeping_and_booking_leaves_nothing(self, packs: list[int]) -> None:
        with (
            mock.patch.object(operations, "book_transaction", side_effect=RuntimeError("the worker dies")),
            pytest.raises(RuntimeError),
        ):
            self.settle(packs)
        sold = awards_to_settle(now=START + timedelta(days=1))[0]
        assert AwardSettlement.objects.count() == 0 and LedgerEntry.objects.count() == 0
        assert settle_award_of(award_id=sold.award_id, now=sold.ends_at).payment == Decimal(38_000) and balanced()

    def test_what_was_not_available_is_short(self, packs: list[int]) -> None:
        sold = sell(packs, "jp-tertiary-1", slots=2, planned=[0.0, 0.0])
        commit_participants(
            award_id=sold.award_id,
            committed_kw={packs[0]: 1000.0},
            planned_kw=[0.0, 0.0],
            available_kw=[1000.0, 700.0],
        )
        settled = settle_award_of(award_id=sold.award_id, now=sold.ends_at)
        assert [slot.short_kw for slot in settled.slots] == [0.0, 300.0]
        assert settled.penalty == Decimal(2250) and settled.payment == Decimal(7750) and balanced()

    def test_silence_is_no_delivery(self, packs: list[int]) -> None:
        sold = sell(packs, "jp-tertiary-1", slots=1, planned=[0.0])
        order(sold, (0, 1000.0))
        settled = settle_award_of(award_id=sold.award_id, now=sold.ends_at)
        assert settled.up_kwh == 0 and settled.penalty == Decimal(7500) and settled.payment == Decimal(-2500)
        assert amounts(sold)["platform", "", "JPY"] == Decimal(-2500) and balanced()


def test_an_hour_of_afrr_with_four_second_set_points(packs: list[int]) -> None:
    sold = sell(
        packs, "afrr", slots=4, up_energy_price_per_kwh=Decimal("0.2"), down_energy_price_per_kwh=Decimal("-0.05")
    )
    # up for half an hour, then nothing; the portfolio ramps for two minutes and is silent about nothing
    order(sold, (0, 0.0), (900, 800.0), (2700, 0.0))

    def power(part: float) -> Callable[[float], float]:
        def at(s: float) -> float:
            up = 0.0 if s < 900 else min(1.0, (s - 900) / 120) * 800.0 if s < 2700 else 0.0
            return part * (400.0 - up)

        return at

    meter(packs[0], power(0.5), every_s=4, until_s=3600)
    meter(packs[1], power(0.5), every_s=4, until_s=3600)
    with pytest.raises(AwardNotOver):
        settle_award_of(award_id=sold.award_id, now=sold.ends_at - timedelta(seconds=1))
    settled = settle_award_of(award_id=sold.award_id, now=sold.ends_at)
    assert settled.compliant_fraction == 1.0 and settled.penalty == 0, "a ramp of two minutes is within five"
    # half an hour at 800 kW less the ramp's two minutes at half of it
    assert float(settled.up_kwh) == pytest.approx(400.0 - 800.0 * 120 / 3600 / 2, abs=0.5)
    assert settled.capacity_payment == Decimal(20_000) and settled.payment > settled.capacity_payment
    assert [slot.baseline_kw for slot in settled.slots] == pytest.approx([400.0] * 4)
    assert balanced()


def test_fcr_is_judged_by_the_frequency_that_was(packs: list[int]) -> None:
    shipped = MarketProduct.objects.get(code="fcr")
    # a block of an hour, so that the test stays small; everything else as shipped
    fields = {field.name: getattr(shipped, field.name) for field in MarketProduct._meta.fields if field.name != "id"}
    MarketProduct.objects.create(**{**fields, "code": "fcr-hour", "slot_s": 600, "telemetry_interval_s": 10})
    sold = sell(packs, "fcr-hour", slots=1, down_kw=1000.0)
    record_signals(
        award_id=sold.award_id,
        signals=[
            SignalView(START + timedelta(seconds=s), None, hz, None)
            for s, hz in ((0, 50.0), (100, 49.9), (300, 50.005), (400, 50.1))
        ],
    )
    # half a MW up, nothing within the dead band, half a MW down; from 500 s on it does nothing
    done = lambda s: -500.0 if 100 <= s < 300 else 500.0 if 400 <= s < 500 else 0.0  # noqa: E731
    meter(packs[0], done, every_s=10, until_s=600)
    meter(packs[1], lambda s: 0.0, every_s=10, until_s=600)
    settled = settle_award_of(award_id=sold.award_id, now=sold.ends_at)
    assert settled.compliant_fraction == pytest.approx(50 / 60, abs=0.02)
    assert float(settled.up_kwh) == pytest.approx(500 * 200 / 3600, abs=1.5)
    assert float(settled.down_kwh) == pytest.approx(500 * 100 / 3600, abs=1.5)
    assert settled.penalty > 0 and balanced()


class TestRules:
    def test_every_shipped_product_has_a_source_and_names_what_is_not_verified(self, packs: list[int]) -> None:
        known = {field.name for field in MarketProduct._meta.fields}
        for entry in shipped_products():
            assert entry["source"] and set(entry["unverified"]) <= known
        assert register_shipped_products() == 0
        codes = {product.code for product in current_products(START)}
        assert {"jp-primary", "jp-secondary-1", "jp-secondary-2", "jp-tertiary-1", "jp-tertiary-2"} <= codes
        assert {"jp-dispatchable", "fcr", "afrr", "mfrr", "nl-redispatch", "nl-capacity-limit"} <= codes

    def test_the_rules_that_hold_at_the_start_apply(self, packs: list[int]) -> None:
        assert product_on("jp-tertiary-1", datetime(2026, 3, 1, tzinfo=UTC)).slot_s == 10_800
        assert product_on("jp-tertiary-1", START).slot_s == 1_800
        with pytest.raises(UnknownProduct):
            product_on("jp-tertiary-1", datetime(2020, 1, 1, tzinfo=UTC))

    @pytest.mark.parametrize(
        ("product", "changed", "field"),
        [
            ("afrr", {"down_kw": 1000.0}, "up_kw"),
            ("afrr", {"up_kw": 999.0}, "up_kw"),
            ("afrr", {"up_kw": float("nan")}, "up_kw"),
            ("fcr", {"down_kw": 500.0}, "down_kw"),
            ("jp-dispatchable", {"up_kw": 0.0, "down_kw": 1000.0}, "down_kw"),
            ("jp-tertiary-1", {"capacity_price": Decimal("7.22")}, "capacity_price"),
            ("afrr", {"ends_at": START + timedelta(minutes=20)}, "ends_at"),
        ],
    )
    def test_what_a_product_does_not_allow_is_named(
        self, packs: list[int], product: str, changed: dict, field: str
    ) -> None:
        slot_s = product_on(product, START).slot_s
        given = AwardInput(
            product, "NL", "tso", "ref", START, START + timedelta(seconds=slot_s), Decimal(1), up_kw=1000.0
        )
        with pytest.raises(InvalidInput) as caught:
            record_award(given=replace(given, **changed), now=NOW)
        assert caught.value.field == field

    def test_a_reference_is_one_award(self, packs: list[int]) -> None:
        sold = sell(packs, "afrr", slots=1)
        assert sell(packs, "afrr", slots=1).award_id == sold.award_id
        with pytest.raises(AwardDiffers):
            sell(packs, "afrr", slots=2)

    def test_an_award_called_off_is_not_settled(self, packs: list[int]) -> None:
        sold = sell(packs, "afrr", slots=1)
        with pytest.raises(AwardOver):
            cancel_award(award_id=sold.award_id, now=START)
        cancel_award(award_id=sold.award_id, now=NOW)
        assert award(sold.award_id).state == "cancelled" and awards_to_settle(now=START + timedelta(days=9)) == []
        with pytest.raises(AwardCalledOff):
            settle_award_of(award_id=sold.award_id, now=START + timedelta(days=1))

    def test_a_schedule_has_a_value_for_every_slot(self, packs: list[int]) -> None:
        sold = sell(packs, "afrr", slots=2)
        with pytest.raises(InvalidInput) as caught:
            commit_participants(award_id=sold.award_id, committed_kw={}, planned_kw=[1.0])
        assert caught.value.field == "planned_kw"
