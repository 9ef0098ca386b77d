"""What has happened in the portfolio of `tests.portal_world`: events, a settlement, a plan, commands, a trace and books."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import connection

from aggregator.models import DeliverySample, LedgerAccount, LedgerEntry, LedgerTransaction, Plan, PlannedSchedule
from fleet.models import Asset, ChargingSession, DeviceCommand, Owner, Region
from grid.models import GridEvent, Programme, Settlement, SettlementShare, SettlementStep
from grid.operations.baseline_rules import register_shipped_baseline_rules

STEP_H = 0.5
STEPS = 48


def make_events(region: Region, asset_ids: list[int], now: datetime) -> tuple[GridEvent, GridEvent]:
    """One that was settled two hours ago and one that runs, each with what the tracking loop saw."""
    programme = Programme.objects.create(
        code="FAST",
        name="Fast reserve",
        region=region,
        effective_from=now - timedelta(days=300),
        allows_increase=True,
        max_kw=100_000,
        notice_s=10,
        ramp_s=15,
        slot_s=15,
        max_duration_s=7200,
        energy_price_per_kwh=80,
        capacity_price_per_kw=2,
        missed_price_per_kwh=120,
        currency="JPY",
        baseline_window_s=15,
    )
    target_kw = 2.0 * len(asset_ids)
    common = {
        "programme": programme,
        "requested_by": "grid",
        "direction": "reduce",
        "target_kw": target_kw,
        "participants": asset_ids,
        "baseline_kw": 1.5 * target_kw,
    }
    settled = GridEvent.objects.create(
        idempotency_key="a",
        state="settled",
        received_at=now - timedelta(hours=3),
        starts_at=now - timedelta(hours=2),
        ends_at=now - timedelta(hours=2) + timedelta(seconds=75),
        **common,
    )
    running = GridEvent.objects.create(
        idempotency_key="b",
        state="planned",
        received_at=now - timedelta(minutes=10),
        starts_at=now - timedelta(seconds=120),
        ends_at=now + timedelta(minutes=40),
        **common,
    )
    samples = []
    for event in (settled, running):
        for second in range(0, 120 if event is running else 76, 2):
            share = min(1.0, second / 15) * (0.97 + 0.02 * math.sin(second))
            samples.append(
                DeliverySample(
                    grid_event_id=event.pk,
                    at=event.starts_at + timedelta(seconds=second),
                    target_kw=target_kw,
                    baseline_kw=1.5 * target_kw,
                    measured_kw=(1.5 - share) * target_kw,
                    delivered_kw=share * target_kw,
                    corrected_assets=second % 5,
                )
            )
    DeliverySample.objects.bulk_create(samples)
    return running, settled


def make_settlement(event: GridEvent, sessions: list[ChargingSession], now: datetime) -> None:
    """Five slots, the first in the ramp, and the owners' shares."""
    # migrations made the rules known, but a test before may have emptied every table
    register_shipped_baseline_rules()
    kwh = Decimal(str(round(event.target_kw * 75 / 3600, 6)))
    row = Settlement.objects.create(
        event=event,
        settled_at=now - timedelta(hours=1),
        rule_version="1",
        baseline_method="meter_before",
        evidence_sha256="0" * 64,
        delivered_kwh=kwh,
        target_kwh=kwh,
        missed_kwh=0,
        energy_payment=kwh * 80,
        capacity_payment=10,
        penalty=0,
        payment=kwh * 80 + 10,
        avoided_co2_kg=Decimal("1.2"),
        currency="JPY",
    )
    SettlementStep.objects.bulk_create(
        SettlementStep(
            settlement=row,
            starts_at=event.starts_at + timedelta(seconds=15 * i),
            ends_at=event.starts_at + timedelta(seconds=15 * (i + 1)),
            in_ramp=i == 0,
            baseline_kw=1.5 * event.target_kw,
            metered_kw=0.52 * event.target_kw,
            delivered_kw=0.98 * event.target_kw,
            target_kw=event.target_kw,
            delivered_kwh=kwh / 5,
            payment=kwh * 16,
        )
        for i in range(5)
    )
    SettlementShare.objects.bulk_create(
        SettlementShare(
            settlement=row,
            asset_id=session.evse.asset_id,
            owner_id=session.vehicle.owner_id,
            baseline_kwh=0.1,
            metered_kwh=0.05,
            delivered_kwh=Decimal("0.05"),
            payment=Decimal("4.1"),
        )
        for session in sessions[:50]
    )


