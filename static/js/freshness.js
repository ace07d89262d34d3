// How fresh each node's figures are: by the server's word, and by this page's own monotonic clock.
import { announce, setText } from "./dom.js";
import { span } from "./format.js";
import { on } from "./live.js";

const STALE_MS = 6000;
const OFFLINE_MS = 10000;
const TONES = { online: "good", stale: "warn", offline: "bad", never: "" };
const nodes = new Map();

function nodeOf(name) {
  if (!nodes.has(name)) nodes.set(name, { status: "never", heardAt: null, shown: null });
  return nodes.get(name);
}

function shownStatus(node, age) {
  if (node.status === "never") return "never";
  if (node.status === "offline" || age > OFFLINE_MS) return "offline";
  return node.status === "stale" || age > STALE_MS ? "stale" : "online";
}

function wordsFor(status, age) {
  if (status === "online") return "Online";
  if (status === "never") return "Never seen";
  const since = age === null ? "" : ` · ${span(age / 1000)}`;
  return (status === "stale" ? "Stale" : "Offline") + since;
}

function paint() {
  for (const [name, node] of nodes) {
    const age = node.heardAt === null ? null : performance.now() - node.heardAt;
    const status = shownStatus(node, age ?? 0);
    for (const badge of document.querySelectorAll(`[data-node-badge="${CSS.escape(name)}"]`)) {
      badge.dataset.tone = TONES[status];
      badge.dataset.status = status;
      setText(badge, wordsFor(status, age));
    }
    for (const section of document.querySelectorAll(`.node[data-node="${CSS.escape(name)}"]`)) {
      section.classList.toggle("is-stale", status === "stale" || status === "offline");
    }
    if (node.shown && node.shown !== status) announce(`${name} is ${status === "never" ? "unknown" : status}`);
    node.shown = status;
  }
}

for (const badge of document.querySelectorAll("[data-node-badge]")) {
  const node = nodeOf(badge.dataset.nodeBadge);
  node.status = badge.dataset.status;
  const age = badge.dataset.ageSeconds;
  node.heardAt = age ? performance.now() - Number(age) * 1000 : null;
}

on("hello", (frame) => {
  for (const { name, status } of frame.nodes ?? []) nodeOf(name).status = status;
  paint();
});
on("node_status", (frame) => {
  nodeOf(frame.node).status = frame.status;
  paint();
});
on("snapshot", (frame) => {
  const node = nodeOf(frame.node);
  const before = node.status;
  node.status = frame.status ?? "online";
  if (node.status === "online") node.heardAt = performance.now();
  if (before !== node.status) paint();
});
setInterval(paint, 500);
