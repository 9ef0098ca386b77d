"""Prices and shares, by hand and for all amounts."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from compute_market.core.pricing import (
    Amounts,
    Costs,
    ask_price_per_cpu_hour,
    cost_cap,
    energy_kwh,
    floor_price_per_cpu_hour,
    power_kw_per_core,
    slice_amounts,
    total_amounts,
    value_per_kwh,
)

COSTS = Costs(
    energy_price_per_kwh=Decimal("0.30"), wear_per_cpu_hour=Decimal("0.0010"), margin_fraction=Decimal("0.10")
)
SHARE = Decimal("0.20")


def test_the_floor_is_energy_and_wear_with_a_margin() -> None:
    # 0.3 kW over 4 cores: 0.075 kW · 0.30/kWh = 0.0225; + 0.0010 = 0.0235; · 1.1 = 0.02585
    assert floor_price_per_cpu_hour(COSTS, power_kw_per_core(0.3, 4)) == Decimal("0.025850")


def test_the_tenant_pays_so_much_that_the_owner_gets_the_floor() -> None:
    ask = ask_price_per_cpu_hour(Decimal("0.025850"), SHARE)
    assert ask == Decimal("0.032313")
    assert ask * (1 - SHARE) >= Decimal("0.025850")


def test_energy_and_value_of_a_core() -> None:
    assert energy_kwh(Decimal(7200), 0.075) == 0.15
    assert value_per_kwh(Decimal("0.03"), 0.075) == 0.4
    assert value_per_kwh(Decimal("0.03"), 0.0) == 0.0


def test_the_cap_is_all_time_at_the_highest_price() -> None:
    assert cost_cap(Decimal("0.05"), 7200) == Decimal("0.1000")


def test_slices_of_a_second_are_not_rounded_away() -> None:
    price, paid = Decimal("0.03"), Amounts()
    for second in range(3600):
        part = slice_amounts(
            cpu_s_before=Decimal(second), cpu_s=Decimal(1), price_per_cpu_hour=price, platform_share_fraction=SHARE
        )
        paid = Amounts(paid.amount + part.amount, paid.owner + part.owner, paid.platform + part.platform)
    assert paid == Amounts(Decimal("0.0300"), Decimal("0.0240"), Decimal("0.0060"))


SECONDS = st.decimals(0, 5000, places=6)


@given(
    parts=st.lists(SECONDS, min_size=1, max_size=30),
    price=st.decimals(0, 100, places=6),
    share=st.decimals(0, "0.9999", places=4),
)
def test_slices_add_up_to_their_total_and_none_is_negative(
    parts: list[Decimal], price: Decimal, share: Decimal
) -> None:
    done, paid = Decimal(0), Amounts()
    for cpu_s in parts:
        part = slice_amounts(cpu_s_before=done, cpu_s=cpu_s, price_per_cpu_hour=price, platform_share_fraction=share)
        assert part.amount == part.owner + part.platform
        assert min(part.amount, part.owner, part.platform) >= 0
        done += cpu_s
        paid = Amounts(paid.amount + part.amount, paid.owner + part.owner, paid.platform + part.platform)
    assert paid == total_amounts(done, price, share)