def make_plan(region: Region, event: GridEvent, sessions: list[ChargingSession], now: datetime) -> Plan:
    """A day of half-hours: sending for the event, then charging twice."""
    prices = [round(14 + 8 * math.sin((i - 6) / 48 * 4 * math.pi), 2) for i in range(STEPS)]
    plan = Plan.objects.create(
        region=region,
        trigger="event",
        grid_event_id=event.pk,
        made_at=now - timedelta(seconds=60),
        starts_at=now - timedelta(seconds=60),
        step_h=[STEP_H] * STEPS,
        price_per_kwh=prices,
        target_kw=[event.target_kw if i < 2 else None for i in range(STEPS)],
        status="optimal",
        solver="test",
        cost=1.0,
        lower_bound=1.0,
        gap=0.0,
        solve_s=0.1,
        asset_count=len(sessions),
    )
    power = [-3.0 if i < 2 else (6.0 if 8 <= i < 12 or 14 <= i < 16 else 0.0) for i in range(STEPS)]
    energy, level = [], 37.2
    for value in power:
        level += value * STEP_H * 0.92
        energy.append(round(level, 2))
    PlannedSchedule.objects.bulk_create(
        [
            PlannedSchedule(plan=plan, asset_id=session.evse.asset_id, power_kw=power, energy_kwh=energy)
            for session in sessions
        ],
        batch_size=2000,
    )
    return plan


def make_commands(assets: list[Asset], plan: Plan, event: GridEvent, now: datetime) -> None:
    """Two confirmed schedules for each asset."""
    DeviceCommand.objects.bulk_create(
        [
            DeviceCommand(
                asset=asset,
                sequence=number,
                kind="set_power",
                starts_at=now - timedelta(seconds=60 + 600 * number),
                valid_until=now + timedelta(hours=1),
                offset_s=[0, 1800],
                power_kw=[-3.0, 6.0],
                plan_id=plan.pk,
                grid_event_id=event.pk,
                state="confirmed",
                queued_at=now - timedelta(seconds=60 + 600 * number),
                sent_at=now - timedelta(seconds=59 + 600 * number),
                answered_at=now - timedelta(seconds=58 + 600 * number),
                answer={"status": "Accepted"},
                attempts=1,
            )
            for asset in assets
            for number in range(2)
        ],
        batch_size=5000,
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT setval('fleet_command_sequence', 1000)")


def make_messages(identities: list[str], now: datetime) -> None:
    """Twenty minutes of messages, one in four from us."""
    rows = []
    for identity in identities:
        for i in range(120):
            at = now - timedelta(seconds=10 * i)
            out = i % 4 == 0
            rows.append(
                (
                    at,
                    identity,
                    "out" if out else "in",
                    "SetChargingProfile" if out else "MeterValues",
                    f"m{i:04d}",
                    '{"evseId": 1}',
                    "Accepted" if out else "",
                    212.0 if out else 9.0,
                )
            )
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO fleet_device_message (at, device_identity, direction, action, message_id, payload, result, reply_ms)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            rows,
        )


def make_books(owner: Owner, event: GridEvent, asset_id: int, now: datetime) -> None:
    """Six days of settlements and computing, balanced."""

    def account(kind: str, party: str, unit: str) -> LedgerAccount:
        return LedgerAccount.objects.create(kind=kind, party=party, unit=unit)

    money = account("grid_operator", "grid", "JPY"), account("owner", owner.identity, "JPY")
    tenant = account("tenant", "tenant", "JPY")
    energy = account("energy_source", owner.identity, "kWh"), account("energy_grid", "grid", "kWh")
    carbon = account("carbon_source", "", "kgCO2"), account("carbon_account", owner.identity, "kgCO2")
    for day in range(6):
        at = now - timedelta(days=day, seconds=1)  # today is today, also just after midnight
        for kind, lines in (
            (
                "settlement",
                [
                    (money[0], Decimal("-96.5")),
                    (money[1], Decimal("96.5")),
                    (energy[0], Decimal("-3.2")),
                    (energy[1], Decimal("3.2")),
                    (carbon[0], Decimal("-1.1")),
                    (carbon[1], Decimal("1.1")),
                ],
            ),
            ("computing", [(tenant, Decimal("-12.25")), (money[1], Decimal("12.25"))]),
        ):
            row = LedgerTransaction.objects.create(
                idempotency_key=f"{kind}-{day}",
                kind=kind,
                occurred_at=at,
                booked_at=at,
                description=f"{kind} {day}",
                grid_event_id=event.pk if kind == "settlement" else None,
            )
            LedgerEntry.objects.bulk_create(
                LedgerEntry(transaction=row, account=to, amount=amount, asset_id=asset_id) for to, amount in lines
            )
