"""Recording and calling off events: every refusal, and what two connections at once may not do."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import close_old_connections, connection

from common.errors import PlatformError
from fleet.operations.assets import register_region
from grid.models import GridEvent
from grid.operations import events as operations
from grid.operations.programmes import ProgrammeTerms, register_programme, register_shipped_programmes, shipped_terms
from grid.queries import EventNotFound, UnknownProgramme, event, events_to_settle, open_events
from tests.integration.places import REGION, register_test_place

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def request_event(**changes: Any) -> operations.EventRecorded:
    wanted: dict[str, Any] = {
        "requested_by": "grid-co",
        "idempotency_key": "key-1",
        "programme_code": "utility-dr",
        "direction": "reduce",
        "target_kw": 40.0,
        "starts_at": NOW + timedelta(hours=1),
        "ends_at": NOW + timedelta(hours=2),
        "now": NOW,
    }
    return operations.record_event(**{**wanted, **changes})


@pytest.fixture
def place(db: None) -> None:
    register_test_place(now=NOW)


@pytest.mark.usefixtures("place")
class TestRecording:
    def test_an_event_carries_the_terms_of_its_programme(self) -> None:
        recorded = request_event()
        assert recorded.created
        view = event(recorded.event.event_id)
        assert (view.state, view.slot_s, view.ramp_s, view.currency) == ("received", 900, 300, "EUR")
        assert view.baseline_method == "meter_before" and view.participants == ()
        assert [view] == open_events(region_id=view.region_id, now=NOW)

    @pytest.mark.parametrize(
        ("changes", "error", "field"),
        [
            ({"programme_code": "none"}, UnknownProgramme, "programme"),
            ({"direction": "sideways"}, PlatformError, "direction"),
            ({"target_kw": 0.0}, PlatformError, "target_kw"),
            ({"target_kw": float("nan")}, PlatformError, "target_kw"),
            ({"target_kw": 0.5}, operations.EventTooSmall, "target_kw"),
            ({"target_kw": 100_001.0}, operations.EventTooLarge, "target_kw"),
            ({"ends_at": NOW + timedelta(minutes=30)}, operations.EventEndsBeforeStart, "ends_at"),
            ({"ends_at": NOW + timedelta(hours=1)}, operations.EventEndsBeforeStart, "ends_at"),
            ({"ends_at": NOW + timedelta(minutes=65)}, operations.EventTooShort, "ends_at"),
            ({"ends_at": NOW + timedelta(hours=8)}, operations.EventTooLong, "ends_at"),
            ({"now": NOW + timedelta(minutes=51)}, operations.EventTooLate, "starts_at"),
            ({"starts_at": datetime(2026, 11, 23, 10)}, PlatformError, "starts_at"),
            ({"idempotency_key": " "}, PlatformError, "idempotency_key"),
            ({"idempotency_key": "k" * 121}, PlatformError, "idempotency_key"),
        ],
    )
    def test_a_request_that_breaks_a_rule_names_its_field_and_leaves_nothing(
        self, changes: dict[str, Any], error: type[PlatformError], field: str
    ) -> None:
        with pytest.raises(error) as caught:
            request_event(**changes)
        assert caught.value.field == field and caught.value.remedy
        assert GridEvent.objects.count() == 0

    def test_a_direction_that_the_programme_does_not_buy(self) -> None:
        terms = ProgrammeTerms(
            code="down-only",
            name="Down only",
            effective_from=NOW - timedelta(days=1),
            max_kw=10.0,
            notice_s=0,
            slot_s=900,
            max_duration_s=3600,
            energy_price_per_kwh=Decimal("0.1"),
            missed_price_per_kwh=Decimal("0.1"),
        )
        register_programme(region_code=REGION, terms=terms)
        with pytest.raises(operations.DirectionNotOffered):
            request_event(programme_code="down-only", direction="increase", target_kw=5.0)

    def test_the_same_request_again_is_the_same_event(self) -> None:
        first = request_event()
        again = request_event(now=NOW + timedelta(minutes=55))  # too late for a new one, but it is none
        assert not again.created and again.event.event_id == first.event.event_id
        assert GridEvent.objects.count() == 1

    def test_a_key_is_not_reused_for_something_else_but_belongs_to_one_operator(self) -> None:
        request_event()
        with pytest.raises(operations.IdempotencyKeyReused):
            request_event(target_kw=41.0)
        other = request_event(
            requested_by="other-grid", starts_at=NOW + timedelta(hours=3), ends_at=NOW + timedelta(hours=4)
        )
        assert other.created

    def test_events_of_one_programme_may_touch_but_not_overlap(self) -> None:
        request_event()
        with pytest.raises(operations.EventOverlaps) as caught:
            request_event(idempotency_key="key-2", starts_at=NOW + timedelta(minutes=90))
        assert "10:00" in caught.value.message and "grid-co" not in str(caught.value)
        touching = request_event(
            idempotency_key="key-3", starts_at=NOW + timedelta(hours=2), ends_at=NOW + timedelta(hours=3)
        )
        assert touching.created

    def test_a_change_of_terms_does_not_open_a_gap_for_overlaps(self) -> None:
        terms = next(terms for terms in shipped_terms(currency="EUR") if terms.code == "utility-dr")
        register_programme(region_code=REGION, terms=replace(terms, effective_from=NOW + timedelta(minutes=90)))
        request_event()
        with pytest.raises(operations.EventOverlaps):
            request_event(
                idempotency_key="key-2", starts_at=NOW + timedelta(minutes=100), ends_at=NOW + timedelta(hours=3)
            )


@pytest.mark.usefixtures("place")
class TestCallingOff:
    def test_before_the_start_it_is_as_if_it_had_never_been(self) -> None:
        recorded = request_event().event
        cancelled = operations.cancel_event(event_id=recorded.event_id, requested_by="grid-co", now=NOW)
        assert cancelled.state == "cancelled" and cancelled.cancelled_at == NOW
        assert open_events(region_id=recorded.region_id, now=NOW) == []
        assert events_to_settle(now=NOW + timedelta(hours=5)) == []
        assert request_event(idempotency_key="key-2").created, "its time is free again"

    def test_while_it_runs_it_ends_now_and_is_settled(self) -> None:
        recorded = request_event().event
        during = NOW + timedelta(minutes=90)
        cut = operations.cancel_event(event_id=recorded.event_id, requested_by="grid-co", now=during)
        assert cut.state == "received" and cut.ends_at == during == cut.cancelled_at
        again = operations.cancel_event(
            event_id=recorded.event_id, requested_by="grid-co", now=during + timedelta(minutes=1)
        )
        assert again == cut
        assert [view.event_id for view in events_to_settle(now=during + timedelta(minutes=1))] == [recorded.event_id]
        assert not request_event().created, "the first request still names this event"

    def test_another_operators_event_does_not_exist(self) -> None:
        recorded = request_event().event
        with pytest.raises(EventNotFound):
            operations.cancel_event(event_id=recorded.event_id, requested_by="other-grid", now=NOW)
        with pytest.raises(EventNotFound):
            event(recorded.event_id, requested_by="other-grid")

    def test_what_is_over_stays(self) -> None:
        recorded = request_event().event
        with pytest.raises(operations.EventOver):
            operations.cancel_event(event_id=recorded.event_id, requested_by="grid-co", now=recorded.ends_at)


@pytest.mark.usefixtures("place")
class TestPlanning:
    def test_participants_are_frozen_when_the_event_starts(self) -> None:
        recorded = request_event().event
        plan = operations.mark_planned
        assert plan(event_id=recorded.event_id, participants=[1, 2], baseline_kw=50.0, now=NOW)
        assert plan(event_id=recorded.event_id, participants=[1, 2, 3], baseline_kw=60.0, now=NOW)
        during = NOW + timedelta(minutes=70)
        assert plan(event_id=recorded.event_id, participants=[9], baseline_kw=61.0, now=during)
        view = event(recorded.event_id)
        assert view.participants == (1, 2, 3) and view.baseline_kw == 61.0 and view.state == "planned"

    def test_a_cancelled_event_is_not_planned(self) -> None:
        recorded = request_event().event
        operations.cancel_event(event_id=recorded.event_id, requested_by="grid-co", now=NOW)
        assert not operations.mark_planned(event_id=recorded.event_id, participants=[1], baseline_kw=1.0, now=NOW)
        assert event(recorded.event_id).participants == ()


@pytest.mark.django_db
def test_shipped_programmes_are_registered_once_and_per_region() -> None:
    register_test_place(now=NOW)
    register_region(code="JP-9", name="Kyushu", country="JP", time_zone="Asia/Tokyo", currency="JPY")
    first = register_shipped_programmes(region_code=REGION, now=NOW)
    again = register_shipped_programmes(region_code=REGION, now=NOW)
    japan = register_shipped_programmes(region_code="JP-9", now=NOW)
    assert [view.programme_id for view in first] == [view.programme_id for view in again]
    assert {view.code for view in japan} == {f"{view.code}-JP-9" for view in first}
    assert {view.currency for view in japan} == {"JPY"} and all(view.source for view in japan)
    assert [view.programme_id for view in register_shipped_programmes(region_code="JP-9", now=NOW)] == [
        view.programme_id for view in japan
    ]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("same_key", [True, False])
def test_two_connections_at_once_make_one_event(same_key: bool) -> None:
    register_test_place(now=NOW)
    ready = threading.Barrier(6)

    def ask(number: int) -> operations.EventRecorded | Exception:
        try:
            connection.ensure_connection()
            ready.wait(timeout=20)
            return request_event(idempotency_key="one" if same_key else f"key-{number}")
        except operations.EventOverlaps as error:
            return error
        finally:
            close_old_connections()
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(ask, range(6)))
    recorded = [answer for answer in answers if isinstance(answer, operations.EventRecorded)]
    assert GridEvent.objects.count() == 1
    assert sum(answer.created for answer in recorded) == 1
    assert len(recorded) == (6 if same_key else 1)
