"""Telling the market that finished work stands in the books."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from compute_market.models import WorkSlice


@transaction.atomic
def mark_booked(*, slice_id: int, now: datetime) -> bool:
    """Note that a secured slice stands in the books; False if that was noted before, or the slice is not due."""
    return bool(
        WorkSlice.objects.filter(pk=slice_id, secured_at__isnull=False, booked_at__isnull=True).update(booked_at=now)
    )
