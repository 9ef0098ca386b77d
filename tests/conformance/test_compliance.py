"""A station that does not do what it accepted is found by its meter and by its own schedule, left out, and taken back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fleet.models import Asset, ChargingSession, Departure
from fleet.operations.compliance import NOT_FOLLOWING_FAULT, ComplianceOutcome, judge_compliance
from fleet.twin.faults import Fault
from fleet.twin.profiles import Allowance
from tests.conformance.twin_station import (
    FAIL_SAFE_KW,
    TwinStation,
    now,
    probed_twin,
    set_power,
    snapshot,
    wait_for_power,
)
from tests.integration.ocpp.support import Background, Place, RunningGateway, eventually, make_place


@pytest.fixture(params=["ocpp1.6", "ocpp2.0.1", "ocpp2.1"])
def place(request: pytest.FixtureRequest, background: Background) -> Place:
    return make_place(f"CP-{request.param}", request.param, fail_safe_kw=FAIL_SAFE_KW)


@pytest.fixture
def twin(place: Place, background: Background, gateway: RunningGateway) -> Iterator[TwinStation]:
    with probed_twin(place, gateway, background) as station:
        station.do("plug_in", car="EV")
        eventually(lambda: ChargingSession.objects.filter(ended_at=None).exists())
        wait_for_power(place, FAIL_SAFE_KW)
        yield station


def judged() -> ComplianceOutcome:
    """In seconds what the platform does in a minute."""
    return judge_compliance(now=now(), settle_s=1.5, departs_after_s=1.0, returns_after_s=1.5)


def fault(place: Place) -> str:
    return Asset.objects.get(pk=place.asset_id).fault


def test_by_its_meter(twin: TwinStation, place: Place) -> None:
    set_power(place, 6.0)
    wait_for_power(place, 6.0)
    assert judged().departed == 0
    twin.do("fault", fault=Fault.IGNORE_PROFILES)
    wait_for_power(place, 11.0)
    eventually(lambda: judged().departed)
    assert fault(place) == NOT_FOLLOWING_FAULT
    departure = Departure.objects.get()
    assert (departure.source, departure.told_kw) == ("meter", 6.0) and departure.found_kw > 10.9
    assert snapshot(place).left_out_because in ("fault", "no_consent")
    assert judged().departed == 0  # once is enough

    twin.do("clear")
    wait_for_power(place, 6.0)
    eventually(lambda: judged().returned)
    assert fault(place) == "" and Departure.objects.get().ended_at is not None


def test_the_fail_safe_power_is_judged_when_the_schedule_is_over(twin: TwinStation, place: Place) -> None:
    set_power(place, 4.5, for_s=2.0)
    twin.do("fault", fault=Fault.IGNORE_PROFILES)
    wait_for_power(place, 11.0)
    eventually(lambda: judged().departed)
    assert Departure.objects.get().told_kw in (4.5, FAIL_SAFE_KW)
    twin.do("clear")
    wait_for_power(place, FAIL_SAFE_KW)
    eventually(lambda: judged().returned)


def test_when_the_car_leaves_the_next_one_is_another_chance(twin: TwinStation, place: Place) -> None:
    set_power(place, 6.0)
    twin.do("fault", fault=Fault.IGNORE_PROFILES)
    eventually(lambda: judged().departed)
    twin.do("unplug", car="EV")
    eventually(lambda: not ChargingSession.objects.filter(ended_at=None).exists())
    assert judged().returned == 1 and fault(place) == ""


def test_by_its_own_schedule(twin: TwinStation, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    two_way = place.protocol == "ocpp2.1"
    if two_way:
        eventually(lambda: ChargingSession.objects.filter(bidirectional=True).exists())
    # it accepts profiles, and composes its schedule as if it could only charge at full power
    full = Allowance(11.0, 11.0, 0.0, by_setpoint=two_way, mode="CentralSetpoint" if two_way else "ChargingOnly")
    monkeypatch.setattr(twin.client.station, "composite", lambda *given: [(0.0, full)])
    set_power(place, 4.5)
    departure = eventually(lambda: Departure.objects.first())
    assert (departure.source, departure.told_kw, departure.found_kw) == ("composite", 4.5, 11.0)
    assert fault(place) == NOT_FOLLOWING_FAULT
