// Nodes drawn live: one section each, redrawn in the animation frame after its snapshot arrives.
import { setText } from "./dom.js";
import { span } from "./format.js";
import { schedule } from "./frame.js";
import { drawGuardian } from "./guardian.js";
import { History, seriesOf } from "./history.js";
import { on } from "./live.js";
import { drawContainers, drawMemberMemory } from "./node_containers.js";
import { drawDevices, drawGpus, drawHost } from "./node_panels.js";
import { Tile, TILES } from "./node_tiles.js";
import { drawVerdicts } from "./verdicts.js";

class NodeView {
  constructor(section) {
    this.section = section;
    this.name = section.dataset.node;
    this.history = new History();
    this.tiles = [];
    this.shape = null;
    this.frame = null;
    this.heardAt = 0;
    this.drawLater = () => this.draw();
    this.part = (name) => section.querySelector(`[data-part-of-node="${name}"]`);
    const stored = document.getElementById(`snapshot-${this.name}`);
    const snapshot = stored && JSON.parse(stored.textContent);
    if (snapshot?.report) this.receive(snapshot);
  }

  receive(frame) {
    this.frame = frame;
    this.heardAt = performance.now();
    this.history.append(frame.received_at, seriesOf(frame.report));
    schedule(this.drawLater);
  }

  replay(frame) {
    this.history.load(frame);
    if (this.frame) this.history.append(this.frame.received_at, seriesOf(this.frame.report));
    schedule(this.drawLater);
  }

  draw() {
    if (!this.frame) return;
    const { report } = this.frame;
    this.section.classList.remove("is-waiting");
    this.drawHead(report);
    drawGuardian(this.section, report);
    drawVerdicts(this.section, this.frame);
    this.drawTiles();
    drawGpus(this.part("gpus"), report, this.frame.verdicts?.models ?? {});
    if (report.host) {
      drawHost(this.part("host"), report);
      drawDevices(this.part("devices"), report);
    }
    drawContainers(this.part("containers"), report);
    drawMemberMemory(this.section, report);
    stamp(this.frame);
  }

  drawHead(report) {
    const { host = {}, gpu = {}, agent = {} } = report;
    const put = (name, text) => {
      const element = this.section.querySelector(`[data-fact="${name}"]`);
      if (!element) return;
      setText(element, text ?? "");
      element.parentElement.hidden = !text;
    };
    put("uptime", host.uptime_seconds ? span(host.uptime_seconds) : "");
    put("agent", agent.version);
    put("system", [host.hostname, host.architecture, host.kernel].filter(Boolean).join(" · "));
    put("driver", [gpu.driver, gpu.cuda && `CUDA ${gpu.cuda}`].filter(Boolean).join(" · "));
    const notice = this.part("gpu-notice");
    notice.hidden = gpu.status === "ok";
    const nothing = gpu.status === "none";
    setText(notice.querySelector("[data-sentence]"), nothing ? "This node has no NVIDIA GPU that the driver reports." : "The GPU cannot be read.");
    setText(notice.querySelector("[data-detail]"), gpu.message ?? "");
  }

  drawTiles() {
    const { report } = this.frame;
    const shape = (report.gpus ?? []).map((gpu) => gpu.uuid ?? gpu.index).join() + Boolean(report.host?.memory_total_bytes);
    if (shape !== this.shape) this.build(shape);
    const end = this.now();
    for (const tile of this.tiles) tile.draw(report, this.history, end);
  }

  build(shape) {
    this.shape = shape;
    for (const tile of this.tiles) tile.destroy();
    const { report } = this.frame;
    const parent = this.part("tiles");
    parent.replaceChildren();
    const wanted = TILES.filter((tile) => !tile.gpu || report.gpus?.length);
    this.tiles = wanted.map((tile) => new Tile(parent, tile, report, `node-${this.name}`));
  }

  /** The charts' right edge: the last report's time, moved on by this page's own clock. */
  now() {
    return this.frame.received_at + (performance.now() - this.heardAt) / 1000;
  }

  /** While no report comes the window moves on, so that the silence shows as a gap. */
  tick() {
    if (!this.frame || document.hidden || performance.now() - this.heardAt < 2500) return;
    schedule(() => {
      if (this.frame) for (const tile of this.tiles) tile.chart.draw(this.history, this.now());
    });
  }
}

/** What was drawn last, for benchmarks: node, sequence, sampling time and drawing time in seconds since the epoch. */
function stamp(frame) {
  const drawnAt = (performance.timeOrigin + performance.now()) / 1000;
  document.documentElement.dataset.lastDrawn = JSON.stringify({
    node: frame.node,
    seq: frame.seq,
    sampled_at: frame.report.sampled_at,
    received_at: frame.received_at,
    drawn_at: drawnAt,
  });
}

const views = new Map();
for (const section of document.querySelectorAll("section[data-node]")) views.set(section.dataset.node, new NodeView(section));

/** A node that this page has no section for has joined: load the page again, once for each such node. */
function joined(name) {
  if (!document.querySelector("[data-all-nodes]") || sessionStorage.getItem("sparkweb-joined") === name) return;
  sessionStorage.setItem("sparkweb-joined", name);
  location.reload();
}

on("snapshot", (frame) => {
  const view = views.get(frame.node);
  if (view) view.receive(frame);
  else joined(frame.node);
});
on("history", (frame) => views.get(frame.node)?.replay(frame));
setInterval(() => views.forEach((view) => view.tick()), 1000);
