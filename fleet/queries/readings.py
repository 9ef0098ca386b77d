"""Single readings, as they are kept."""

from __future__ import annotations

from datetime import datetime

from fleet.models import Reading

# measured_at, import_kwh, export_kwh, power_kw (positive into the asset), flags
ReadingRow = tuple[datetime, float | None, float | None, float | None, int]


def readings_of_asset(asset_id: int, *, starts_at: datetime, ends_at: datetime) -> list[ReadingRow]:
    """Every reading of an asset in a closed interval, flagged ones too, oldest first."""
    rows = Reading.objects.filter(asset_id=asset_id, measured_at__gte=starts_at, measured_at__lte=ends_at)
    return list(
        rows.order_by("measured_at").values_list("measured_at", "import_kwh", "export_kwh", "power_kw", "flags")
    )
