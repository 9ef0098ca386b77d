"""Numbers for the console's charts, as its script wants them: columns, seconds since 1970, kW."""

from __future__ import annotations

from collections.abc import Sequence

from aggregator.queries.console import ChartPoint

LONGEST_GAP_S = 30.0


def chart_data(points: Sequence[ChartPoint], *, time_zone: str) -> dict[str, object]:
    """Columns for uPlot: time, target, metered, baseline, all at the meters. A gap in the looks is a gap in the lines, never a joined line."""
    columns: list[list[float | None]] = [[], [], [], []]
    last_s = None
    for point in points:
        at_s = point.at.timestamp()
        if last_s is not None and at_s - last_s > LONGEST_GAP_S:
            for column, value in zip(columns, (last_s + 1, None, None, None), strict=True):
                column.append(value)
        row = (at_s, point.wanted_kw, point.metered_kw, point.baseline_kw)
        for column, value in zip(columns, row, strict=True):
            column.append(round(value, 3))
        last_s = at_s
    return {"columns": columns, "timeZone": time_zone}
