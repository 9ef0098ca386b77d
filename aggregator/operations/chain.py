"""Looking at the chain over the books, and keeping what was found."""

from __future__ import annotations

from datetime import datetime

from aggregator.models import LedgerVerification
from aggregator.queries.chain import ChainReport, check_chain


def verify_ledger(*, now: datetime, expected: dict[int, str] | None = None) -> ChainReport:
    """Check the whole chain against itself, against the heads that earlier looks kept and against what the caller wrote
    down, and keep the result.

    Args:
        expected: seals by position that were written down elsewhere.
    """
    looks = LedgerVerification.objects.filter(length__gt=0, faults=[]).order_by("-at", "-pk")
    kept = {row.length: row.head_sha256 for row in reversed(looks[:100])}
    report = check_chain(expected={**kept, **(expected or {})})
    LedgerVerification.objects.create(
        at=now, length=report.length, head_sha256=report.head_sha256, faults=list(report.faults)
    )
    return report
