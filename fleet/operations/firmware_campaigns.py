"""New firmware for many stations in stages: each stage waits for the one before it, and too many failures stop it all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from math import ceil

from django.db import transaction

from common.errors import Conflict, InvalidInput, NotFound
from fleet.models import (
    CampaignStage,
    CampaignState,
    CampaignTarget,
    Charger,
    ChargerProtocol,
    CommandKind,
    CommandState,
    DeviceCommand,
    FirmwareCampaign,
    StationTransfer,
    TargetState,
    TransferKind,
)
from fleet.operations.station_commands import queue_station_command
from fleet.operations.station_notices import SUCCEEDED, request_number

MOST_STAGES = 20
NOT_CONNECTED = "not connected"
_UNDELIVERED = {
    CommandState.REFUSED: "refused the update",
    CommandState.TIMED_OUT: "did not answer",
    CommandState.EXPIRED: NOT_CONNECTED,
    CommandState.SUPERSEDED: "taken back",
}


@dataclass(frozen=True, slots=True)
class CampaignPlan:
    """What is rolled out, to whom, and how carefully.

    `stage_fractions` rise to 1: of all stations, how many have been told after each stage.
    """

    name: str
    vendor: str
    model: str
    firmware_version: str
    location: str
    stage_fractions: Sequence[float] = (0.05, 0.25, 1.0)
    signing_certificate: str = ""
    signature: str = ""
    failure_limit_fraction: float = 0.1
    patience_s: int = 3600
    rest_s: int = 3600


@transaction.atomic
def create_campaign(*, plan: CampaignPlan, created_by: str, now: datetime) -> int:
    """Choose the stations of a make and model that do not have the version yet, and share them among stages.

    Raises:
        InvalidInput: a field does not suit, or there is no such station.
    """
    _check(plan)
    stations = list(
        Charger.objects.filter(vendor__iexact=plan.vendor, model__iexact=plan.model)
        .exclude(protocol=ChargerProtocol.MQTT)
        .exclude(firmware_version=plan.firmware_version)
        .order_by("pk")
    )
    if not stations:
        raise InvalidInput(
            "no station of this make and model lacks this version.",
            field="model",
            remedy="Look at what stations say of themselves.",
        )
    campaign = FirmwareCampaign.objects.create(
        name=plan.name,
        vendor=plan.vendor,
        model=plan.model,
        firmware_version=plan.firmware_version,
        location=plan.location,
        signing_certificate=plan.signing_certificate,
        signature=plan.signature,
        failure_limit_fraction=plan.failure_limit_fraction,
        patience_s=plan.patience_s,
        rest_s=plan.rest_s,
        created_by=created_by,
        created_at=now,
    )
    begun = number = 0
    for fraction in plan.stage_fractions:
        end = ceil(fraction * len(stations))
        if end == begun:
            continue  # so few stations that the stage before has them
        number += 1
        stage = CampaignStage.objects.create(campaign=campaign, number=number)
        CampaignTarget.objects.bulk_create(
            CampaignTarget(stage=stage, charger=station) for station in stations[begun:end]
        )
        begun = end
    return campaign.pk


def _check(plan: CampaignPlan) -> None:
    for field, longest in (("name", 80), ("vendor", 50), ("model", 50), ("firmware_version", 50), ("location", 512)):
        if not 0 < len(getattr(plan, field)) <= longest:
            raise InvalidInput(f"1 to {longest} characters are expected.", field=field)
    fractions = list(plan.stage_fractions)
    rising = all(earlier < later for earlier, later in pairwise(fractions))
    if not 0 < len(fractions) <= MOST_STAGES or not rising or fractions[0] <= 0 or fractions[-1] != 1:
        raise InvalidInput("must rise to 1.", field="stage_fractions", remedy="Give such as 0.05, 0.25, 1.")
    if not 0 <= plan.failure_limit_fraction <= 1:
        raise InvalidInput("0 to 1 is expected.", field="failure_limit_fraction")
    if not 10 <= plan.patience_s <= 604_800:
        raise InvalidInput("10 s to 7 days are expected.", field="patience_s")
    if not 0 <= plan.rest_s <= 604_800:
        raise InvalidInput("0 s to 7 days are expected.", field="rest_s")
    if bool(plan.signature) != bool(plan.signing_certificate):
        raise InvalidInput("comes with signing_certificate or not at all.", field="signature")


@transaction.atomic
def start_campaign(*, campaign_id: int, now: datetime) -> None:
    """Start a campaign, or go on with one that has stopped; stations that have failed are not tried again.

    Raises:
        NotFound: there is none.
        Conflict: it runs or is finished.
    """
    campaign = _locked(campaign_id)
    if campaign.state not in (CampaignState.DRAFT, CampaignState.STOPPED):
        raise Conflict(f"It is {campaign.state}.", field="campaign_id")
    # what was lost until now has been looked at by whoever lets it go on
    campaign.accepted_failures = _failures(campaign)
    campaign.state, campaign.reason = CampaignState.RUNNING, ""
    campaign.started_at = campaign.started_at or now
    campaign.save(update_fields=["state", "reason", "started_at", "accepted_failures"])


@transaction.atomic
def stop_campaign(*, campaign_id: int, reason: str, now: datetime) -> None:
    """Tell no further station; what has been told goes on by itself.

    Raises:
        NotFound: there is none.
        Conflict: it does not run.
    """
    campaign = _locked(campaign_id)
    if campaign.state != CampaignState.RUNNING:
        raise Conflict(f"It is {campaign.state}.", field="campaign_id")
    _stop(campaign, reason)


def _stop(campaign: FirmwareCampaign, reason: str) -> None:
    campaign.state, campaign.reason = CampaignState.STOPPED, reason[:200]
    campaign.save(update_fields=["state", "reason"])
    # what has not left yet shall not
    DeviceCommand.objects.filter(campaigntarget__stage__campaign=campaign, state=CommandState.QUEUED).update(
        state=CommandState.SUPERSEDED
    )


def _locked(campaign_id: int) -> FirmwareCampaign:
    campaign = FirmwareCampaign.objects.select_for_update().filter(pk=campaign_id).first()
    if campaign is None:
        raise NotFound(f"There is no campaign {campaign_id}.", field="campaign_id")
    return campaign


@transaction.atomic
def advance_campaigns(*, now: datetime) -> int:
    """Take up what stations have said, stop what fails too often, and go on with the rest. Returns how many run."""
    running = FirmwareCampaign.objects.select_for_update(skip_locked=True).filter(state=CampaignState.RUNNING)
    campaigns = list(running.order_by("pk"))
    for campaign in campaigns:
        _advance(campaign, now)
    return len(campaigns)


def _advance(campaign: FirmwareCampaign, now: datetime) -> None:
    stages = list(campaign.stages.all())
    stage = next((stage for stage in stages if stage.ended_at is None), None)
    if stage is None:
        campaign.state, campaign.ended_at = CampaignState.FINISHED, now
        campaign.save(update_fields=["state", "ended_at"])
        return
    before = stages[stages.index(stage) - 1].ended_at if stage is not stages[0] else None
    if stage.began_at is None:
        if before is not None and now < before + timedelta(seconds=campaign.rest_s):
            return
        stage.began_at = now
        stage.save(update_fields=["began_at"])
    _take_up(campaign, stage, now)
    size = stage.targets.count()
    failed = _failures(campaign, stage) - campaign.accepted_failures
    if failed > campaign.failure_limit_fraction * size:
        _stop(campaign, f"{failed} of {size} stations of stage {stage.number} have failed")
        return
    _ask(campaign, stage, now)
    if not stage.targets.filter(state__in=[TargetState.WAITING, TargetState.ASKED]).exists():
        stage.ended_at = now
        stage.save(update_fields=["ended_at"])
        campaign.accepted_failures = 0
        campaign.save(update_fields=["accepted_failures"])
        if stage is stages[-1]:
            _advance(campaign, now)


def _failures(campaign: FirmwareCampaign, stage: CampaignStage | None = None) -> int:
    """Stations that have failed in a stage (None: the one that goes on); one that never came says nothing of the firmware."""
    if stage is None:
        stage = campaign.stages.filter(began_at__isnull=False, ended_at=None).first()
    if stage is None:
        return 0
    return stage.targets.filter(state=TargetState.FAILED).exclude(reason=NOT_CONNECTED).count()


def _take_up(campaign: FirmwareCampaign, stage: CampaignStage, now: datetime) -> None:
    """Close the targets that are done, have failed, or have kept silent for too long."""
    asked = list(stage.targets.filter(state=TargetState.ASKED).select_related("charger", "command"))
    transfers = {
        (transfer.charger_id, transfer.request_id): transfer
        for transfer in StationTransfer.objects.filter(
            kind=TransferKind.FIRMWARE,
            charger_id__in=[target.charger_id for target in asked],
            request_id__in=[request_number(target.command_id) for target in asked if target.command_id],
        )
    }
    closed = []
    for target in asked:
        number = request_number(target.command_id) if target.command_id else -1
        outcome = _outcome(campaign, target, transfers.get((target.charger_id, number)), now)
        if outcome is not None:
            target.state, target.reason, target.ended_at = outcome[0], outcome[1][:200], now
            closed.append(target)
    CampaignTarget.objects.bulk_update(closed, ["state", "reason", "ended_at"], batch_size=500)
    late = (stage.began_at or now) + timedelta(seconds=campaign.patience_s)
    if now >= late:
        stage.targets.filter(state=TargetState.WAITING).update(
            state=TargetState.FAILED, reason=NOT_CONNECTED, ended_at=now
        )


def _outcome(
    campaign: FirmwareCampaign, target: CampaignTarget, transfer: StationTransfer | None, now: datetime
) -> tuple[TargetState, str] | None:
    if target.charger.firmware_version == campaign.firmware_version:
        return TargetState.INSTALLED, ""
    if transfer is not None and transfer.ended_at is not None:
        if transfer.status in SUCCEEDED:
            return TargetState.INSTALLED, ""
        return TargetState.FAILED, f"{transfer.status} {transfer.detail}".strip()
    if target.command is None or target.command.state in _UNDELIVERED:
        state = CommandState.SUPERSEDED if target.command is None else CommandState(target.command.state)
        return TargetState.FAILED, _UNDELIVERED[state]
    if now >= (target.asked_at or now) + timedelta(seconds=campaign.patience_s):
        last = "nothing" if transfer is None else transfer.status
        return TargetState.FAILED, f"not installed in time; last said: {last}"
    return None


def _ask(campaign: FirmwareCampaign, stage: CampaignStage, now: datetime) -> None:
    parameters = {"location": campaign.location}
    if campaign.signature:
        parameters |= {"signature": campaign.signature, "signing_certificate": campaign.signing_certificate}
    waiting = stage.targets.filter(state=TargetState.WAITING).exclude(charger__gateway_identity="")
    for target in waiting.select_related("charger"):
        target.command_id = queue_station_command(
            identity=target.charger.identity,
            kind=CommandKind.UPDATE_FIRMWARE,
            parameters=parameters,
            now=now,
            requested_by=f"campaign {campaign.pk}",
        )
        target.state, target.asked_at = TargetState.ASKED, now
        target.save(update_fields=["command", "state", "asked_at"])
