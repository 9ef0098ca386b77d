"""The tables of the aggregator itself: users, clients, plans, the books."""

from aggregator.models.chain import LedgerSeal, LedgerVerification
from aggregator.models.client import ApiClient, ClientRole
from aggregator.models.contribution import OwnerContribution
from aggregator.models.forecast import DepartureForecast, PresenceResiduals
from aggregator.models.ledger import LedgerAccount, LedgerAccountKind, LedgerEntry, LedgerTransaction
from aggregator.models.payout import Payout, PayoutAccount, PayoutBatch
from aggregator.models.plan import Plan, PlannedSchedule, PlanTrigger
from aggregator.models.portfolio import (
    Portfolio,
    PortfolioLimit,
    PortfolioPart,
    PortfolioPlan,
    PortfolioPlanState,
    PortfolioRegion,
)
from aggregator.models.tracking import DeliverySample
from aggregator.models.user import User

__all__ = [
    "ApiClient",
    "ClientRole",
    "DeliverySample",
    "DepartureForecast",
    "LedgerAccount",
    "LedgerAccountKind",
    "LedgerEntry",
    "LedgerSeal",
    "LedgerTransaction",
    "LedgerVerification",
    "OwnerContribution",
    "Payout",
    "PayoutAccount",
    "PayoutBatch",
    "Plan",
    "PlanTrigger",
    "PlannedSchedule",
    "Portfolio",
    "PortfolioLimit",
    "PortfolioPart",
    "PortfolioPlan",
    "PortfolioPlanState",
    "PortfolioRegion",
    "PresenceResiduals",
    "User",
]
