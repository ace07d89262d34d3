// The history page: which span, what is fetched for it, and an address that shows the same again.
import { fromTemplate, make, setText } from "./dom.js";
import { span } from "./format.js";
import { schedule } from "./frame.js";
import { HistoryChart } from "./history_chart.js";
import { toast } from "./toast.js";

const page = JSON.parse(document.getElementById("history-page").textContent);
const SHORTEST = 10;
const LONGEST = 3 * 366 * 86400;
const FETCH_AFTER_MS = 120;
const LIVE_MS = 10_000;
const address = new URL(location.href);
const skew = page.now - Date.now() / 1000;
const now = () => Date.now() / 1000 + skew;
const view = { start: 0, end: 0, range: 3600 };
const number = (name) => (Number.isFinite(Number(address.searchParams.get(name))) ? Number(address.searchParams.get(name)) : 0);
const compare = document.querySelector("[data-compare]");
const charts = [];
let asked = null;
let later = 0;

/** `range` set: the span ends now and moves on; else it stands. */
function show(start, end, range = 0) {
  const length = Math.min(LONGEST, Math.max(SHORTEST, end - start));
  const middle = (start + end) / 2;
  Object.assign(view, { start: middle - length / 2, end: middle + length / 2, range });
  draw();
}

function live(range) {
  const end = now();
  show(end - range, end, range);
}

/** What is seen moves in the next frame, once for however many movements; the rest follows when they rest. */
function draw() {
  schedule(paint);
  clearTimeout(later);
  later = setTimeout(rest, FETCH_AFTER_MS);
}

function paint() {
  for (const chart of charts) chart.move();
  words();
}

function rest() {
  remember();
  load();
}

const MINUTES = new Intl.DateTimeFormat([], { dateStyle: "medium", timeStyle: "short" });
const SECONDS = new Intl.DateTimeFormat([], { dateStyle: "medium", timeStyle: "medium" });

function words() {
  const time = (at) => (view.end - view.start < 600 ? SECONDS : MINUTES).format(at * 1000);
  setText(document.querySelector("[data-span-words]"), view.range ? `last ${span(view.range)}` : `${time(view.start)} to ${time(view.end)}`);
  for (const button of document.querySelectorAll("[data-range]")) button.setAttribute("aria-pressed", String(Number(button.dataset.range) === view.range));
}

function remember() {
  const { searchParams } = address;
  for (const name of ["range", "from", "to", "compare"]) searchParams.delete(name);
  if (view.range) searchParams.set("range", view.range);
  else {
    searchParams.set("from", Math.round(view.start));
    searchParams.set("to", Math.round(view.end));
  }
  if (Number(compare.value)) searchParams.set("compare", compare.value);
  history.replaceState(null, "", address);
  const query = new URLSearchParams({ start: view.start.toFixed(0), end: view.end.toFixed(0), points: 2000 });
  for (const key of new Set(page.panels.flatMap((panel) => panel.lines.map((line) => line.key)))) query.append("series", key);
  document.querySelector("[data-export=csv]").href = `/api/nodes/${page.nodes[0]}/samples.csv?${query}`;
  document.querySelector("[data-export=json]").href = `/api/nodes/${page.nodes[0]}/samples/?${query}`;
}

/** The lines of a panel: each series on each node, and faintly as it was before. */
function linesOf(panel) {
  const shift = Number(compare.value);
  const lines = page.nodes.flatMap((node, which) => panel.lines.map((line, place) => ({
    ...line, node, shift: 0, place: which * panel.lines.length + place,
    label: page.nodes.length > 1 ? `${node} ${line.label}`.trim() : line.label,
  })));
  if (!shift) return lines;
  return [...lines, ...lines.map((line) => ({ ...line, shift, faint: true, label: `${line.label}, before` }))];
}

function build() {
  const parent = document.querySelector("[data-history-panels]");
  if (!parent) return;
  parent.replaceChildren();
  charts.length = 0;
  for (const panel of page.panels) {
    const section = fromTemplate("history-panel");
    setText(section.querySelector("[data-title]"), panel.title);
    section.querySelector("[data-plot]").setAttribute("aria-label", panel.title);
    section.classList.add("is-waiting");
    parent.append(section);
    charts.push(new HistoryChart(section, panel, linesOf(panel), view, (start, end) => show(start, end)));
  }
}

