// Use of tools over time: runs and failures, by tool and by person. The server has counted.
import { fromTemplate, setText } from "./dom.js";
import { HistoryChart } from "./history_chart.js";

const uses = JSON.parse(document.getElementById("use-data")?.textContent ?? "{}");
const parent = document.querySelector("[data-use-panels]");
const STEPS = { 3600: "hour", 21600: "6 hours" };
const TITLES = { tool: { runs: "Runs by tool", failed: "Failures by tool" }, user: { runs: "Runs by person", failed: "Failures by person" } };

function panel(by, what) {
  const { t, step, lines, left_out: leftOut } = uses[by];
  const section = fromTemplate("use-panel");
  const title = `${TITLES[by][what]}, each ${STEPS[step] ?? "day"}`;
  setText(section.querySelector("[data-title]"), title);
  section.querySelector("[data-plot]").setAttribute("aria-label", title);
  parent.append(section);
  const view = { start: t[0], end: t.at(-1) };
  // The fifth colour of charts is as green as the first.
  const shown = lines.map((line, place) => ({ label: line.name, place: place < 4 ? place : place + 1 }));
  const chart = new HistoryChart(section, { unit: "count", left_out: leftOut }, shown, view, (start, end) => {
    const inside = Math.max(t[0], start) < Math.min(t.at(-1), end);
    Object.assign(view, inside && end - start >= 2 * step ? { start: Math.max(t[0], start), end: Math.min(t.at(-1), end) } : { start: t[0], end: t.at(-1) });
    chart.move();
  });
  chart.fill(t, lines.map((line) => ({ mean: line[what], low: line[what], high: line[what] })));
}

if (parent) for (const by of ["tool", "user"]) for (const what of ["runs", "failed"]) panel(by, what);
