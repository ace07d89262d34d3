// One chart of history: axes, a band of lowest and highest, marks of events; drag zooms, Shift and drag moves.
import uPlot from "../vendor/uplot/uPlot.esm.js";
import { setText } from "./dom.js";
import { bytes, celsius, count, load, megahertz, percent, rate, watts } from "./format.js";

const FORMATS = {
  percent, bytes, "bytes/s": rate, W: watts, "°C": celsius, MHz: megahertz, "": load,
  "/s": (value) => [value < 100 ? value.toFixed(1) : count(value)[0], "/s"],
  s: (value) => [value.toFixed(3), "s"],
  count: (value) => count(Math.round(value)),
  $: (value) => [`$${value.toFixed(value < 100 ? 2 : 0)}`],
};
const COLOURS = ["--series-0", "--series-1", "--series-2", "--series-3", "--good", "--warn", "--bad", "--busy"];
const WHOLE = Array.from({ length: 12 }, (_, power) => [1, 2, 5].map((one) => one * 10 ** power)).flat();
// Steps of an axis of bytes: powers of two, so that its marks read 16 GiB, 32 GiB.
const BINARY = Array.from({ length: 50 }, (_, power) => 2 ** power);
const INCRS = { bytes: { incrs: BINARY }, count: { incrs: WHOLE } };
const TONES = { good: "--good", bad: "--bad", warn: "--warn", calm: "--ink-3" };

function colour(name, share = 1) {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const numbers = getComputedStyle(probe).color.match(/[\d.]+/g) ?? [128, 128, 128];
  probe.remove();
  return `rgba(${numbers.slice(0, 3).join(", ")}, ${share})`;
}

export class HistoryChart {
  /** `lines`: [{label, key, node, faint}]; `view` has start and end; `onRange(start, end)` when the user chooses another. */
  constructor(section, panel, lines, view, onRange) {
    Object.assign(this, { section, panel, lines, view, onRange, events: [] });
    this.format = FORMATS[panel.unit] ?? load;
    this.box = section.querySelector("[data-plot]");
    this.palette();
    this.legend();
    this.build();
    this.watchDrag();
    this.watchWheel();
    new ResizeObserver(() => this.resize()).observe(this.box);
    this.seen = true;
    new IntersectionObserver(([{ isIntersecting }]) => {
      this.seen = isIntersecting;
      if (isIntersecting && this.behind) this.move();
    }).observe(this.box);
  }

  palette() {
    this.colours = this.lines.map((line, place) => COLOURS[(line.place ?? place) % COLOURS.length]);
    this.strokes = this.lines.map((line, place) => colour(this.colours[place], line.faint ? 0.45 : 1));
    this.bands = this.lines.map((line, place) => colour(this.colours[place], line.faint ? 0.05 : 0.16));
    this.marks = Object.fromEntries(Object.entries(TONES).map(([tone, name]) => [tone, colour(name, 0.75)]));
    this.ink = colour("--ink-3");
    this.grid = colour("--ink-3", 0.14);
  }

  legend() {
    const parent = this.section.querySelector("[data-legend]");
    this.values = this.lines.map((line, place) => {
      const item = document.createElement("span");
      item.style.setProperty("--key", this.strokes[place]);
      const number = document.createElement("b");
      item.append(`${line.label} `, number);
      parent.append(item);
      return number;
    });
  }

  build() {
    const axis = { stroke: () => this.ink, grid: { stroke: () => this.grid, width: 1 }, ticks: { stroke: () => this.grid, width: 1 }, font: "11px system-ui, sans-serif" };
    const series = [{}];
    const bands = [];
    this.lines.forEach((line, place) => {
      const at = series.length;
      series.push({ stroke: () => this.strokes[place], width: line.faint ? 1 : 1.5, dash: line.faint ? [4, 3] : undefined, points: { show: false }, spanGaps: false });
      for (let edge = 0; edge < 2; edge += 1) series.push({ stroke: "transparent", width: 0, points: { show: false }, spanGaps: false });
      bands.push({ series: [at + 2, at + 1], fill: () => this.bands[place] });
    });
    const { top } = this.panel;
    this.plot = new uPlot({
      width: this.box.clientWidth || 300,
      height: this.box.clientHeight || 190,
      legend: { show: false },
      padding: [8, 8, 0, 0],
      axes: [axis, { ...axis, size: 80, ...(INCRS[this.panel.unit] ?? {}), values: (_plot, ticks) => ticks.map((value) => this.words(value)) }],
      scales: {
        x: { time: true, range: () => [this.view.start, this.view.end] },
        y: { range: (_plot, low, high) => [Math.min(0, low ?? 0), top ?? Math.max((high ?? 0) * 1.08, this.panel.unit === "bytes" ? 2 ** 20 : 1)] },
      },
      cursor: { y: false, drag: { x: true, y: false, setScale: false }, points: { show: false }, sync: { key: "history" } },
      hooks: { setCursor: [(plot) => this.numbers(plot.cursor.idx)], setSelect: [(plot) => this.selected(plot)], draw: [(plot) => this.drawEvents(plot)] },
      series, bands,
    }, this.empty(), this.box);
    this.plot.over.addEventListener("dblclick", () => {
      const { start, end } = this.view;
      this.onRange(start - (end - start) / 2, end + (end - start) / 2);
    });
  }

