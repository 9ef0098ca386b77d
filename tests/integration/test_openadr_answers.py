"""OpenADR events of programmes that are ours become grid events, follow changes, and are answered in a report."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest
from django.utils import timezone

from aggregator import tasks
from grid.core.openadr.wishes import Portfolio
from grid.models import EmissionFactor, GridEvent, OpenAdrAnswer, PricePoint
from grid.operations.openadr.answers import answer_event, unanswered_events
from grid.operations.openadr.programs import delete_program
from grid.queries.openadr import Caller
from tests.conformance.openadr.parties import Party, operator, party, quiet
from tests.integration.places import REGION, register_test_place

__all__ = ["operator", "party", "quiet"]
pytestmark = pytest.mark.django_db

# 80 kW drawn now; 60 kW less or 40 kW more can be held for an hour, half of it for four
PORTFOLIO = Portfolio(80.0, ((1.0, 60.0, 40.0), (4.0, 30.0, 20.0)))


@pytest.fixture
def program(operator: Party) -> dict[str, Any]:
    register_test_place(now=datetime(2026, 1, 1, tzinfo=UTC))
    return operator.make("/programs", programName="utility-dr")


def at(hours: float) -> str:
    start = timezone.now().replace(minute=0, second=0, microsecond=0) + timedelta(days=1, hours=hours)
    return start.isoformat()


def body(program: dict[str, Any], *payloads: tuple[str, Any], start: str = "", each: str = "PT1H", **more: Any) -> dict:
    intervals = [
        {"id": number, "payloads": [{"type": kind, "values": [value]}]} for number, (kind, value) in enumerate(payloads)
    ]
    period = {"start": start or at(0), "duration": each}
    return {"programID": program["id"], "intervalPeriod": period, "intervals": intervals, **more}


def answer(event: dict[str, Any], now: datetime | None = None) -> Any:
    return answer_event(event["id"], portfolio=lambda region: PORTFOLIO, now=now or timezone.now())


def standing() -> list[tuple[str, float]]:
    rows = GridEvent.objects.exclude(state="cancelled").order_by("starts_at")
    return [(row.direction, round(row.target_kw, 3)) for row in rows]


def states(event: dict[str, Any]) -> list[tuple[str, str]]:
    rows = OpenAdrAnswer.objects.filter(source=f"vtn:{event['id']}").order_by("revision", "position")
    return [(row.state, row.reason) for row in rows]


class TestPayloads:
    @pytest.mark.parametrize(
        ("payload", "promised"),
        [
            (("DISPATCH_SETPOINT_RELATIVE", -25), [("reduce", 25.0)]),
            (("DISPATCH_SETPOINT_RELATIVE", 12.5), [("increase", 12.5)]),
            (("DISPATCH_SETPOINT", 50), [("reduce", 30.0)]),
            (("DISPATCH_SETPOINT", 100), [("increase", 20.0)]),
            (("IMPORT_CAPACITY_LIMIT", 70), [("reduce", 10.0)]),
            (("IMPORT_CAPACITY_LIMIT", 90), []),
            (("EXPORT_CAPACITY_LIMIT", 5), []),
            (("SIMPLE", 3), [("reduce", 60.0)]),
            (("SIMPLE", 1), [("reduce", 20.0)]),
            (("SIMPLE", 0), []),
            (("ALERT_GRID_EMERGENCY", "hold on"), []),
        ],
    )
    def test_what_each_asks_for(
        self, operator: Party, program: dict[str, Any], payload: tuple[str, Any], promised: list[tuple[str, float]]
    ) -> None:
        event = operator.make("/events", **body(program, payload))
        outcome = answer(event)
        assert standing() == promised and len(outcome.grid_event_ids) == len(promised)
        row = GridEvent.objects.first()
        if row is not None:
            assert row.requested_by == "the bl" and row.starts_at.isoformat() == at(0)
        assert states(event)[0][0] == ("accepted" if promised else "noted")

    def test_units_are_converted_and_unknown_ones_refused(self, operator: Party, program: dict[str, Any]) -> None:
        def described(unit: str) -> dict[str, Any]:
            entry = {"objectType": "EVENT_PAYLOAD_DESCRIPTOR", "payloadType": "DISPATCH_SETPOINT_RELATIVE"}
            return {"payloadDescriptors": [{**entry, "units": unit}]}

        payload = ("DISPATCH_SETPOINT_RELATIVE", -0.02)
        answer(operator.make("/events", **body(program, payload, **described("MW"))))
        assert standing() == [("reduce", 20.0)]
        odd = operator.make("/events", **body(program, payload, start=at(5), **described("PARSEC")))
        answer(odd)
        assert states(odd)[0][0] == "refused" and "PARSEC" in states(odd)[0][1] and len(standing()) == 1

    def test_intervals_become_events_and_equal_neighbours_one(self, operator: Party, program: dict[str, Any]) -> None:
        kind = "DISPATCH_SETPOINT_RELATIVE"
        answer(operator.make("/events", **body(program, (kind, -10), (kind, -10), (kind, 0), (kind, 15))))
        assert standing() == [("reduce", 10.0), ("increase", 15.0)]
        first = GridEvent.objects.earliest("starts_at")
        assert first.ends_at - first.starts_at == timedelta(hours=2)

    def test_prices_and_factors_become_series_and_go_with_the_event(
        self, operator: Party, program: dict[str, Any]
    ) -> None:
        event = operator.make("/events", **body(program, ("PRICE", 0.31), ("PRICE", -0.05)))
        assert answer(event).region_ids
        assert [float(p.price_per_kwh) for p in PricePoint.objects.order_by("starts_at")] == [0.31, -0.05]
        operator("PUT", f"/events/{event['id']}", body(program, ("PRICE", 0.5)))
        answer(event)
        assert [float(p.price_per_kwh) for p in PricePoint.objects.all()] == [0.5]
        operator("DELETE", f"/events/{event['id']}")
        assert not PricePoint.objects.exists()
        answer(operator.make("/events", **body(program, ("GHG", 420))))
        assert EmissionFactor.objects.get().kg_per_kwh == pytest.approx(0.42)

    def test_a_price_in_another_currency_is_refused(self, operator: Party, program: dict[str, Any]) -> None:
        entry = {"objectType": "EVENT_PAYLOAD_DESCRIPTOR", "payloadType": "PRICE", "units": "KWH", "currency": "USD"}
        event = operator.make("/events", **body(program, ("PRICE", 0.3), payloadDescriptors=[entry]))
        answer(event)
        assert states(event)[0][0] == "refused" and "EUR" in states(event)[0][1] and not PricePoint.objects.exists()


class TestTerms:
    def test_more_than_can_move_soon_is_promised_in_part(self, operator: Party, program: dict[str, Any]) -> None:
        asked = body(program, ("DISPATCH_SETPOINT_RELATIVE", -500), start="0001-01-01T00:00:00Z")
        event = operator.make("/events", **asked)
        answer(event)
        assert standing() == [("reduce", 60.0)]
        state, reason = states(event)[0]
        assert state == "partial" and "60 kW" in reason and "from " in reason

    def test_what_the_programme_does_not_buy_is_refused_and_told(
        self, operator: Party, program: dict[str, Any]
    ) -> None:
        event = operator.make("/events", **body(program, ("DISPATCH_SETPOINT_RELATIVE", -0.2)))
        answer(event)
        assert states(event)[0][0] == "refused" and "event_too_small" in states(event)[0][1] and standing() == []
        report = operator("GET", "/reports", eventID=event["id"]).json()[0]
        assert report["clientName"] == f"PORTFOLIO-{REGION}" and report["reportName"] == "answer"
        payloads = {p["type"]: p["values"] for p in report["resources"][0]["intervals"][0]["payloads"]}
        assert payloads["ANSWER"][0] == "REFUSED" and payloads["OPERATING_STATE"] == ["RUNNING_OPTED_OUT"]

    def test_a_programme_of_others_is_not_for_us(self, operator: Party, program: dict[str, Any]) -> None:
        other = operator.make("/programs", programName="somebody-elses")
        answer(operator.make("/events", **body(other, ("DISPATCH_SETPOINT_RELATIVE", -20))))
        assert standing() == [] and operator.ids("/reports") == []
        attribute = [{"type": "PROGRAMME", "values": ["utility-dr"]}]
        operator("PUT", f"/programs/{other['id']}", {"programName": "somebody-elses", "attributes": attribute})
        (waiting,) = unanswered_events()
        answer({"id": waiting})
        assert standing() == [("reduce", 20.0)]

    def test_targets_reach_the_portfolio_once_they_are_granted(self, operator: Party, program: dict[str, Any]) -> None:
        wish = body(program, ("DISPATCH_SETPOINT_RELATIVE", -20), targets=["north"])
        answer(operator.make("/events", **wish))
        assert standing() == []
        (ven,) = operator("GET", "/vens").json()
        assert ven["venName"] == f"PORTFOLIO-{REGION}"
        granted = {"objectType": "BL_VEN_REQUEST", "clientID": ven["clientID"], "venName": ven["venName"]}
        assert operator("PUT", f"/vens/{ven['id']}", {**granted, "targets": ["north"]}).status_code == 200
        answer(operator.make("/events", **wish))
        assert standing() == [("reduce", 20.0)]


class TestChanges:
    def test_answering_twice_changes_nothing(self, operator: Party, program: dict[str, Any]) -> None:
        event = operator.make("/events", **body(program, ("DISPATCH_SETPOINT_RELATIVE", -20)))
        assert len(answer(event).grid_event_ids) == 1 and answer(event).grid_event_ids == ()
        assert len(states(event)) == 1 and unanswered_events() == []

    def test_a_change_before_the_start_replaces_and_the_same_again_keeps(
        self, operator: Party, program: dict[str, Any]
    ) -> None:
        kind = "DISPATCH_SETPOINT_RELATIVE"
        event = operator.make("/events", **body(program, (kind, -20), (kind, -30)))
        answer(event)
        kept = GridEvent.objects.get(target_kw=30).pk
        operator("PUT", f"/events/{event['id']}", body(program, (kind, -25), (kind, -30)))
        outcome = answer(event)
        assert standing() == [("reduce", 25.0), ("reduce", 30.0)] and kept not in outcome.grid_event_ids
        operator("PUT", f"/events/{event['id']}", body(program, (kind, 0)))
        answer(event)
        assert standing() == []

    def test_a_longer_or_shorter_end_moves_the_event(self, operator: Party, program: dict[str, Any]) -> None:
        kind = "DISPATCH_SETPOINT_RELATIVE"
        event = operator.make("/events", **body(program, (kind, -20)))
        answer(event)
        (first,) = GridEvent.objects.all()
        for each, hours in (("PT2H", 2), ("PT30M", 0.5)):
            operator("PUT", f"/events/{event['id']}", body(program, (kind, -20), each=each))
            assert answer(event).grid_event_ids == (first.pk,)
            (same,) = GridEvent.objects.all()
            assert same.ends_at - same.starts_at == timedelta(hours=hours)

    def test_a_change_while_it_runs_follows_without_a_gap(self, operator: Party, program: dict[str, Any]) -> None:
        kind = "DISPATCH_SETPOINT_RELATIVE"
        event = operator.make("/events", **body(program, (kind, -20), each="PT2H"))
        answer(event)
        start = GridEvent.objects.get().starts_at
        during = start + timedelta(minutes=30)
        operator("PUT", f"/events/{event['id']}", body(program, (kind, -40), each="PT2H"))
        answer(event, now=during)
        old, new = GridEvent.objects.order_by("starts_at")
        # the programme wants ten minutes' notice: until then the first promise stands
        assert old.target_kw == 20 and old.ends_at == new.starts_at == during + timedelta(minutes=10)
        assert new.target_kw == 40 and new.ends_at == start + timedelta(hours=2)

    def test_deleting_calls_off_before_the_start_and_ends_what_runs(
        self, operator: Party, program: dict[str, Any]
    ) -> None:
        event = operator.make("/events", **body(program, ("DISPATCH_SETPOINT_RELATIVE", -20)))
        answer(event)
        with mock.patch.object(tasks.plan_event, "delay_on_commit") as planned:
            assert operator("DELETE", f"/events/{event['id']}").status_code == 200
        (row,) = GridEvent.objects.all()
        assert row.state == "cancelled" and planned.call_args.args == (row.pk,)
        running = operator.make("/events", **body(program, ("DISPATCH_SETPOINT_RELATIVE", -20), start=at(3)))
        answer(running)
        during = GridEvent.objects.latest("starts_at").starts_at + timedelta(minutes=20)
        caller = Caller(operator.made.client_id, operator.made.name, is_business_logic=True)
        assert delete_program(caller=caller, program_id=program["id"], now=during)[1] == [row.pk + 1]
        row = GridEvent.objects.latest("starts_at")
        assert row.state != "cancelled" and row.cancelled_at == row.ends_at == during


def test_the_task_answers_plans_and_tells(operator: Party, program: dict[str, Any]) -> None:
    event = operator.make("/events", **body(program, ("DISPATCH_SETPOINT_RELATIVE", -20)))
    with mock.patch.object(tasks.plan_event, "delay_on_commit") as planned:
        tasks.answer_openadr_event(event["id"])
    planned.assert_called_once_with(GridEvent.objects.get().pk)
    assert len(operator.ids("/reports")) == 1
