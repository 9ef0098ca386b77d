// Draws the console's charts with uPlot from JSON in the page; redraws when htmx brings newer numbers.
// The table beside each chart holds the same values: the picture is an extra.
(() => {
  "use strict";
  const charts = new Map();
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function options(box, data) {
    const [target, metered, baseline, time] = box.dataset.labels.split("|");
    const clock = new Intl.DateTimeFormat(document.documentElement.lang, {
      hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZone: data.timeZone,
    });
    const axis = { stroke: colour("--muted"), grid: { stroke: colour("--hair"), width: 1 }, ticks: { show: false } };
    const kw = (_, value) => (value == null ? "–" : `${value.toFixed(1)} kW`);
    return {
      width: box.clientWidth,
      height: 280,
      series: [
        { label: time, value: (_, value) => (value == null ? "–" : clock.format(value * 1000)) },
        { label: target, stroke: colour("--text"), width: 1.5, value: kw, paths: uPlot.paths.stepped({ align: 1 }), points: { show: false } },
        { label: metered, stroke: colour("--charge"), width: 2, value: kw, points: { show: false } },
        { label: baseline, stroke: colour("--price"), width: 1.5, dash: [6, 4], value: kw, points: { show: false } },
      ],
      axes: [
        { ...axis, values: (_, splits) => splits.map((at) => clock.format(at * 1000)), space: 90 },
        { ...axis, values: (_, splits) => splits.map((value) => `${value} kW`), size: 70 },
      ],
    };
  }

  function draw() {
    document.querySelectorAll("[data-chart]").forEach((box) => {
      const source = document.getElementById(box.dataset.chart);
      const data = source && JSON.parse(source.textContent);
      if (!data || !data.columns[0].length) {
        if (!charts.has(box)) box.textContent = box.dataset.empty;
        return;
      }
      const chart = charts.get(box);
      if (chart) {
        chart.setData(data.columns);
        return;
      }
      box.textContent = "";
      box.classList.add("drawn");
      charts.set(box, new uPlot(options(box, data), data.columns, box));
    });
  }

  function redraw() {
    charts.forEach((chart) => chart.destroy());
    charts.clear();
    draw();
  }

  document.addEventListener("DOMContentLoaded", draw);
  document.addEventListener("htmx:afterSwap", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  let resizing;
  addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(redraw, 150); });
})();
