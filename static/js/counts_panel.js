// A chart of counts over time, such as runs by tool or requests by model; the server has counted.
import { fromTemplate, setText } from "./dom.js";
import { HistoryChart } from "./history_chart.js";

const STEPS = { 3600: "hour", 21600: "6 hours" };

/** Draw `what` of `use` ({t, step, lines, left_out}) below `parent`, from the page's template. */
export function countsPanel(parent, template, words, use, what) {
  const { t, step, lines, left_out: leftOut } = use;
  const section = fromTemplate(template);
  const title = `${words}, each ${STEPS[step] ?? "day"}`;
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
