// Figures of transcripts: charts by day, of what the server has summed; filters apply as they change.
import { fromTemplate, setText } from "./dom.js";
import { HistoryChart } from "./history_chart.js";

const DAY = 86400;
const charts = JSON.parse(document.getElementById("figure-data")?.textContent ?? "[]");
const parent = document.querySelector("[data-figure-charts]");
const view = {};
const drawn = [];

function span(start, end) {
  const t = charts[0].t;
  const all = { start: t[0], end: t.at(-1) + DAY };
  const inside = Math.max(all.start, start) < Math.min(all.end, end) && end - start >= DAY;
  Object.assign(view, inside ? { start: Math.max(all.start, start), end: Math.min(all.end, end) } : all);
}

function panel({ title, unit, t, lines }) {
  const section = fromTemplate("figure-panel");
  setText(section.querySelector("[data-title]"), title);
  section.querySelector("[data-plot]").setAttribute("aria-label", title);
  parent.append(section);
  const shown = lines.map((line, place) => ({ label: line.label, place: line.label === "Failed" ? 6 : place }));
  const chart = new HistoryChart(section, { unit, left_out: 0 }, shown, view, (start, end) => {
    span(start, end);
    for (const one of drawn) one.move();
  });
  drawn.push(chart);
  // A day is a whole: its figure holds from its begin to its end.
  chart.fill(t.flatMap((at) => [at, at + DAY - 1]), lines.map(({ values }) => {
    const held = values.flatMap((value) => [value, value]);
    return { mean: held, low: held.map(() => 0), high: held };
  }));
}

if (parent && charts.length) {
  span(-Infinity, Infinity);
  for (const chart of charts) panel(chart);
}

const filters = document.querySelector("[data-figure-filters]");
filters?.addEventListener("change", () => filters.requestSubmit());