  empty() {
    return [[], ...this.lines.flatMap(() => [[], [], []])];
  }

  /** `answers[i]` are mean, low and high of line i at the times `t`. */
  fill(t, answers) {
    this.t = t;
    this.plot.setData([t, ...answers.flatMap((one) => [one.mean, one.low, one.high])]);
    this.numbers(null);
    const known = answers.some((one) => one.mean.some((value) => value !== null));
    const left = this.panel.left_out ? `${this.panel.left_out} more are not drawn; choose one above.` : "";
    const note = this.section.querySelector("[data-note]");
    setText(note, known ? left : "Nothing was recorded in this span.");
    note.hidden = known && !left;
    this.section.classList.remove("is-waiting");
    this.section.dataset.points = t.length;
  }

  /** The span changed: show what there is of it at once, or, out of sight, when it comes into sight. */
  move() {
    this.behind = !this.seen;
    if (this.seen) this.plot.setScale("x", { min: this.view.start, max: this.view.end });
  }

  numbers(index) {
    this.lines.forEach((_line, place) => {
      const column = this.plot.data[1 + 3 * place];
      let at = index;
      if (at === null || at === undefined) at = column.findLastIndex((value) => value !== null && value !== undefined);
      const value = column[at];
      setText(this.values[place], value === null || value === undefined ? "–" : this.words(value));
    });
  }

  words(value) {
    const [number, unit] = this.format(value);
    return unit ? `${number} ${unit}` : number;
  }

  selected(plot) {
    const { left, width } = plot.select;
    if (width < 4) return;
    const start = plot.posToVal(left, "x");
    const end = plot.posToVal(left + width, "x");
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.onRange(start, end);
  }

  /** Ctrl and wheel, or a pinch, zooms about the pointer; the wheel sideways moves the span. */
  watchWheel() {
    this.plot.over.addEventListener("wheel", (event) => {
      const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
      const { start, end } = this.view;
      if (event.ctrlKey) {
        const at = this.plot.posToVal(event.offsetX, "x");
        const factor = Math.exp(Math.max(-1, Math.min(1, event.deltaY / 300)));
        this.onRange(at - (at - start) * factor, at + (end - at) * factor);
      } else if (Math.abs(sideways) > Math.abs(event.shiftKey ? 0 : event.deltaY)) {
        const by = (sideways / this.plot.over.clientWidth) * (end - start);
        this.onRange(start + by, end + by);
      } else return;
      event.preventDefault();
    }, { passive: false });
  }

  /** Shift and drag moves the span. */
  watchDrag() {
    this.plot.over.addEventListener("mousedown", (event) => {
      if (!event.shiftKey) return;
      event.stopImmediatePropagation();
      const from = event.clientX;
      const { start, end } = this.view;
      const perPixel = (end - start) / this.plot.over.clientWidth;
      const moved = (now) => this.onRange(start - (now.clientX - from) * perPixel, end - (now.clientX - from) * perPixel);
      const done = () => removeEventListener("mousemove", moved);
      addEventListener("mousemove", moved);
      addEventListener("mouseup", done, { once: true });
    }, { capture: true });
  }

  drawEvents(plot) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.lineWidth = Math.max(1, devicePixelRatio);
    ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
    for (const event of this.events) {
      const x = Math.round(plot.valToPos(event.at, "x", true));
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.strokeStyle = this.marks[event.tone] ?? this.marks.calm;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.box;
    if (width && (width !== this.plot.width || height !== this.plot.height)) this.plot.setSize({ width, height });
  }

  recolour() {
    this.palette();
    this.values.forEach((number, place) => number.parentElement.style.setProperty("--key", this.strokes[place]));
    this.plot.redraw(false);
  }
}
