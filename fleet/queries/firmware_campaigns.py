"""Firmware campaigns and how far they are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count

from fleet.models import CampaignTarget, FirmwareCampaign


@dataclass(frozen=True, slots=True)
class StageView:
    """One stage: how many of its stations are where."""

    number: int
    stations: int
    waiting: int
    asked: int
    installed: int
    failed: int
    began_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class FailureView:
    """A station that did not take the firmware, and why."""

    identity: str
    stage: int
    reason: str


@dataclass(frozen=True, slots=True)
class CampaignView:
    """A campaign, stage by stage."""

    campaign_id: int
    name: str
    vendor: str
    model: str
    firmware_version: str
    location: str
    signed: bool
    failure_limit_fraction: float
    state: str
    reason: str
    created_by: str
    created_at: datetime
    stages: tuple[StageView, ...]


def campaigns(*, before_id: int | None = None, limit: int = 50, campaign_id: int | None = None) -> list[CampaignView]:
    """Campaigns, the latest first. Three queries."""
    rows = FirmwareCampaign.objects.prefetch_related("stages").order_by("-pk")
    if before_id is not None:
        rows = rows.filter(pk__lt=before_id)
    if campaign_id is not None:
        rows = rows.filter(pk=campaign_id)
    found = list(rows[:limit])
    counts: dict[int, Counter[str]] = {}
    grouped = CampaignTarget.objects.filter(stage__campaign__in=found).values_list("stage_id", "state")
    for stage_id, state, count in grouped.annotate(Count("pk")):
        counts.setdefault(stage_id, Counter())[state] = count
    return [_campaign(row, counts) for row in found]


def _campaign(row: FirmwareCampaign, counts: dict[int, Counter[str]]) -> CampaignView:
    stages = []
    for stage in row.stages.all():
        of = counts.get(stage.pk, Counter())
        stages.append(
            StageView(
                stage.number,
                sum(of.values()),
                of["waiting"],
                of["asked"],
                of["installed"],
                of["failed"],
                stage.began_at,
                stage.ended_at,
            )
        )
    return CampaignView(
        row.pk,
        row.name,
        row.vendor,
        row.model,
        row.firmware_version,
        row.location,
        bool(row.signature),
        row.failure_limit_fraction,
        row.state,
        row.reason,
        row.created_by,
        row.created_at,
        tuple(stages),
    )


def campaign_failures(campaign_id: int, *, limit: int = 200) -> list[FailureView]:
    """Stations of a campaign that have failed."""
    rows = CampaignTarget.objects.filter(stage__campaign_id=campaign_id, state="failed")
    rows = rows.select_related("charger", "stage").order_by("-ended_at")
    return [FailureView(row.charger.identity, row.stage.number, row.reason) for row in rows[:limit]]
