"""Settlement documents: the same numbers in JSON, CSV and PDF, each traced to readings; disputes with frozen evidence."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client

from aggregator.core.document_words import WORDS, word
from aggregator.models import User
from aggregator.operations.clients import create_client
from aggregator.operations.disputes import evidence_of_asset, open_dispute
from aggregator.operations.settlements import settle_event
from common.errors import InvalidInput
from fleet.models import Reading
from grid.operations.disputes import DisputeClosed, resolve_dispute
from grid.queries.disputes import dispute_evidence, disputes_of_event
from tests.integration.test_operator_api import Caller, token_of
from tests.integration.test_settling import Fleet, after, ask, build_fleet, meter

pytestmark = pytest.mark.django_db


@pytest.fixture
def fleet() -> Fleet:
    return build_fleet()


@pytest.fixture
def settled(fleet: Fleet) -> int:
    for asset_id in fleet.all:
        meter(asset_id, during_kw=-2.345)
    view = ask(fleet.all)
    settle_event(event_id=view.event_id, now=after(view))
    return view.event_id


def caller(name: str = "grid-co") -> Caller:
    web = Client()
    return Caller(web, token_of(web, create_client(name=name, role="operator")).json()["access_token"])


def fetch(call: Caller, path: str) -> Any:
    """An answer that is no JSON."""
    return call.web.get(path, headers={"Authorization": f"Bearer {call.token}"})


def test_the_three_forms_hold_the_same_numbers(settled: int) -> None:
    call = caller()
    document = call("GET", f"/api/events/{settled}/settlement/document").json()
    totals = {figure["name"]: figure for figure in document["totals"]}
    assert all(figure["origin"] for figure in document["totals"])
    slots = next(table for table in document["tables"] if table["name"] == "slots")
    names = [column["name"] for column in slots["columns"]]
    delivered = sum(float(row[names.index("delivered_kwh")]) for row in slots["rows"])
    assert delivered == pytest.approx(float(totals["delivered_kwh"]["value"]), abs=1e-9)
    shares = next(table for table in document["tables"] if table["name"] == "shares")
    assert sum(float(row[3]) for row in shares["rows"]) == pytest.approx(delivered, abs=1e-9)
    text = fetch(call, f"/api/events/{settled}/settlement/document.csv").content.decode()
    rows = [row for row in csv.reader(io.StringIO(text)) if row]
    assert {row[1]: row[2] for row in rows if row[0] == "total"} == {
        name: str(figure["value"]) for name, figure in totals.items()
    }
    for language in ("en", "ja"):
        answer = fetch(call, f"/api/events/{settled}/settlement/document.pdf?language={language}")
        assert answer["Content-Type"] == "application/pdf" and answer.content.startswith(b"%PDF-")
        assert b"HeiseiKakuGo-W5" in answer.content
        again = fetch(call, f"/api/events/{settled}/settlement/document.pdf?language={language}")
        assert again.content == answer.content, "the same numbers, the same file"
    assert call("GET", f"/api/events/{settled}/settlement/document?language=fr").status_code == 400
    assert caller("other")("GET", f"/api/events/{settled}/settlement/document").status_code == 404


def test_every_number_can_be_worked_out_from_readings(settled: int, fleet: Fleet) -> None:
    """The slots of the document are the sums over participants of what their evidence says, and that is what two
    register values are apart."""
    call = caller()
    document = call("GET", f"/api/events/{settled}/settlement/document").json()
    slots = next(table for table in document["tables"] if table["name"] == "slots")
    evidence = [
        call("GET", f"/api/events/{settled}/settlement/evidence?asset_id={asset}").json() for asset in fleet.all
    ]
    for number, row in enumerate(slots["rows"]):
        assert row[2] == pytest.approx(sum(asset["baseline_kw"][number] for asset in evidence), abs=1e-9)
        assert row[3] == pytest.approx(sum(asset["metered_kwh"][number] for asset in evidence) * 4, abs=1e-9)
    asset = evidence[0]
    register = {reading["measured_at"]: reading["import_kwh"] - reading["export_kwh"] for reading in asset["readings"]}
    starts = [*asset["slot_starts"], "2026-11-24T11:00:00Z"]
    for number in range(4):
        assert asset["metered_kwh"][number] == pytest.approx(register[starts[number + 1]] - register[starts[number]])
    before = register["2026-11-24T10:00:00Z"] - register["2026-11-24T09:45:00Z"]
    assert asset["baseline_kw"][0] == pytest.approx(before * 4)
    assert call("GET", f"/api/events/{settled}/settlement/evidence?asset_id=999").status_code == 404
    assert call("GET", f"/api/events/{settled}/settlement/evidence").status_code == 400


class TestDisputes:
    def test_evidence_is_frozen_while_readings_go_on(self, settled: int, fleet: Fleet) -> None:
        call = caller()
        body = {"reason": "The car was away."}
        opened = call("POST", f"/api/events/{settled}/disputes", body, Idempotency_Key="doubt-1")
        assert opened.status_code == 201, opened.content
        dispute_id = opened.json()["dispute_id"]
        frozen = fetch(call, f"/api/disputes/{dispute_id}/evidence").content
        assert hashlib.sha256(frozen).hexdigest() == opened.json()["evidence_sha256"]
        before = evidence_of_asset(event_id=settled, asset_id=fleet.car)
        Reading.objects.filter(asset_id=fleet.car).delete()
        again = call("POST", f"/api/events/{settled}/disputes", body, Idempotency_Key="doubt-1")
        assert again.json() == opened.json(), "the same doubt"
        document, *assets = [json.loads(line) for line in gzip.decompress(dispute_evidence(dispute_id)).splitlines()]
        assert document["number"] == f"E-{settled} r1" and [asset["asset_id"] for asset in assets] == sorted(fleet.all)
        car = next(asset for asset in assets if asset["asset_id"] == fleet.car)
        assert car["metered_kwh"] == before["metered_kwh"] and len(car["readings"]) == len(before["readings"]) > 50
        assert caller("other")("GET", f"/api/disputes/{dispute_id}/evidence").status_code == 404
        assert caller("another")("POST", f"/api/events/{settled}/disputes", body).status_code == 404
        assert len(call("GET", f"/api/events/{settled}/disputes").json()) == 1

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE grid_settlementdispute SET evidence = ''",
            "UPDATE grid_settlementdispute SET reason = 'none'",
            "DELETE FROM grid_settlementdispute",
        ],
    )
    def test_the_database_refuses_to_change_it(self, settled: int, statement: str) -> None:
        self.open(settled)
        with pytest.raises(IntegrityError, match="frozen"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)

    def test_it_is_resolved_once_and_with_a_reason(self, settled: int) -> None:
        opened = self.open(settled)
        answer: dict[str, Any] = {"dispute_id": opened.dispute_id, "upheld": False, "resolved_by": "op"}
        with pytest.raises(InvalidInput):
            resolve_dispute(**answer, resolution=" ", now=opened.raised_at)
        closed = resolve_dispute(**answer, resolution="The meter proves it.", now=opened.raised_at)
        assert closed.state == "rejected" and closed.evidence_sha256 == opened.evidence_sha256
        with pytest.raises(DisputeClosed):
            resolve_dispute(**answer, resolution="again", now=opened.raised_at)

    @staticmethod
    def open(event_id: int) -> Any:
        from tests.integration.test_settling import START

        return open_dispute(
            event_id=event_id, raised_by="grid-co", idempotency_key="k", reason="a doubt", now=START + timedelta(days=1)
        )


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_page_shows_origins_and_takes_disputes(settled: int, language: str) -> None:
    browser = Client()
    browser.force_login(
        User.objects.create_user("op@example.org", "a good password", is_operator=True, language=language)
    )
    browser.cookies["django_language"] = language
    address = f"/ops/events/{settled}/settlement/"
    page = browser.get(address, headers={"Accept-Language": language}).content.decode()
    assert "rule 5: energy + capacity − penalty" in page and ("精算" in page) is (language == "ja")
    assert browser.get(f"{address}?as=pdf").content.startswith(b"%PDF-")
    browser.post(f"{address}dispute/", {"key": "k-1", "reason": "ein Zweifel"})
    (found,) = disputes_of_event(settled)
    browser.post(f"{address}disputes/{found.dispute_id}/", {"outcome": "upheld", "resolution": "indeed"})
    assert disputes_of_event(settled)[0].state == "upheld"
    assert "indeed" in browser.get(address).content.decode()
    assert browser.get("/ops/events/999999/settlement/").status_code == 404


def test_every_word_is_there_in_both_languages() -> None:
    assert all(english and japanese for english, japanese in WORDS.values())
    assert all(not japanese.isascii() for _, japanese in WORDS.values() if japanese != "CO2") and word("?", "ja") == "?"
