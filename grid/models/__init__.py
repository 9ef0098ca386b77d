"""The tables of the grid side: programmes, events, prices, emission factors, settlements."""

from grid.models.award import (
    AwardSettlement,
    AwardSettlementSlot,
    AwardShare,
    AwardSignal,
    AwardState,
    MarketAward,
)
from grid.models.baseline_rule import BaselineCheck, BaselineKind, BaselineMethod, BaselineRule
from grid.models.carbon import (
    RENEWABLE_KINDS,
    Certificate,
    CertificateKind,
    CreditProject,
    MonitoringRecord,
    SiteYear,
)
from grid.models.dispute import DisputeState, SettlementDispute
from grid.models.event import EventDirection, EventState, GridEvent
from grid.models.openadr import (
    AnswerState,
    NotificationState,
    OpenAdrAnswer,
    OpenAdrBrokerLogin,
    OpenAdrEvent,
    OpenAdrNotification,
    OpenAdrProgram,
    OpenAdrReport,
    OpenAdrResource,
    OpenAdrSubscription,
    OpenAdrVen,
    OutsideEvent,
    OutsideReport,
    OutsideVtn,
    VtnTransport,
)
from grid.models.price import EmissionFactor, EmissionFactorSeries, FactorKind, PricePoint, PriceSeries
from grid.models.product import Assessment, MarketProduct, ProductDirection
from grid.models.programme import Programme
from grid.models.settlement import Settlement, SettlementShare, SettlementStep

__all__ = [
    "RENEWABLE_KINDS",
    "AnswerState",
    "Assessment",
    "AwardSettlement",
    "AwardSettlementSlot",
    "AwardShare",
    "AwardSignal",
    "AwardState",
    "BaselineCheck",
    "BaselineKind",
    "BaselineMethod",
    "BaselineRule",
    "Certificate",
    "CertificateKind",
    "CreditProject",
    "DisputeState",
    "EmissionFactor",
    "EmissionFactorSeries",
    "EventDirection",
    "EventState",
    "FactorKind",
    "GridEvent",
    "MarketAward",
    "MarketProduct",
    "MonitoringRecord",
    "NotificationState",
    "OpenAdrAnswer",
    "OpenAdrBrokerLogin",
    "OpenAdrEvent",
    "OpenAdrNotification",
    "OpenAdrProgram",
    "OpenAdrReport",
    "OpenAdrResource",
    "OpenAdrSubscription",
    "OpenAdrVen",
    "OutsideEvent",
    "OutsideReport",
    "OutsideVtn",
    "PricePoint",
    "PriceSeries",
    "ProductDirection",
    "Programme",
    "Settlement",
    "SettlementDispute",
    "SettlementShare",
    "SettlementStep",
    "SiteYear",
    "VtnTransport",
]
