// uPlot as this product draws it: no axes, a filled line, gaps where nothing is known.
import uPlot from "../vendor/uplot/uPlot.esm.js";
import { schedule } from "./frame.js";
import { WINDOW_SECONDS } from "./history.js";

const SERIES = ["--series-0", "--series-1", "--series-2", "--series-3"];
const charts = new Set();
const colours = new Map();

/** The colour variable of the GPU that stands at `place` in a report. */
export const gpuColour = (place) => SERIES[place % SERIES.length];

/** The computed value of a CSS colour variable in the present theme. */
function colour(name) {
  if (!colours.has(name)) {
    const probe = document.createElement("i");
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    colours.set(name, getComputedStyle(probe).color);
    probe.remove();
  }
  return colours.get(name);
}

function faded(name, share) {
  const numbers = colour(name).match(/[\d.]+/g);
  return `rgba(${numbers.slice(0, 3).join(", ")}, ${share})`;
}

function fillOf(name) {
  return (plot) => {
    const { top, height } = plot.bbox;
    const gradient = plot.ctx.createLinearGradient(0, top, 0, top + height);
    gradient.addColorStop(0, faded(name, 0.26));
    gradient.addColorStop(1, faded(name, 0.02));
    return gradient;
  };
}

const resizes = new ResizeObserver((entries) => {
  for (const { target } of entries) target.chart?.resize();
});

document.addEventListener("themechange", () => {
  colours.clear();
  for (const chart of charts) chart.redraw();
});

export class Chart {
  /**
   * `lines`: [{name, colour}] of a History; `floor`: smallest top of the scale, in the lines' unit;
   * `top`: fixed top. `onHover(index or null)` follows the cursor, which all charts of `sync` share.
   */
  constructor(element, { lines, floor = 1, top = null, sync, onHover }) {
    this.element = element;
    this.lines = lines;
    this.end = 0;
    element.chart = this;
    this.plot = new uPlot(this.#options(floor, top, sync, onHover), [[], ...lines.map(() => [])], element);
    charts.add(this);
    resizes.observe(element);
  }

  #options(floor, top, sync, onHover) {
    const highest = (plot, low, high) => [0, top ?? Math.max(floor, (high ?? 0) * 1.12)];
    return {
      width: this.element.clientWidth || 200,
      height: this.element.clientHeight || 60,
      padding: [3, 0, 0, 0],
      legend: { show: false },
      axes: [{ show: false }, { show: false }],
      scales: { x: { time: true, range: () => [this.end - WINDOW_SECONDS, this.end] }, y: { range: highest } },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6, width: 1.5 }, sync: { key: sync } },
      hooks: { setCursor: [(plot) => onHover?.(plot.cursor.idx ?? null)] },
      series: [
        {},
        ...this.lines.map((line, index) => ({
          stroke: () => colour(line.colour),
          fill: index === 0 ? fillOf(line.colour) : undefined,
          width: 1.5,
          points: { show: false },
          spanGaps: false,
        })),
      ],
    };
  }

  /** Draw the history so that the right edge is `end`, in seconds. */
  draw(history, end) {
    this.end = end;
    this.plot.setData([history.t, ...this.lines.map((line) => history.column(line.name))]);
  }

  redraw() {
    schedule(() => this.plot.redraw(false));
  }

  resize() {
    schedule(() => {
      const { clientWidth: width, clientHeight: height } = this.element;
      if (width && (width !== this.plot.width || height !== this.plot.height)) this.plot.setSize({ width, height });
    });
  }

  destroy() {
    resizes.unobserve(this.element);
    charts.delete(this);
    this.plot.destroy();
  }
}
