"""A day as a utility buys it: an increase at solar noon, a reduction in the evening that is called off half-way, a meter that
reports late; each step leaves the books balanced to the last unit and a document that says the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from unittest import mock

import pytest

from aggregator.core.documents import as_json, as_pdf
from aggregator.models import LedgerEntry
from aggregator.operations import settlements as operations
from aggregator.operations.settlements import settle_event
from aggregator.queries.chain import check_chain
from aggregator.queries.documents import settlement_document
from aggregator.queries.ledger import ledger_is_balanced, ledger_totals
from grid.models import Settlement
from grid.operations.events import cancel_event
from grid.operations.prices import FactorInput, record_factors
from grid.queries import EventView
from tests.integration.metering import meter_readings, store_readings
from tests.integration.test_settling import Fleet, after, amounts, ask, build_fleet

pytestmark = pytest.mark.django_db(transaction=True)

DAY = datetime(2026, 11, 24, tzinfo=UTC)  # a Tuesday
NOON, EVENING = DAY + timedelta(hours=11), DAY + timedelta(hours=17)
CALLED_OFF = EVENING + timedelta(minutes=40)


@pytest.fixture
def fleet() -> Fleet:
    return build_fleet()


def power_kw(at: datetime) -> float:
    """Idle until noon, charging hard while solar power is curtailed; sending in the evening until it is called off."""
    if NOON <= at < NOON + timedelta(hours=1):
        return 10.0
    if EVENING <= at < CALLED_OFF:
        return -4.0
    return 2.0


def live(asset_id: int) -> None:
    store_readings(
        meter_readings(
            asset_id,
            starts_at=NOON - timedelta(hours=1),
            ends_at=EVENING + timedelta(hours=2),
            every_s=300,
            power_kw=power_kw,
        ),
        now=EVENING + timedelta(hours=3),
    )


def sound() -> bool:
    return ledger_is_balanced() and all(total == 0 for total in ledger_totals().values()) and check_chain().faults == ()


def paid_by_operator(view: EventView) -> Decimal:
    return -amounts(view.event_id)["grid_operator", "grid-co", "EUR", None]


def document_total(view: EventView, name: str) -> Decimal:
    document = as_json(settlement_document(event_id=view.event_id))
    return Decimal(next(figure["value"] for figure in document["totals"] if figure["name"] == name))


def test_up_at_noon_down_in_the_evening_called_off_and_a_late_meter(fleet: Fleet) -> None:
    up = ask(fleet.all, key="noon", direction="increase", target_kw=24.0, starts_at=NOON)
    for kind, kg in (("marginal", 0.5), ("average", 0.3)):
        record_factors(
            series_code=kind,
            region_id=up.region_id,
            kind=kind,
            source="a test",
            points=[FactorInput(DAY, DAY + timedelta(days=1), kg)],
        )
    down = ask(fleet.all, key="evening", direction="reduce", target_kw=18.0, starts_at=EVENING)
    down = cancel_event(event_id=down.event_id, requested_by="grid-co", now=CALLED_OFF)
    live(fleet.car)
    live(fleet.pack)  # the third meter is silent for now

    # three assets were asked for 24 kW more; two are proven, 8 kW each for an hour
    noon = settle_event(event_id=up.event_id, now=after(up))
    assert noon.delivered_kwh == pytest.approx(Decimal(16), abs=Decimal("1e-6")) and noon.missed_kwh > 0
    assert noon.avoided_co2_kg == pytest.approx(Decimal(-8), abs=Decimal("1e-6")), "an increase emits now"
    # two sent 6 kW each less than before for forty minutes
    evening = settle_event(event_id=down.event_id, now=after(down))
    assert evening.delivered_kwh == pytest.approx(Decimal(8), abs=Decimal("1e-6"))
    assert evening.steps[-1].ends_at == CALLED_OFF
    assert paid_by_operator(up) == noon.payment and paid_by_operator(down) == evening.payment and sound()

    live(fleet.unowned)
    corrected = settle_event(event_id=up.event_id, now=after(up) + timedelta(hours=9))
    assert corrected.revision == 2 and corrected.missed_kwh == 0
    assert corrected.delivered_kwh == pytest.approx(Decimal(24), abs=Decimal("1e-6"))
    assert paid_by_operator(up) == corrected.payment == document_total(up, "payment") and sound()
    assert settle_event(event_id=up.event_id, now=after(up) + timedelta(hours=10)).revision == 2
    for view in (up, down):
        document = settlement_document(event_id=view.event_id)
        assert as_pdf(document, language="ja").startswith(b"%PDF-")
        slots = next(table for table in document.tables if table.name == "slots")
        names = [column.name for column in slots.columns]
        co2 = sum(row[names.index("avoided_co2_kg")] for row in slots.rows)
        assert co2 == pytest.approx(float(document_total(view, "avoided_co2_kg")), abs=1e-5)


@pytest.mark.parametrize("dies_in", ["record_settlement", "book_transaction"])
def test_a_worker_that_dies_in_the_middle_books_nothing_and_the_next_one_all(fleet: Fleet, dies_in: str) -> None:
    for asset_id in fleet.all:
        live(asset_id)
    view = ask(fleet.all, key="noon", direction="increase", target_kw=24.0, starts_at=NOON)
    real = getattr(operations, dies_in)

    def dies(**given: object) -> None:
        real(**given)
        raise KeyboardInterrupt  # the work was done, the commit was not

    with mock.patch.object(operations, dies_in, dies), pytest.raises(KeyboardInterrupt):
        settle_event(event_id=view.event_id, now=after(view))
    assert Settlement.objects.count() == LedgerEntry.objects.count() == 0 and check_chain().length == 0
    settled = settle_event(event_id=view.event_id, now=after(view))
    assert paid_by_operator(view) == settled.payment > 0 and sound()
