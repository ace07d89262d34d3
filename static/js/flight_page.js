// The last minutes of a node: charts of what it wrote to its own disk.
import { fromTemplate, setText } from "./dom.js";
import { HistoryChart } from "./history_chart.js";

const page = JSON.parse(document.getElementById("flight-page").textContent);
const view = { start: page.t[0] ?? 0, end: (page.t.at(-1) ?? 0) + 1 };
const whole = { ...view };
const parent = document.querySelector("[data-history-panels]");
const charts = page.panels.map((panel) => {
  const section = fromTemplate("history-panel");
  setText(section.querySelector("[data-title]"), panel.title);
  section.querySelector("[data-plot]").setAttribute("aria-label", panel.title);
  parent.append(section);
  const chart = new HistoryChart(section, panel, panel.lines, view, (start, end) => {
    const inside = end - start < whole.end - whole.start;
    Object.assign(view, inside ? { start, end } : whole);
    for (const one of charts) one.move();
  });
  chart.fill(page.t, panel.lines.map(({ key }) => ({ mean: page.columns[key], low: page.columns[key], high: page.columns[key] })));
  return chart;
});
document.addEventListener("themechange", () => charts.forEach((chart) => chart.recolour()));
