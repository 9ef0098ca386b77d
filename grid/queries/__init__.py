"""What others may know of the grid side: programmes, events, prices, emission factors, settlements."""

from grid.queries.events import (
    EventNotFound,
    EventView,
    event,
    events_page,
    open_events,
)
from grid.queries.prices import FactorSlot, PriceSlot, emission_factors, prices
from grid.queries.programmes import ProgrammeView, UnknownProgramme, current_programmes, programme_on
from grid.queries.settlements import (
    SettlementShareView,
    SettlementStepView,
    SettlementView,
    latest_settlement,
    settlement,
    settlements_page,
    shares_of_owner,
    shares_page,
)
from grid.queries.settling import events_to_settle, recently_settled_events

__all__ = [
    "EventNotFound",
    "EventView",
    "FactorSlot",
    "PriceSlot",
    "ProgrammeView",
    "SettlementShareView",
    "SettlementStepView",
    "SettlementView",
    "UnknownProgramme",
    "current_programmes",
    "emission_factors",
    "event",
    "events_page",
    "events_to_settle",
    "latest_settlement",
    "open_events",
    "prices",
    "programme_on",
    "recently_settled_events",
    "settlement",
    "settlements_page",
    "shares_of_owner",
    "shares_page",
]
