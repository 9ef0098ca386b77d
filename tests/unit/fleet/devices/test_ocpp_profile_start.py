"""A schedule begins with its first period, at whatever fraction of a second the plan was made."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from fleet.devices.ocpp.profiles import ProfileTerms, schedule_segments

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
TERMS = ProfileTerms(
    version="ocpp2.0.1",
    evse_number=1,
    transaction_id="t",
    phases=3,
    max_charge_kw=11.0,
    max_discharge_kw=0.0,
    min_charge_kw=4.14,
    fail_safe_kw=0.0,
    bidirectional=False,
)


@given(
    begins_s=st.floats(-100, 100),
    gaps_s=st.lists(st.floats(0.1, 900), max_size=5),
    late_s=st.floats(-30, 30),
    valid_s=st.floats(1, 4000),
)
def test_periods_begin_at_zero_and_ascend(begins_s: float, gaps_s: list[float], late_s: float, valid_s: float) -> None:
    starts_at = NOON + timedelta(seconds=begins_s)
    offsets = [0.0]
    for gap_s in gaps_s:
        offsets.append(offsets[-1] + gap_s)
    _, segments = schedule_segments(
        starts_at=starts_at,
        offset_s=offsets,
        power_kw=[5.0 + index % 3 for index in range(len(offsets))],
        valid_until=starts_at + timedelta(seconds=valid_s),
        now=starts_at + timedelta(seconds=min(late_s, valid_s / 2)),
        terms=TERMS,
        held_kw=8.0,
    )
    begin = [start_s for start_s, _ in segments]
    assert begin[0] == 0
    assert begin == sorted(set(begin))
