"""`report.html`: the simulation told on one page that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape

import numpy as np
from numpy.typing import NDArray

from aggregator.core.replay.engine import ReplayEvent
from aggregator.core.replay.outcome import PolicyOutcome, mean_on_grid
from aggregator.management.simulation.charts import Line, bar_chart, line_chart, number_text
from aggregator.management.simulation.run import PLANNED_ONE_WAY, PLANNED_V2G, UNCONTROLLED, SimulationResult
from aggregator.management.simulation.summary import TITLES, assumptions, comparison

Numbers = NDArray[np.float64]

QUARTER_S, HOUR_S, WEEK_S = 900.0, 3600.0, 604800.0
STYLES = {"uncontrolled": "s0", "price_only": "s1", "planned_one_way": "s2", "planned_v2g": "s3"}

CSS = """
:root{color-scheme:light dark;--ink:#1b2430;--soft:#5b6675;--paper:#fff;--rule:#dfe4ea;--s0:#6b7280;--s1:#b45309;--s2:#1d6fb8;
--s3:#0f766e;--target:#b91c1c;--price:#7c3aed;--wear:#c98a1b}
@media (prefers-color-scheme:dark){:root{--ink:#e7ecf2;--soft:#a3aebb;--paper:#12171e;--rule:#2b3542;--s0:#a1a9b5;--s1:#e3a04f;
--s2:#6db3f2;--s3:#4fc3b5;--target:#f28b82;--price:#b79cf5;--wear:#e0b55a}}
body{font:16px/1.55 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:820px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;line-height:1.25}h2{font-size:1.15rem;margin-top:2.2rem}.lead{font-size:1.1rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}caption{text-align:left;color:var(--soft);padding:.3rem 0}
th,td{padding:.35rem .5rem;border-bottom:1px solid var(--rule);text-align:right}th:first-child,td:first-child{text-align:left}
.scroll{overflow-x:auto}figure{margin:1.4rem 0}figcaption{font-weight:600}.legend{color:var(--soft);font-size:.9rem}
.key{margin-right:1.1rem;white-space:nowrap}.key svg{margin-right:.4rem;vertical-align:middle}svg[role=img]{width:100%;height:auto}
.tick,.value{font-size:12px;fill:var(--soft)}.value{fill:var(--ink)}.grid{stroke:var(--rule)}.axis{stroke:var(--soft)}
.line{fill:none;stroke-width:2;stroke:var(--s0)}.line.s0{stroke-dasharray:6 3}.line.s1{stroke:var(--s1);stroke-dasharray:2 3}
.line.s2{stroke:var(--s2)}.line.s3{stroke:var(--s3);stroke-width:2.6}.line.target{stroke:var(--target);stroke-dasharray:8 3 2 3}
.line.price{stroke:var(--price)}.bar.s0{fill:var(--s0)}.bar.s1{fill:var(--s1)}.bar.s2{fill:var(--s2)}.bar.s3{fill:var(--s3)}
.bar.wear{fill:var(--wear)}li{margin:.3rem 0}footer{color:var(--soft);font-size:.85rem;margin-top:3rem}
"""


def build_report(result: SimulationResult) -> str:
    """The whole page."""
    body = [
        f"<h1>{escape(headline(result))}</h1>",
        f'<p class="lead">{escape(promise_sentence(result))}</p>',
        "<h2>What each way of charging comes to</h2>",
        outcome_table(result),
        cost_chart(result),
        "<h2>When the site draws power</h2>",
        day_chart(result),
        price_by_hour_chart(result),
        "<h2>The busiest week</h2>",
        *week_charts(result),
        *event_parts(result),
        "<h2>What was assumed</h2>",
        "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in assumptions(result)) + "</ul>",
    ]
    if result.notes:
        body += ["<h2>What was found in the files</h2>", "<ul>"]
        body += [f"<li>{escape(note)}</li>" for note in result.notes] + ["</ul>"]
    body.append(
        f"<footer>{len(result.fleet):,} sessions of {escape(result.request.sessions.name)}, prices of "
        f"{escape(result.request.prices.name)} (column {escape(result.prices.column)}).</footer>"
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Charging simulation</title><style>{CSS}</style></head><body><main>{''.join(body)}</main></body></html>\n"
    )


def headline(result: SimulationResult) -> str:
    """What planning earns, in one sentence."""
    v2g, one_way = comparison(result, PLANNED_V2G), comparison(result, PLANNED_ONE_WAY)
    currency = result.prices.currency
    return (
        f"Planned with discharge, {len(result.fleet):,} stays cost {money(v2g['saves'], currency)} less than uncontrolled "
        f"charging{_percent(v2g['saves_fraction'])}; without discharge, {money(one_way['saves'], currency)} less"
        f"{_percent(one_way['saves_fraction'])}."
    )


def promise_sentence(result: SimulationResult) -> str:
    """Whether drivers pay for it."""
    base = result.outcomes[UNCONTROLLED]
    lost = sum(comparison(result, name)["drivers_lost"] for name in (PLANNED_ONE_WAY, PLANNED_V2G))
    gained = comparison(result, PLANNED_V2G)["drivers_gained"]
    told = (
        f"Uncontrolled charging satisfies {int(base.satisfied.sum()):,} of {len(result.fleet):,} drivers; the others asked "
        "for more than could be charged before they left."
    )
    if lost:
        return f"{told} Planning leaves {lost:,} of them short: see the table."
    more = f", and {gained:,} more" if gained else ""
    return f"{told} Planning satisfies every one of them{more}."


def outcome_table(result: SimulationResult) -> str:
    """All figures by policy."""
    outcomes, currency = result.outcomes, result.prices.currency
    rows: list[tuple[str, list[str]]] = [
        (f"Energy cost, {currency}", [f"{one.energy_cost:,.2f}" for one in outcomes.values()]),
        (f"Battery wear, {currency}", [f"{one.wear_cost:,.2f}" for one in outcomes.values()]),
        (f"Energy and wear, {currency}", [f"{one.total_cost:,.2f}" for one in outcomes.values()]),
        ("Peak (quarter of an hour), kW", [f"{one.peak_kw:,.1f}" for one in outcomes.values()]),
        ("Energy delivered to drivers, kWh", [f"{one.energy_delivered_kwh:,.0f}" for one in outcomes.values()]),
        ("Energy drawn less fed back, kWh", [f"{one.net_energy_kwh:,.0f}" for one in outcomes.values()]),
        ("Charging moved in time, kWh", [f"{one.shifted_kwh:,.0f}" for one in outcomes.values()]),
        ("Discharged, kWh", [f"{one.discharged_kwh:,.0f}" for one in outcomes.values()]),
        ("Drivers satisfied", [f"{one.share_satisfied:.1%}" for one in outcomes.values()]),
        (
            "Drivers lost to planning",
            ["–", *(f"{comparison(result, name)['drivers_lost']}" for name in list(outcomes)[1:])],
        ),
    ]
    if result.factors is not None:
        rows.append(("CO₂, kg", [f"{one.co2_kg or 0.0:,.0f}" for one in outcomes.values()]))
    for number in range(len(result.events)):
        ratios = [one.events[number].delivery_ratio for one in outcomes.values()]
        rows.append((f"Event {number + 1}: delivered", ["–" if ratio is None else f"{ratio:.0%}" for ratio in ratios]))
    head = "".join(f'<th scope="col">{escape(TITLES[name])}</th>' for name in outcomes)
    cells = "".join(
        f'<tr><th scope="row">{escape(label)}</th>' + "".join(f"<td>{value}</td>" for value in values) + "</tr>"
        for label, values in rows
    )
    return (
        f'<div class="scroll"><table><caption>All energy is measured at the meter.</caption>'
        f'<thead><tr><th scope="col">Figure</th>{head}</tr></thead><tbody>{cells}</tbody></table></div>'
    )


def cost_chart(result: SimulationResult) -> str:
    """Energy and wear by policy."""
    bars = [
        (TITLES[name], [(one.energy_cost, STYLES[name]), (one.wear_cost, "wear")])
        for name, one in result.outcomes.items()
    ]
    told = "; ".join(f"{TITLES[name]} {one.total_cost:,.2f}" for name, one in result.outcomes.items())
    return bar_chart("Cost of energy, and of wear (amber)", told, bars, unit=result.prices.currency)


def day_chart(result: SimulationResult) -> str:
    """Mean load by local hour of the day."""
    by_hour = {
        name: _mean_by_hour(result, *mean_on_grid(one.trajectory, HOUR_S)) for name, one in result.outcomes.items()
    }
    lines = [Line(TITLES[name], _closed(values), STYLES[name], steps=True) for name, values in by_hour.items()]
    told = "; ".join(f"{TITLES[name]} is highest at {int(np.argmax(values))} h" for name, values in by_hour.items())
    chart = line_chart("Mean load by hour of the day", told, range(25), lines, x_ticks=_hour_ticks(), unit="kW")
    head = "".join(f'<th scope="col">{escape(TITLES[name])}</th>' for name in by_hour)
    rows = "".join(
        f'<tr><th scope="row">{hour:02d}:00</th>'
        + "".join(f"<td>{number_text(float(values[hour]))}</td>" for values in by_hour.values())
        + "</tr>"
        for hour in range(24)
    )
    return (
        f'{chart}<details><summary>The same as a table (kW)</summary><div class="scroll"><table><thead><tr>'
        f'<th scope="col">Hour</th>{head}</tr></thead><tbody>{rows}</tbody></table></div></details>'
    )


def price_by_hour_chart(result: SimulationResult) -> str:
    """Mean price by local hour of the day over the replay."""
    series, boundaries_s = result.prices.series, result.outcomes[UNCONTROLLED].trajectory.boundaries_s
    starts_s = np.arange(np.floor(boundaries_s[0] / HOUR_S) * HOUR_S, boundaries_s[-1], HOUR_S)
    price = series.mean_between(np.append(starts_s, starts_s[-1] + HOUR_S))
    values = _mean_by_hour(result, starts_s, np.nan_to_num(price))
    told = f"From {number_text(float(values.min()))} at {int(values.argmin())} h to {number_text(float(values.max()))} at {int(values.argmax())} h."
    line = Line("Price", _closed(values), "price", steps=True)
    unit = f"{result.prices.currency}/kWh"
    return line_chart(
        "Mean price by hour of the day", told, range(25), [line], x_ticks=_hour_ticks(), unit=unit, height=180
    )


def week_charts(result: SimulationResult) -> list[str]:
    """Load and price in the seven days with the most charging."""
    starts_s, load_kw = mean_on_grid(result.outcomes[UNCONTROLLED].trajectory, HOUR_S)
    span = min(int(WEEK_S / HOUR_S), starts_s.size)
    drawn = np.convolve(load_kw, np.ones(span), mode="valid")
    midnight = [place for place in range(drawn.size) if _local(result, starts_s[place]).hour == 0] or [0]
    first = max(midnight, key=lambda place: drawn[place])
    window = slice(first, first + span)
    at_s = starts_s[window]
    lines = [
        Line(TITLES[name], mean_on_grid(one.trajectory, HOUR_S)[1][window].tolist(), STYLES[name], steps=True)
        for name, one in result.outcomes.items()
        if name in (UNCONTROLLED, PLANNED_ONE_WAY, PLANNED_V2G)
    ]
    ticks = [(at, f"{_local(result, at):%a %d %b}") for at in at_s.tolist() if _local(result, at).hour == 0]
    price = np.nan_to_num(result.prices.series.mean_between(np.append(at_s, at_s[-1] + HOUR_S)))
    unit = f"{result.prices.currency}/kWh"
    told = f"The week from {_local(result, at_s[0]):%d %B %Y}; negative is fed back."
    return [
        line_chart("Load of the site", told, at_s.tolist(), lines, x_ticks=ticks, unit="kW"),
        line_chart(
            "Price",
            told,
            at_s.tolist(),
            [Line("Price", price.tolist(), "price", steps=True)],
            x_ticks=ticks,
            unit=unit,
            height=150,
        ),
    ]


def event_parts(result: SimulationResult) -> list[str]:
    """Each event: the load, what was wanted, and what came."""
    parts: list[str] = []
    for number, event in enumerate(result.events):
        starts, ends = _local(result, event.starts_s), _local(result, event.ends_s)
        parts.append(
            f"<h2>Event {number + 1}: {event.reduction_kw:g} kW less from {starts:%d %B %Y %H:%M} to {ends:%H:%M}</h2>"
        )
        parts.append(_event_chart(result, event))
        delivered = "; ".join(
            f"{TITLES[name]} {_delivery(one, number)}" for name, one in result.outcomes.items() if name != UNCONTROLLED
        )
        parts.append(f"<p>Delivered: {escape(delivered)}.</p>")
    return parts


def _delivery(outcome: PolicyOutcome, number: int) -> str:
    event = outcome.events[number]
    ratio = "" if event.delivery_ratio is None else f" ({event.delivery_ratio:.0%})"
    return f"{event.delivered_kwh:,.1f} of {event.requested_kwh:,.1f} kWh{ratio}"


def _event_chart(result: SimulationResult, event: ReplayEvent) -> str:
    around_s = max(event.ends_s - event.starts_s, 2 * HOUR_S)
    starts_s, base_kw = mean_on_grid(result.outcomes[UNCONTROLLED].trajectory, QUARTER_S)
    window = (starts_s >= event.starts_s - around_s) & (starts_s < event.ends_s + around_s)
    at_s = starts_s[window]
    wanted = np.where((at_s >= event.starts_s) & (at_s < event.ends_s), base_kw[window] - event.reduction_kw, np.nan)
    lines = [
        Line(TITLES[name], mean_on_grid(one.trajectory, QUARTER_S)[1][window].tolist(), STYLES[name], steps=True)
        for name, one in result.outcomes.items()
    ]
    lines.append(Line("Wanted", wanted.tolist(), "target", steps=True))
    ticks = [(at, f"{_local(result, at):%H:%M}") for at in at_s.tolist() if _local(result, at).minute == 0]
    ticks = ticks[:: max(1, len(ticks) // 10)]
    told = "Quarter-hour means of the site's load around the event."
    return line_chart("Load around the event", told, at_s.tolist(), lines, x_ticks=ticks, unit="kW")


def money(amount: float, currency: str) -> str:
    """An amount for reading."""
    return f"{amount:,.0f} {currency}" if abs(amount) >= 100 or currency == "JPY" else f"{amount:,.2f} {currency}"


def _percent(fraction: float | None) -> str:
    return "" if fraction is None else f" ({fraction:.0%})"


def _local(result: SimulationResult, at_s: float) -> datetime:
    return datetime.fromtimestamp(float(at_s), result.zone)


def _mean_by_hour(result: SimulationResult, starts_s: Numbers, values: Numbers) -> Numbers:
    hours = np.array([_local(result, at_s + 1.0).hour for at_s in starts_s.tolist()])
    return np.bincount(hours, values, 24) / np.maximum(np.bincount(hours, minlength=24), 1)


def _closed(values: Numbers) -> Sequence[float]:
    return [*values.tolist(), float(values[-1])]


def _hour_ticks() -> list[tuple[float, str]]:
    return [(float(hour), f"{hour:02d}") for hour in range(0, 25, 3)]
