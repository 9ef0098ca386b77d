"""What happens to ended events by the clock, and what one that cannot be settled does to the others: nothing."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from decimal import Decimal
from io import StringIO
from unittest import mock

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from oauth2_provider.models import get_access_token_model

from aggregator import tasks
from aggregator.operations import settlements
from aggregator.operations.clients import create_client
from grid.models import Settlement
from grid.queries import event, settlement
from tests.integration.test_operator_api import Client, token_of
from tests.integration.test_settling import START, Fleet, after, ask, build_fleet, meter

pytestmark = pytest.mark.django_db


@pytest.fixture
def fleet() -> Fleet:
    return build_fleet()


def at(now: datetime) -> mock._patch:
    return mock.patch.object(tasks.timezone, "now", return_value=now)


def test_an_ended_event_is_settled_once_its_meters_have_had_time(fleet: Fleet) -> None:
    for asset_id in fleet.all:
        meter(asset_id)
    view = ask(fleet.all)
    with at(view.ends_at + timedelta(seconds=9)):
        tasks.settle_ended_events()
    assert Settlement.objects.count() == 0
    with at(after(view)):
        tasks.settle_ended_events()
        tasks.settle_ended_events()
    assert event(view.event_id).state == "settled" and Settlement.objects.count() == 1


def test_readings_that_come_hours_late_correct_the_settlement_by_themselves(fleet: Fleet) -> None:
    view = ask(fleet.all)
    with at(after(view)):
        tasks.settle_ended_events()
    assert settlement(event_id=view.event_id).delivered_kwh == 0
    for asset_id in fleet.all:
        meter(asset_id)
    with at(after(view) + timedelta(hours=5)):
        tasks.settle_again()
    corrected = settlement(event_id=view.event_id)
    assert corrected.revision == 2 and corrected.payment == Decimal(9)
    with at(view.ends_at + tasks.SETTLE_AGAIN_WITHIN + timedelta(seconds=1)):
        meter(fleet.car, starts_at=START + timedelta(hours=3), ends_at=START + timedelta(hours=4))
        tasks.settle_again()
    assert settlement(event_id=view.event_id).revision == 2


def test_an_event_that_cannot_be_settled_holds_up_no_other(fleet: Fleet) -> None:
    first = ask(fleet.all, minutes=30)
    second = ask(fleet.all, key="key-2", starts_at=START + timedelta(hours=1), minutes=30)
    settle = settlements.settle_event

    def fail_for_the_first(*, event_id: int, now: datetime) -> object:
        if event_id == first.event_id:
            raise settlements.EventNotOver("not yet")
        return settle(event_id=event_id, now=now)

    with at(after(second)), mock.patch.object(settlements, "settle_event", fail_for_the_first):
        tasks.settle_ended_events()
    assert event(first.event_id).state == "planned" and event(second.event_id).state == "settled"


def test_tokens_that_nobody_can_use_are_dropped() -> None:
    made = create_client(name="grid-co", role="operator")
    token_of(Client(), made)
    fresh = token_of(Client(), made).json()["access_token"]
    tokens = get_access_token_model().objects
    tokens.exclude(token=fresh).update(expires=START - timedelta(days=3))
    tasks.clear_expired_tokens()
    assert list(tokens.values_list("token", flat=True)) == [fresh]


def test_an_event_is_settled_by_hand_as_often_as_one_likes(fleet: Fleet) -> None:
    for asset_id in fleet.all:
        meter(asset_id)
    view = ask(fleet.all)
    answers = []
    with at(after(view)):
        for _ in range(2):
            out = StringIO()
            call_command("settle_event", "--event", str(view.event_id), "--json", stdout=out)
            answers.append(json.loads(out.getvalue()))
    assert answers[0] == answers[1] and answers[0]["payment"] == "9.0000" and answers[0]["revision"] == 1
    for event_id, now, expected in (
        (view.event_id, START, "ends at"),
        (10**6, after(view), "There is no event"),
    ):
        with at(now), pytest.raises(CommandError, match=expected) as caught:
            call_command("settle_event", "--event", str(event_id), stdout=StringIO())
        assert caught.value.returncode == 2 and str(caught.value).startswith("--event: ")
