"""Which profile holds, and what it lets an EVSE do."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.twin.profiles import (
    EXTERNAL,
    STATION_MAX,
    TX,
    TX_DEFAULT,
    Allowance,
    ChargingProfile,
    Moment,
    Period,
    ProfileRefused,
    ProfileStore,
)

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
FAIL_SAFE_KW = 2.0
_next_id = iter(range(1, 1_000_000))


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def limits(*pairs: tuple[float, float]) -> tuple[Period, ...]:
    return tuple(Period(offset_s, limit_kw=limit_kw) for offset_s, limit_kw in pairs)


def profile(**given: object) -> ChargingProfile:
    values: dict = {
        "profile_id": next(_next_id),
        "evse_number": 1,
        "stack_level": 0,
        "purpose": TX_DEFAULT,
        "kind": "Absolute",
        "periods": limits((0, 7.0)),
        "received_at": NOON,
        "starts_at": NOON,
        **given,
    }
    return ChargingProfile(**values)


def store(*profiles: ChargingProfile) -> ProfileStore:
    kept = ProfileStore()
    for each in profiles:
        kept.install(each, replace_same_level=True)
    return kept


def allowed(kept: ProfileStore, after_s: float = 0.0, **moment: object) -> Allowance:
    values: dict = {"transaction_id": "7", "transaction_started_at": NOON, **moment}
    return kept.allowance(
        1, Moment(NOON + seconds(after_s), **values), charge_kw=11.0, discharge_kw=10.0, fail_safe_kw=FAIL_SAFE_KW
    )


def test_without_profiles_the_fail_safe_power_holds() -> None:
    assert allowed(store()).wanted_kw == FAIL_SAFE_KW


def test_the_higher_level_leads_while_it_lasts() -> None:
    kept = store(
        profile(stack_level=0, periods=limits((0, 7.0))),
        profile(stack_level=3, periods=limits((0, 5.0)), duration_s=60),
    )
    assert allowed(kept, 59).wanted_kw == 5.0
    assert allowed(kept, 60).wanted_kw == 7.0


def test_the_profile_of_the_transaction_leads_and_holds_for_no_other() -> None:
    kept = store(profile(stack_level=9), profile(purpose=TX, transaction_id="7", periods=limits((0, 4.5))))
    assert allowed(kept).wanted_kw == 4.5
    assert allowed(kept, transaction_id="8").wanted_kw == 7.0


def test_after_valid_to_the_default_holds_and_after_that_the_fail_safe_power() -> None:
    kept = store(
        profile(purpose=TX, transaction_id="7", periods=limits((0, 9.0)), valid_to=NOON + seconds(30)),
        profile(periods=limits((0, 6.0)), valid_to=NOON + seconds(60)),
    )
    assert [allowed(kept, after).wanted_kw for after in (29.9, 30, 59.9, 60)] == [9.0, 6.0, 6.0, FAIL_SAFE_KW]


def test_periods_follow_each_other() -> None:
    kept = store(profile(periods=limits((0, 7.0), (10, 0.0), (20, 11.0))))
    assert [allowed(kept, after).wanted_kw for after in (0, 9.9, 10, 19.9, 20, 500)] == [7, 7, 0, 0, 11, 11]


def test_a_schedule_that_has_not_begun_does_not_hold() -> None:
    assert allowed(store(profile(starts_at=NOON + seconds(5))), 4).wanted_kw == FAIL_SAFE_KW
    assert allowed(store(profile(valid_from=NOON + seconds(5))), 4).wanted_kw == FAIL_SAFE_KW


def test_relative_counts_from_the_start_of_the_transaction() -> None:
    kept = store(profile(kind="Relative", starts_at=None, periods=limits((0, 7.0), (100, 4.0))))
    late = NOON - seconds(95)
    assert allowed(kept, 4, transaction_started_at=late).wanted_kw == 7.0
    assert allowed(kept, 5, transaction_started_at=late).wanted_kw == 4.0


def test_recurring_begins_anew_every_day() -> None:
    kept = store(
        profile(kind="Recurring", recurrency="Daily", periods=limits((0, 7.0), (3600, 3.0)), duration_s=7200),
    )
    days = 3 * 86_400
    assert [allowed(kept, days + after).wanted_kw for after in (0, 3600, 7200)] == [7.0, 3.0, FAIL_SAFE_KW]


def test_limits_of_the_station_cut_everything_and_are_shared() -> None:
    kept = store(
        profile(periods=limits((0, 9.0))),
        profile(purpose=STATION_MAX, evse_number=0, periods=limits((0, 8.0))),
        profile(purpose=EXTERNAL, evse_number=0, periods=limits((0, 20.0))),
    )
    assert allowed(kept).wanted_kw == 8.0
    assert allowed(kept, sharers=2).wanted_kw == 4.0


def test_a_set_point_is_signed_and_kept_within_its_limits() -> None:
    def of(setpoint_kw: float, **edges: float) -> Allowance:
        period = Period(0, setpoint_kw=setpoint_kw, operation_mode="CentralSetpoint", **edges)
        return allowed(store(profile(kind="Dynamic", periods=(period,))))

    assert of(-8.0) == Allowance(-8.0, 11.0, 10.0, by_setpoint=True, mode="CentralSetpoint")
    assert of(-8.0, discharge_limit_kw=5.0).wanted_kw == -5.0
    assert of(9.0, limit_kw=6.0).wanted_kw == 6.0
    assert of(-20.0).wanted_kw == -10.0


def test_plain_charging_never_allows_to_discharge() -> None:
    assert allowed(store(profile())).discharge_kw == 0.0


def test_a_profile_ends_when_the_station_has_been_offline_for_too_long() -> None:
    last = profile(purpose=TX, transaction_id="7", max_offline_s=30.0, invalid_after_offline=True)
    kept = store(last)
    assert allowed(kept, offline_s=30.0).wanted_kw == 7.0
    assert allowed(kept, offline_s=30.1).wanted_kw == FAIL_SAFE_KW
    assert allowed(kept, offline_s=0.0).wanted_kw == 7.0
    kept.forget_offline(offline_s=31.0)
    assert allowed(kept, offline_s=0.0).wanted_kw == FAIL_SAFE_KW


def test_one_of_the_same_level_gives_way_or_stands_in_the_way() -> None:
    kept = store(profile(periods=limits((0, 7.0))))
    with pytest.raises(ProfileRefused) as refused:
        kept.install(profile(periods=limits((0, 5.0))), replace_same_level=False)
    assert refused.value.reason_code == "DuplicateProfile"
    kept.install(profile(periods=limits((0, 5.0))), replace_same_level=True)
    assert len(kept) == 1
    assert allowed(kept).wanted_kw == 5.0


def test_two_of_a_level_may_follow_each_other() -> None:
    kept = store(profile(valid_to=NOON + seconds(60)))
    kept.install(profile(valid_from=NOON + seconds(60), periods=limits((0, 5.0))), replace_same_level=False)
    assert [allowed(kept, after).wanted_kw for after in (59, 60)] == [7.0, 5.0]


@pytest.mark.parametrize(
    ("reason_code", "wrong"),
    [
        ("InvalidSchedule", {"periods": limits((1, 7.0))}),
        ("InvalidSchedule", {"periods": limits((0, 7.0), (0, 5.0))}),
        ("InvalidSchedule", {"kind": "Dynamic", "periods": limits((0, 7.0), (5, 5.0))}),
        ("TooManyElements", {"periods": limits(*((second, 7.0) for second in range(101)))}),
        ("InvalidStackLevel", {"stack_level": 51}),
        ("InvalidProfile", {"kind": "Recurring"}),
        ("InvalidProfile", {"valid_from": NOON, "valid_to": NOON}),
    ],
)
def test_a_malformed_profile_is_refused(reason_code: str, wrong: dict) -> None:
    with pytest.raises(ProfileRefused) as refused:
        store(profile(**wrong))
    assert refused.value.reason_code == reason_code


def test_only_so_many_are_kept() -> None:
    kept = ProfileStore(max_installed=2)
    for level in range(2):
        kept.install(profile(stack_level=level), replace_same_level=False)
    with pytest.raises(ProfileRefused, match="installed already"):
        kept.install(profile(stack_level=2), replace_same_level=False)


@pytest.mark.parametrize(
    ("criteria", "left"), [({"profile_id": 1}, 2), ({"evse_number": 1}, 1), ({"purpose": TX_DEFAULT}, 1), ({}, 0)]
)
def test_clearing_removes_what_matches_all_that_is_given(criteria: dict, left: int) -> None:
    kept = store(
        profile(profile_id=1),
        profile(profile_id=2, evse_number=0, stack_level=1),
        profile(profile_id=3, purpose=TX, transaction_id="7"),
    )
    kept.clear(**criteria)
    assert len(kept) == left


some_profiles = st.lists(
    st.builds(
        lambda level, purpose, offsets, limit, start, duration, valid_to, kind: profile(
            stack_level=level,
            purpose=purpose,
            transaction_id="7" if purpose == TX else None,
            kind=kind,
            recurrency="Daily" if kind == "Recurring" else "",
            starts_at=NOON + seconds(start),
            duration_s=duration,
            valid_to=None if valid_to is None else NOON + seconds(valid_to),
            periods=limits(*((offset, limit + index) for index, offset in enumerate([0, *sorted(offsets)]))),
        ),
        st.integers(0, 3),
        st.sampled_from([TX, TX_DEFAULT, EXTERNAL]),
        st.sets(st.integers(1, 200), max_size=3),
        st.floats(0, 11),
        st.integers(-100_000, 200),
        st.none() | st.integers(1, 300),
        st.none() | st.integers(1, 300),
        st.sampled_from(["Absolute", "Recurring", "Relative"]),
    ),
    max_size=6,
)


@given(profiles=some_profiles, after_s=st.floats(0, 299.9))
def test_nothing_changes_between_two_announced_changes(profiles: list[ChargingProfile], after_s: float) -> None:
    kept = store(*profiles)
    moment = Moment(NOON, transaction_id="7", transaction_started_at=NOON - seconds(50))
    cuts = [NOON, *kept.changes(moment, NOON + seconds(300))]
    last = max(cut for cut in cuts if cut <= NOON + seconds(after_s))
    then = allowed(kept, (last - NOON).total_seconds(), transaction_started_at=NOON - seconds(50))
    now = allowed(kept, after_s, transaction_started_at=NOON - seconds(50))
    assert then == now
    assert 0 <= now.wanted_kw <= 11.0
