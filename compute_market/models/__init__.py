"""The tables of the computing market: who wants what computed, who offers idle time, what was done and what is due."""

from compute_market.models.checkpoint import Checkpoint
from compute_market.models.job import OPEN_JOB_STATES, Job, JobState, LatencyClass
from compute_market.models.lease import Lease, LeaseEnd, LeaseState
from compute_market.models.offer import ComputingTerms, Offer, OfferState
from compute_market.models.program import Program
from compute_market.models.result import Result
from compute_market.models.work_slice import WorkSlice

__all__ = [
    "OPEN_JOB_STATES",
    "Checkpoint",
    "ComputingTerms",
    "Job",
    "JobState",
    "LatencyClass",
    "Lease",
    "LeaseEnd",
    "LeaseState",
    "Offer",
    "OfferState",
    "Program",
    "Result",
    "WorkSlice",
]
