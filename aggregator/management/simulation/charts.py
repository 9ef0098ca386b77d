"""Plots as inline SVG: they carry their own title and description, and need no script and no network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import count
from math import ceil, floor, isfinite, log10

WIDTH, HEIGHT = 760, 260
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 14, 40

_numbers = count(1)

Place = Callable[[float, float], tuple[float, float]]  # of a point of the plot in the picture


@dataclass(frozen=True, slots=True)
class Line:
    """One series of a plot.

    Attributes:
        values: y by x; as many as there are x.
        style: CSS class that gives colour and dashes (`s0` to `s3`, `target`, `price`).
        steps: hold each value until the next x, instead of joining points.
    """

    label: str
    values: Sequence[float]
    style: str
    steps: bool = False


def line_chart(
    title: str,
    description: str,
    x: Sequence[float],
    lines: Sequence[Line],
    *,
    x_ticks: Sequence[tuple[float, str]],
    unit: str,
    height: int = HEIGHT,
) -> str:
    """Lines over a common axis, with a legend under the title."""
    everything = [value for line in lines for value in line.values if isfinite(value)]
    low, high, ticks = nice_ticks(min([0.0, *everything]), max([0.0, *everything]))
    left_x, right_x = float(x[0]), float(x[-1])

    def place(at: float, value: float) -> tuple[float, float]:
        across = LEFT + (at - left_x) / max(right_x - left_x, 1e-9) * (WIDTH - LEFT - RIGHT)
        return across, TOP + (high - value) / max(high - low, 1e-9) * (height - TOP - BOTTOM)

    parts = [_grid(ticks, place, left_x)]
    for at, label in x_ticks:
        across = place(at, 0.0)[0]
        parts.append(
            f'<text class="tick" x="{across:.1f}" y="{height - BOTTOM + 18}" text-anchor="middle">{escape(label)}</text>'
        )
    for line in lines:
        parts.append(f'<path class="line {line.style}" d="{_path(x, line, place)}"/>')
    return _figure(
        f"{title} ({unit})", description, "".join(parts), height, legend=[(line.label, line.style) for line in lines]
    )


def bar_chart(
    title: str, description: str, bars: Sequence[tuple[str, Sequence[tuple[float, str]]]], *, unit: str
) -> str:
    """Horizontal bars; each is a stack of (value, style), labelled with its sum."""
    row_height, left = 34, 150
    height = TOP + row_height * len(bars) + 12
    sums = [sum(value for value, _ in parts) for _, parts in bars]
    low = min(0.0, *(min(0.0, *(value for value, _ in parts)) for _, parts in bars))
    span = max(max(0.0, *sums) - low, 1e-9)
    scale = (WIDTH - left - 110) / span
    drawn = []
    for number, (label, parts) in enumerate(bars):
        y, at = TOP + number * row_height, 0.0
        drawn.append(f'<text class="tick" x="{left - 8}" y="{y + 18}" text-anchor="end">{escape(label)}</text>')
        for value, style in parts:
            start = min(at, at + value)
            width = abs(value) * scale
            drawn.append(
                f'<rect class="bar {style}" x="{left + (start - low) * scale:.1f}" y="{y + 4}" width="{width:.1f}" height="20"/>'
            )
            at += value
        right = left + (max(at, 0.0) - low) * scale + 6
        drawn.append(
            f'<text class="value" x="{right:.1f}" y="{y + 18}">{number_text(sums[number])} {escape(unit)}</text>'
        )
    return _figure(title, description, "".join(drawn), height, legend=[])


def nice_ticks(low: float, high: float, wanted: int = 5) -> tuple[float, float, list[float]]:
    """Round limits around a range, and round numbers between them."""
    span = max(high - low, 1e-9)
    raw = span / wanted
    magnitude = 10.0 ** floor(log10(raw))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if raw <= factor * magnitude * (1 + 1e-9))
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    last = max(last, first + 1)
    return first * step, last * step, [number * step for number in range(first, last + 1)]


def number_text(value: float) -> str:
    """A number for reading: three significant digits, thousands apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:,.1f}"
    return f"{value:,.3g}" if value else "0"


def _grid(ticks: Sequence[float], place: Place, left_x: float) -> str:
    parts = []
    for value in ticks:
        y = place(left_x, value)[1]
        kind = "axis" if abs(value) < 1e-12 else "grid"
        parts.append(f'<line class="{kind}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{number_text(value)}</text>')
    return "".join(parts)


def _path(x: Sequence[float], line: Line, place: Place) -> str:
    commands, pen = [], "M"
    last_y = 0.0
    for at, value in zip(x, line.values, strict=True):
        if not isfinite(value):
            pen = "M"
            continue
        across, y = place(at, value)
        if line.steps and pen == "L":
            commands.append(f"L{across:.1f} {last_y:.1f}")
        commands.append(f"{pen}{across:.1f} {y:.1f}")
        pen, last_y = "L", y
    return "".join(commands)


def _figure(title: str, description: str, body: str, height: int, *, legend: Sequence[tuple[str, str]]) -> str:
    name = f"chart-{next(_numbers)}"
    keys = "".join(
        f'<span class="key"><svg width="28" height="10" aria-hidden="true"><line class="line {style}" x1="0" x2="28" y1="5" y2="5"/>'
        f"</svg>{escape(label)}</span>"
        for label, style in legend
    )
    return (
        f'<figure><figcaption>{escape(title)}</figcaption><div class="legend">{keys}</div>'
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="{name}-t {name}-d">'
        f'<title id="{name}-t">{escape(title)}</title><desc id="{name}-d">{escape(description)}</desc>{body}</svg></figure>'
    )