async function get(path, query, signal) {
  const answer = await fetch(`${path}?${query}`, { signal, headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error ?? `The server answered ${answer.status}`);
  return answer.json();
}

/** All series of one node and shift in one question for each chart; a newer question ends an older one. */
async function load() {
  asked?.abort();
  const mine = (asked = new AbortController());
  const { start, end } = view;
  try {
    await Promise.all([...charts.map((chart) => fill(chart, start, end, mine.signal)), events(start, end, mine.signal)]);
    if (asked === mine) document.documentElement.dataset.historySettled = `${start.toFixed(0)}-${end.toFixed(0)}`;
  } catch (error) {
    if (error.name !== "AbortError" && !mine.signal.aborted) toast(`History: ${error.message}`, { tone: "bad" });
  }
}

async function fill(chart, start, end, signal) {
  const groups = Map.groupBy(chart.lines, (line) => `${line.node} ${line.shift}`);
  const points = Math.max(60, Math.min(1000, Math.round(chart.box.clientWidth)));
  let t = [];
  const answers = new Map();
  await Promise.all([...groups.values()].map(async (lines) => {
    const { node, shift } = lines[0];
    const query = new URLSearchParams({ start: (start - shift).toFixed(3), end: (end - shift).toFixed(3), points });
    for (const line of lines) query.append("series", line.key);
    const found = await get(`/api/nodes/${node}/samples/`, query, signal);
    if (!shift || !t.length) t = found.t.map((at) => at + shift);
    for (const line of lines) answers.set(line, found.series[line.key]);
  }));
  if (signal.aborted) return;
  const cut = (column) => Array.from({ length: t.length }, (_, place) => column[place] ?? null);
  chart.fill(t, chart.lines.map((line) => {
    const one = answers.get(line);
    return { mean: cut(one.mean), low: cut(one.low), high: cut(one.high) };
  }));
}

async function events(start, end, signal) {
  const query = new URLSearchParams({ start: start.toFixed(0), end: end.toFixed(0) });
  const lists = await Promise.all(page.nodes.map((node) => get(`/api/nodes/${node}/events/`, query, signal)));
  if (signal.aborted) return;
  const found = lists.flat().filter((event) => !page.model || !event.subject || event.subject === page.model).sort((a, b) => a.at - b.at);
  for (const chart of charts) {
    chart.events = found;
    chart.plot.redraw(false);
  }
  const card = document.querySelector("[data-history-events]");
  card.hidden = !found.length;
  card.querySelector("[data-event-list]").replaceChildren(...found.slice(-50).reverse().map(eventLine));
}

function eventLine(event) {
  const line = make("li", `tone-${event.tone}`);
  line.append(make("span", "muted num", `${new Date(event.at * 1000).toLocaleString()} `));
  const title = event.url ? make("a", "", event.title) : make("span", "", event.title);
  if (event.url) title.href = event.url;
  line.append(title);
  return line;
}

const MOVES = {
  back: () => show(view.start - (view.end - view.start) / 2, view.end - (view.end - view.start) / 2),
  on: () => show(view.start + (view.end - view.start) / 2, view.end + (view.end - view.start) / 2),
  out: () => (view.range ? live(view.range * 2) : show(view.start - (view.end - view.start) / 2, view.end + (view.end - view.start) / 2)),
  in: () => (view.range ? live(view.range / 2) : show(view.start + (view.end - view.start) / 4, view.end - (view.end - view.start) / 4)),
  now: () => live(view.range || view.end - view.start),
};
for (const button of document.querySelectorAll("[data-range]")) button.addEventListener("click", () => live(Number(button.dataset.range)));
for (const button of document.querySelectorAll("[data-move]")) button.addEventListener("click", () => MOVES[button.dataset.move]());
compare.addEventListener("change", () => {
  build();
  draw();
});
document.querySelector("[data-history-choices]").addEventListener("change", ({ target }) => {
  if (target === compare) return;
  if (target.name === "tab") address.searchParams.delete("subject");
  address.searchParams.set(target.name, target.value);
  location.assign(address);
});
document.querySelector("[data-history-choices]").addEventListener("submit", (event) => event.preventDefault());
document.querySelector("[data-copy-link]").addEventListener("click", async () => {
  // What "last hour" shows now is not what it shows tomorrow: the link names the moments.
  const link = new URL(address);
  link.searchParams.delete("range");
  link.searchParams.set("from", Math.round(view.start));
  link.searchParams.set("to", Math.round(view.end));
  try {
    await navigator.clipboard.writeText(link.href);
    toast("Link copied");
  } catch {
    prompt("Copy this link", link.href);
  }
});
document.addEventListener("themechange", () => charts.forEach((chart) => chart.recolour()));
setInterval(() => {
  if (view.range && !document.hidden) live(view.range);
}, LIVE_MS);

if ([...compare.options].some((option) => option.value === address.searchParams.get("compare"))) compare.value = address.searchParams.get("compare");
build();
if (number("to") > number("from") && number("from") > 0) show(number("from"), number("to"));
else live(Math.min(LONGEST, Math.max(SHORTEST, number("range") || 3600)));
