"""What the computing market knows, as frozen dataclasses."""

from compute_market.queries.jobs import (
    Interruption,
    JobOutput,
    JobView,
    TenantTotals,
    job_of_tenant,
    job_output,
    jobs_of_tenant,
    tenant_totals,
)
from compute_market.queries.leases import LeaseTask, checkpoint_of, input_of, lease_task, live_lease_of, program_of
from compute_market.queries.market import (
    ComputingLoad,
    FinishedWork,
    MarketState,
    completed_jobs,
    compute_value,
    market_state,
    unbooked_work,
)
from compute_market.queries.owners import ComputerSummary, computer_summary
from compute_market.queries.terms import terms_of

__all__ = [
    "ComputerSummary",
    "ComputingLoad",
    "FinishedWork",
    "Interruption",
    "JobOutput",
    "JobView",
    "LeaseTask",
    "MarketState",
    "TenantTotals",
    "checkpoint_of",
    "completed_jobs",
    "compute_value",
    "computer_summary",
    "input_of",
    "job_of_tenant",
    "job_output",
    "jobs_of_tenant",
    "lease_task",
    "live_lease_of",
    "market_state",
    "program_of",
    "tenant_totals",
    "terms_of",
    "unbooked_work",
]
