"""Whatever a client sends, the answer is one that the description names; nothing that it sends crashes a view."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from unittest import mock
from urllib.parse import urlencode

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aggregator import tasks
from aggregator.operations.clients import create_client
from tests.integration.places import register_test_place
from tests.integration.test_operator_api import Caller, token_of

pytestmark = pytest.mark.django_db

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
instants = st.datetimes(min_value=datetime(2025, 1, 1), max_value=datetime(2030, 1, 1), timezones=st.just(UTC)).map(
    datetime.isoformat
)
bodies = json_values | st.fixed_dictionaries(
    {},
    optional={
        "programme": st.sampled_from(["utility-dr", "fast-response", "none"]) | json_values,
        "direction": st.sampled_from(["reduce", "increase"]) | json_values,
        "target_kw": st.floats(allow_nan=False, allow_infinity=False) | json_values,
        "starts_at": instants | json_values,
        "ends_at": instants | json_values,
        "idempotency_key": json_values,
    },
)
queries = st.dictionaries(
    st.sampled_from(["cursor", "page_size", "state", "programme", "since", "revision", "region"]),
    st.text(max_size=30) | st.integers().map(str),
    max_size=3,
)


@pytest.fixture
def caller() -> Any:
    register_test_place(now=datetime(2026, 1, 1, tzinfo=UTC))
    web = Client()
    token = token_of(web, create_client(name="grid-co", role="operator")).json()["access_token"]
    with mock.patch.object(tasks.plan_event, "delay_on_commit"):
        yield Caller(web, token)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=bodies)
def test_any_body(caller: Caller, body: Any) -> None:
    answer = caller("POST", "/api/events", body)
    assert answer.status_code in (200, 201, 400, 409)
    if answer.status_code >= 400:
        assert answer.json()["detail"]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(
        [
            "events",
            "events/1",
            "events/99999999999999999999",
            "events/1/delivery",
            "events/1/settlement",
            "events/1/settlement/shares",
            "settlements",
            "flexibility",
            "programmes/x",
        ]
    ),
    query=queries,
)
def test_any_query(caller: Caller, path: str, query: dict[str, str]) -> None:
    answer = caller("GET", f"/api/{path}?{urlencode(query)}")
    assert answer.status_code in (200, 400, 404)
