"""The device models of stations as they report them: variables and monitors. Told twice, it is stored once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from fleet.core.station_commands import VariableName
from fleet.models import Charger, StationVariable, VariableMonitor

LONGEST_VALUE = 2500
_KEY = (
    "charger",
    "component",
    "component_instance",
    "evse_number",
    "connector_number",
    "name",
    "instance",
    "attribute",
)
_DESCRIBED = ("mutability", "data_type", "unit", "choices", "supports_monitoring")


@dataclass(frozen=True, slots=True)
class ReportedVariable:
    """A variable with one attribute's value; None: the station does not say it. `described` where it tells what the
    variable is like, not its value alone."""

    variable: VariableName
    value: str | None
    attribute: str = "Actual"
    described: bool = False
    mutability: str = "ReadWrite"
    data_type: str = ""
    unit: str = ""
    choices: str = ""
    supports_monitoring: bool = False


@dataclass(frozen=True, slots=True)
class ReportedMonitor:
    """A monitor as a station has it."""

    monitor_id: int
    variable: VariableName
    kind: str
    value: float
    severity: int


@transaction.atomic
def record_variables(*, identity: str, variables: Sequence[ReportedVariable], now: datetime) -> int:
    """Store what a station reports of its variables, in place of what was known. Returns how many."""
    charger_id = Charger.objects.values_list("pk", flat=True).get(identity=identity)
    # the last of two for the same attribute holds: one statement may not write a row twice
    by_key = {(item.variable, item.attribute): item for item in variables}
    for described in (True, False):
        rows = [
            _row(charger_id, item, now)
            for item in by_key.values()
            if item.described == described and (described or item.value is not None)
        ]
        updated = ["value", "reported_at", *(_DESCRIBED if described else ())]
        StationVariable.objects.bulk_create(
            rows, update_conflicts=True, unique_fields=_KEY, update_fields=updated, batch_size=500
        )
    return len(by_key)


def _row(charger_id: int, item: ReportedVariable, now: datetime) -> StationVariable:
    variable = item.variable
    return StationVariable(
        charger_id=charger_id,
        component=variable.component[:50],
        component_instance=variable.component_instance[:50],
        evse_number=variable.evse_number,
        connector_number=variable.connector_number,
        name=variable.name[:50],
        instance=variable.instance[:50],
        attribute=item.attribute,
        value=(item.value or "")[:LONGEST_VALUE],
        mutability=item.mutability,
        data_type=item.data_type[:20],
        unit=item.unit[:16],
        choices=item.choices,
        supports_monitoring=item.supports_monitoring,
        reported_at=now,
    )


@transaction.atomic
def record_monitors(*, identity: str, monitors: Sequence[ReportedMonitor], now: datetime) -> int:
    """Store the monitors that a station says it has. Returns how many."""
    charger_id = Charger.objects.values_list("pk", flat=True).get(identity=identity)
    rows = [
        VariableMonitor(
            charger_id=charger_id,
            monitor_id=item.monitor_id,
            component=item.variable.component[:50],
            evse_number=item.variable.evse_number,
            name=item.variable.name[:50],
            kind=item.kind[:24],
            value=item.value,
            severity=item.severity,
            reported_at=now,
        )
        for item in {item.monitor_id: item for item in monitors}.values()
    ]
    VariableMonitor.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["charger", "monitor_id"],
        update_fields=["component", "evse_number", "name", "kind", "value", "severity", "reported_at"],
    )
    return len(rows)


@transaction.atomic
def forget_monitors(*, charger_id: int, monitor_ids: Iterable[int]) -> int:
    """A station has removed monitors. Returns how many were known."""
    deleted, _ = VariableMonitor.objects.filter(charger_id=charger_id, monitor_id__in=list(monitor_ids)).delete()
    return deleted


def variable_of_wire(item: dict[str, Any]) -> VariableName:
    """Component and variable as messages of OCPP 2.x carry them."""
    component, variable = item["component"], item["variable"]
    place = component.get("evse", {})
    return VariableName(
        component=component["name"],
        name=variable["name"],
        component_instance=component.get("instance", ""),
        instance=variable.get("instance", ""),
        evse_number=place.get("id", 0),
        connector_number=place.get("connectorId", 0),
    )
