"""What the fleet does by the clock."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

from celery import shared_task
from celery.signals import beat_init
from django.conf import settings

from common.errors import PlatformError
from fleet.operations.authority import load_authority, renew_server_certificate
from fleet.operations.capacity_tests import finish_capacity_tests, record_health_from_use
from fleet.operations.certificates import renew_expiring_certificates, sign_waiting_requests
from fleet.operations.compliance import judge_compliance
from fleet.operations.firmware_campaigns import advance_campaigns
from fleet.operations.missing_events import ask_for_missing_events
from fleet.operations.priority import end_priority
from fleet.operations.reservations import expire_reservations
from fleet.operations.retention import MESSAGES, READINGS, drop_old_partitions, ensure_partitions
from fleet.operations.station_notices import forget_customer_reports
from fleet.queries.packs import pack_ids

logger = logging.getLogger(__name__)

# Hourly, though days are made a week ahead: a platform that was off for long catches up within the hour.
BEAT_SCHEDULE = {
    "fleet-upkeep-partitions": {"task": "fleet.upkeep_partitions", "schedule": 3600.0},
    "fleet-end-priority": {"task": "fleet.end_priority", "schedule": 15.0},
    "fleet-judge-compliance": {"task": "fleet.judge_compliance", "schedule": 10.0, "options": {"expires": 10}},
    # a station that has asked waits for its certificate
    "fleet-sign-certificates": {"task": "fleet.sign_certificates", "schedule": 10.0, "options": {"expires": 10}},
    "fleet-upkeep-stations": {"task": "fleet.upkeep_stations", "schedule": 60.0, "options": {"expires": 60}},
    "fleet-advance-campaigns": {"task": "fleet.advance_campaigns", "schedule": 10.0, "options": {"expires": 10}},
    "fleet-renew-certificates": {"task": "fleet.renew_certificates", "schedule": 3600.0},
    "fleet-finish-capacity-tests": {"task": "fleet.finish_capacity_tests", "schedule": 300.0},
    "fleet-estimate-health": {"task": "fleet.estimate_health", "schedule": 86_400.0},
}


@shared_task(name="fleet.upkeep_partitions")
def upkeep_partitions() -> None:
    """Make the days that readings and messages will need, and drop those past their retention."""
    now = datetime.now(UTC)
    ensure_partitions(now=now)
    drop_old_partitions(now=now, keep_days=settings.READING_RETENTION_DAYS, tables=[READINGS])
    drop_old_partitions(now=now, keep_days=settings.MESSAGE_RETENTION_DAYS, tables=[MESSAGES])


@shared_task(name="fleet.end_priority")
def end_expired_priority() -> None:
    """Let the plan resume where a driver's override is over and the station still serves the car before all others."""
    end_priority(now=datetime.now(UTC))


@shared_task(name="fleet.judge_compliance")
def compare_meters_with_schedules() -> None:
    """Leave out of planning whatever does not follow its schedule, and take back what follows again."""
    judge_compliance(now=datetime.now(UTC))


@shared_task(name="fleet.sign_certificates")
def sign_certificates() -> None:
    """Sign what stations have asked for. Needs the authority's key, which no gateway has."""
    if not settings.OCPP_CERTIFICATES:
        return
    try:
        authority = load_authority(directory=Path(settings.OCPP_CERTIFICATES), passphrase=settings.OCPP_CA_PASSPHRASE)
    except PlatformError as error:
        logger.error("certificates cannot be signed: %s", error)
        return
    sign_waiting_requests(authority=authority, now=datetime.now(UTC))


@shared_task(name="fleet.upkeep_stations")
def upkeep_stations() -> None:
    """Close reservations that are over, ask for events of transactions that have not come, forget customers' data."""
    now = datetime.now(UTC)
    expire_reservations(now=now)
    ask_for_missing_events(now=now)
    forget_customer_reports(now=now)


@shared_task(name="fleet.advance_campaigns")
def advance_firmware_campaigns() -> None:
    """Go on with firmware campaigns, or stop them."""
    advance_campaigns(now=datetime.now(UTC))


@shared_task(name="fleet.renew_certificates")
def renew_certificates() -> None:
    """Ask stations whose certificates end soon for new requests, and renew the gateways' own in time."""
    if not settings.OCPP_CERTIFICATES:
        return
    now = datetime.now(UTC)
    renew_expiring_certificates(now=now)
    try:
        renew_server_certificate(
            directory=Path(settings.OCPP_CERTIFICATES), passphrase=settings.OCPP_CA_PASSPHRASE, now=now
        )
    except (PlatformError, OSError) as error:
        logger.error("the gateways' certificate cannot be renewed: %s", error)


@shared_task(name="fleet.finish_capacity_tests")
def finish_tests() -> None:
    """Judge the capacity tests that are over."""
    finish_capacity_tests(now=datetime.now(UTC))


@shared_task(name="fleet.estimate_health")
def estimate_health() -> None:
    """Estimate every pack's health from the use of the last day."""
    now = datetime.now(UTC)
    for pack_id in pack_ids():
        record_health_from_use(pack_id=pack_id, starts_at=now - timedelta(days=1), ends_at=now, now=now)


@beat_init.connect
def upkeep_at_start(**_: object) -> None:
    """The clock's first stroke comes an hour after it starts; a new platform needs its days at once."""
    upkeep_partitions.delay()
