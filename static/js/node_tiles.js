// The eight tiles of a node: what they show now, and their chart of the last quarter of an hour.
import { Chart, gpuColour } from "./charts.js";
import { fromTemplate, make, setText } from "./dom.js";
import { bytes, celsius, mark, percent, rate, reason, watts, words } from "./format.js";

const perGpu = (short) => (gpus) =>
  gpus.map((gpu, place) => ({
    name: `gpu${gpu.index}_${short}`,
    label: gpus.length > 1 ? `GPU ${gpu.index}` : "",
    colour: gpuColour(place),
  }));
const GPU_FIELDS = { util: "utilization_percent", memory: "memory_used_bytes", power: "power_watts", temperature: "temperature_celsius" };

export const TILES = [
  { id: "util", label: "GPU utilisation", format: percent, top: 100, gpu: true, lines: perGpu("util"), sub: clocks },
  { id: "memory", label: "GPU memory", format: bytes, floor: 2 ** 30, gpu: true, lines: perGpu("memory"), sub: gpuMemory },
  { id: "power", label: "GPU power", format: watts, floor: 20, gpu: true, lines: perGpu("power"), sub: powerLimits },
  { id: "temperature", label: "GPU temperature", format: celsius, floor: 90, gpu: true, lines: perGpu("temperature"), sub: peak },
  { id: "cpu", label: "CPU", format: percent, top: 100, lines: one("cpu"), sub: cpu },
  { id: "ram", label: "Memory used", format: bytes, floor: 2 ** 30, lines: one("memory_used"), sub: memory, top: memoryTop },
  { id: "net", label: "Network", format: rate, floor: 1e5, lines: pair(["net_rx", "in"], ["net_tx", "out"]), sub: links },
  { id: "disk", label: "Disks", format: rate, floor: 1e6, lines: pair(["disk_read", "read"], ["disk_write", "write"]), sub: fullest },
];

function one(name) {
  return () => [{ name, label: "", colour: "--series-1" }];
}

function pair(first, second) {
  return () => [
    { name: first[0], label: first[1], colour: "--series-1" },
    { name: second[0], label: second[1], colour: "--series-2" },
  ];
}

function memoryTop(report) {
  return report.host?.memory_total_bytes ?? null;
}

function clocks(report) {
  const known = report.gpus.filter((gpu) => gpu.clock_sm_mhz !== null);
  return known.length ? `SM clock ${known.map((gpu) => gpu.clock_sm_mhz.toLocaleString("en")).join(" · ")} MHz` : "";
}

function gpuMemory(report) {
  const shared = report.host?.memory_total_bytes;
  if (report.gpu?.unified_memory) return shared ? `held, of ${words(bytes, shared)} unified` : "held, of unified memory";
  const totals = report.gpus.map((gpu) => gpu.memory_total_bytes).filter(Boolean);
  return totals.length ? `of ${totals.map((total) => words(bytes, total)).join(" · ")}` : "";
}

function powerLimits(report, history, lines) {
  const limits = report.gpus.map((gpu) => gpu.power_limit_watts).filter(Boolean);
  return limits.length ? `limit ${limits.map((limit) => Math.round(limit)).join(" · ")} W` : peak(report, history, lines, watts);
}

function peak(_report, history, lines, format = celsius) {
  const highest = Math.max(...lines.flatMap((line) => history.column(line.name).filter((value) => value !== null)));
  return Number.isFinite(highest) ? `peak ${words(format, highest)} in 15 min` : "";
}

function cpu(report) {
  const { load, cpu_count: cores } = report.host;
  return [cores && `${cores} cores`, load && `load ${load[0].toFixed(2)}`].filter(Boolean).join(" · ");
}

function memory(report) {
  const { memory_total_bytes: total, memory_available_bytes: available } = report.host;
  if (!total) return "";
  return `${available === null ? "" : `${words(bytes, available)} available `}of ${words(bytes, total)}`;
}

function links(report) {
  const up = (report.host.networks ?? []).filter((link) => link.up).length;
  return `${up} ${up === 1 ? "link" : "links"} up`;
}

function fullest(report) {
  const disks = (report.host.disks ?? []).filter((disk) => disk.total_bytes);
  if (!disks.length) return "";
  const worst = disks.reduce((a, b) => (b.used_bytes / b.total_bytes > a.used_bytes / a.total_bytes ? b : a));
  return `${worst.mount} ${Math.round((100 * worst.used_bytes) / worst.total_bytes)} % full`;
}

/** The reason why a line has no figure now. */
function whyMissing(tile, line, report) {
  if (!tile.gpu) return reason(report.host?.why?.[line.name], "this machine");
  const gpu = report.gpus.find((row) => line.name.startsWith(`gpu${row.index}_`));
  if (gpu?.state === "lost") return "The GPU is lost: the driver no longer answers for it";
  return reason(gpu?.why?.[GPU_FIELDS[tile.id]] ?? gpu?.why?.memory_held_bytes, gpu?.name ?? "this GPU");
}

export class Tile {
  constructor(parent, tile, report, sync) {
    this.tile = tile;
    this.lines = tile.lines(report.gpus ?? []);
    this.hovered = null;
    this.element = fromTemplate("tile");
    this.values = this.element.querySelector("[data-values]");
    this.values.classList.toggle("many", this.lines.length > 1);
    this.numbers = this.lines.map((line) => this.#value(line));
    setText(this.element.querySelector("[data-label]"), tile.label);
    const box = this.element.querySelector("[data-chart]");
    box.setAttribute("aria-label", `${tile.label}, last 15 minutes`);
    parent.append(this.element);
    const top = typeof tile.top === "function" ? tile.top(report) : tile.top;
    this.chart = new Chart(box, { lines: this.lines, floor: tile.floor, top, sync, onHover: (index) => this.#hover(index) });
  }

  #value(line) {
    const holder = make("span", "tile-value figure");
    const key = make("span", "key");
    key.style.background = `var(${line.colour})`;
    const number = make("span");
    if (this.lines.length > 1) {
      holder.append(key, number);
      holder.title = line.label;
      holder.setAttribute("aria-label", line.label);
    } else {
      holder.append(number);
    }
    const unit = make("small");
    holder.append(unit);
    this.values.append(holder);
    return { number, unit };
  }

  #hover(index) {
    if (this.hovered === index) return;
    this.hovered = index;
    if (this.report) this.#numbers();
  }

  /** Show the newest report; the chart ends at `end` seconds. */
  draw(report, history, end) {
    this.report = report;
    this.history = history;
    this.#numbers();
    setText(this.element.querySelector("[data-sub]"), this.tile.sub(report, history, this.lines));
    this.chart.draw(history, end);
  }

  #numbers() {
    const { t } = this.history;
    const index = this.hovered !== null && this.hovered < t.length ? this.hovered : t.length - 1;
    const at = index === t.length - 1 ? "" : new Date(t[index] * 1000).toLocaleTimeString();
    setText(this.element.querySelector("[data-at]"), at);
    this.lines.forEach((line, place) => {
      const value = this.history.column(line.name)[index] ?? null;
      const { number, unit } = this.numbers[place];
      const [text, unitText] = value === null ? ["–", ""] : this.tile.format(value);
      setText(number, text);
      const label = this.lines.length > 1 && !line.label.startsWith("GPU") ? ` ${line.label}` : "";
      setText(unit, unitText + label);
      mark(number, value === null, value === null ? whyMissing(this.tile, line, this.report) : "");
    });
  }

  destroy() {
    this.chart.destroy();
    this.element.remove();
  }
}
