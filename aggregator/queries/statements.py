"""An owner's month: what came in from which service, the energy and CO2 with it, line by line."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from zoneinfo import ZoneInfo

from aggregator.models import LedgerAccountKind, LedgerEntry
from common.errors import NotFound
from fleet.queries.owners import owner_by_id

KWH, KG_CO2 = "kWh", "kgCO2"
# what an owner calls the services that a kind of booking belongs to; a correction belongs to what it corrects
SERVICE_OF_KIND = {
    "settlement": "flexibility",
    "correction": "flexibility",
    "computing": "computing",
    "payout": "payout",
}


class UnknownOwner(NotFound):
    """No such owner."""

    code = "unknown_owner"


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One booking as the owner sees it. `energy_kwh` and `co2_kg` are what they delivered and avoided with it."""

    occurred_at: datetime
    booked_at: datetime
    service: str
    kind: str
    description: str
    grid_event_id: int | None
    lease_id: int | None
    unit: str
    amount: Decimal
    energy_kwh: Decimal
    co2_kg: Decimal


@dataclass(frozen=True, slots=True)
class StatementComponent:
    """A service's total in one currency."""

    service: str
    currency: str
    amount: Decimal
    energy_kwh: Decimal
    co2_kg: Decimal
    bookings: int


@dataclass(frozen=True, slots=True)
class OwnerStatement:
    """A calendar month in the owner's time zone: [starts_at, ends_at). `earned` leaves payouts out."""

    owner_id: int
    owner_identity: str
    month: date
    starts_at: datetime
    ends_at: datetime
    components: tuple[StatementComponent, ...]
    lines: tuple[StatementLine, ...]
    earned: dict[str, Decimal]
    paid_out: dict[str, Decimal]
    energy_kwh: Decimal
    co2_kg: Decimal


def statement(owner_id: int, month: date, *, time_zone: str = "") -> OwnerStatement:
    """An owner's statement of the month that a date lies in.

    Args:
        time_zone: in which the month is meant; default: that of the owner's first site or vehicle, else UTC.

    Raises:
        UnknownOwner: there is none.
    """
    owner = owner_by_id(owner_id)
    if owner is None:
        raise UnknownOwner(f"There is no owner {owner_id}.", field="owner_id")
    starts_at, ends_at = month_bounds(month, time_zone or owner.time_zone)
    lines = _lines(owner.identity, starts_at, ends_at)
    components = _components(lines)
    earned: defaultdict[str, Decimal] = defaultdict(Decimal)
    paid_out: defaultdict[str, Decimal] = defaultdict(Decimal)
    for component in components:
        if component.service == "payout":
            paid_out[component.currency] -= component.amount
        else:
            earned[component.currency] += component.amount
    return OwnerStatement(
        owner_id=owner_id,
        owner_identity=owner.identity,
        month=month.replace(day=1),
        starts_at=starts_at,
        ends_at=ends_at,
        components=tuple(components),
        lines=tuple(lines),
        earned=dict(earned),
        paid_out=dict(paid_out),
        energy_kwh=sum((component.energy_kwh for component in components), Decimal(0)),
        co2_kg=sum((component.co2_kg for component in components), Decimal(0)),
    )


def month_bounds(month: date, time_zone: str) -> tuple[datetime, datetime]:
    """The half-open month that a date lies in, in a time zone, as UTC instants."""
    first = month.replace(day=1)
    next_first = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    zone = ZoneInfo(time_zone)
    return (
        datetime.combine(first, time(), zone).astimezone(UTC),
        datetime.combine(next_first, time(), zone).astimezone(UTC),
    )


def _lines(owner_identity: str, starts_at: datetime, ends_at: datetime) -> list[StatementLine]:
    """One line per booking and currency; quantities stand with the money they came with."""
    entries = (
        LedgerEntry.objects.filter(
            account__party=owner_identity,
            account__kind__in=[
                LedgerAccountKind.OWNER,
                LedgerAccountKind.ENERGY_SOURCE,
                LedgerAccountKind.CARBON_ACCOUNT,
            ],
            transaction__occurred_at__gte=starts_at,
            transaction__occurred_at__lt=ends_at,
        )
        .select_related("transaction", "account")
        .order_by("transaction__occurred_at", "transaction_id", "pk")
    )
    money: defaultdict[int, defaultdict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    quantities: defaultdict[tuple[int, str], Decimal] = defaultdict(Decimal)
    booked = {}
    for entry in entries:
        booked[entry.transaction_id] = entry.transaction
        if entry.account.kind == LedgerAccountKind.OWNER:
            money[entry.transaction_id][entry.account.unit] += entry.amount
        elif entry.account.kind == LedgerAccountKind.ENERGY_SOURCE:
            # the source gives what the grid receives: what an owner delivered is the negative of the entry
            quantities[entry.transaction_id, KWH] -= entry.amount
        else:
            quantities[entry.transaction_id, KG_CO2] += entry.amount
    lines = []
    for key, happened in booked.items():
        amounts = money[key] or {"": Decimal(0)}
        for position, (unit, amount) in enumerate(sorted(amounts.items())):
            with_quantities = position == 0
            lines.append(
                StatementLine(
                    occurred_at=happened.occurred_at,
                    booked_at=happened.booked_at,
                    service=SERVICE_OF_KIND.get(happened.kind, happened.kind),
                    kind=happened.kind,
                    description=happened.description,
                    grid_event_id=happened.grid_event_id,
                    lease_id=happened.lease_id,
                    unit=unit,
                    amount=amount,
                    energy_kwh=quantities[key, KWH] if with_quantities else Decimal(0),
                    co2_kg=quantities[key, KG_CO2] if with_quantities else Decimal(0),
                )
            )
    return lines


def _components(lines: list[StatementLine]) -> list[StatementComponent]:
    groups: defaultdict[tuple[str, str], list[StatementLine]] = defaultdict(list)
    for line in lines:
        groups[line.service, line.unit].append(line)
    return [
        StatementComponent(
            service=service,
            currency=currency,
            amount=sum((line.amount for line in group), Decimal(0)),
            energy_kwh=sum((line.energy_kwh for line in group), Decimal(0)),
            co2_kg=sum((line.co2_kg for line in group), Decimal(0)),
            bookings=len(group),
        )
        for (service, currency), group in sorted(groups.items())
    ]
