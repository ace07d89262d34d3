// Docker's containers on a node, and what the running models really use.
import { fromTemplate, keyed, setText } from "./dom.js";
import { bytes, figure, percent, span } from "./format.js";
import { serverNow } from "./ages.js";

const TONES = { running: "good", restarting: "warn", paused: "warn", dead: "bad", removing: "warn" };
// For an agent that names the state alone; its own sentence also says where it looked.
const ADVICE = {
  missing: "Docker was not found on this node. Install it (apt install docker.io), or point the agent's DOCKER_HOST at its socket.",
  denied: "The agent may not use Docker's socket. Add its user to the docker group (sudo usermod -aG docker USER), then start the agent again.",
  down: "The Docker engine does not answer. Start it (sudo systemctl start docker); models start again by themselves.",
};

/** Draw the table, or say why there is none. */
export function drawContainers(card, report) {
  const docker = report.agent?.docker ?? {};
  const broken = docker.status && docker.status !== "ok";
  const containers = report.containers ?? [];
  card.querySelector("[data-docker-version]").textContent = docker.version ? `Docker ${docker.version}` : "";
  const notice = card.querySelector("[data-docker-notice]");
  notice.hidden = !broken;
  if (broken) {
    setText(notice.querySelector("[data-sentence]"), docker.message || ADVICE[docker.status]);
  }
  card.querySelector("[data-no-containers]").hidden = Boolean(broken) || containers.length > 0;
  card.querySelector("table").hidden = Boolean(broken) || containers.length === 0;
  setText(card.querySelector("[data-count]"), containers.length ? String(containers.length) : "");
  keyed(card.querySelector("tbody"), containers, (row) => row.id, () => fromTemplate("container-row"), (row, container) => drawRow(row, container, card.dataset.adoptUrl));
}

function drawRow(row, container, adoptUrl) {
  const why = container.why ?? {};
  setText(row.querySelector("[data-name]"), container.name);
  row.querySelector("[data-name]").title = container.name;
  row.querySelector("[data-ours]").hidden = !container.ours;
  row.querySelector("[data-adopted]").hidden = !container.adopted;
  drawAdopt(row.querySelector("[data-adopt]"), container, adoptUrl);
  setText(row.querySelector("[data-image]"), container.image);
  row.querySelector("[data-image]").title = container.image;
  const state = row.querySelector("[data-state]");
  setText(state, container.state);
  state.dataset.tone = TONES[container.state] ?? "";
  state.title = container.status ?? "";
  setText(row.querySelector("[data-ports]"), (container.ports ?? []).join("\n") || "–");
  const running = container.state === "running" && container.started_at;
  setText(row.querySelector("[data-uptime]"), running ? span(serverNow() / 1000 - container.started_at) : "–");
  const stopped = container.state !== "running";
  figure(row.querySelector("[data-cpu]"), container.cpu_percent, percent, stopped ? null : why.cpu_percent, "Docker");
  figure(row.querySelector("[data-memory]"), container.memory_bytes, bytes, stopped ? null : why.memory_bytes, "Docker");
}

/** Who may start models may adopt what others started, if it runs and could be asked something. */
function drawAdopt(link, container, url) {
  if (!link) return;
  const published = (container.ports ?? []).some((port) => port.includes("->") && port.endsWith("/tcp"));
  link.hidden = container.ours || container.adopted || container.foreign || container.state !== "running" || !published;
  const href = url.replace("CONTAINER", container.id.slice(0, 12));
  if (link.getAttribute("href") !== href) link.setAttribute("href", href);
}

/** Memory of each of our members: its container's, plus what its processes hold on GPUs with memory of their own. */
export function drawMemberMemory(section, report) {
  const held = new Map();
  for (const process of (report.gpus ?? []).flatMap((gpu) => gpu.processes ?? [])) {
    if (process.container_id) held.set(process.container_id, (held.get(process.container_id) ?? 0) + (process.memory_bytes ?? 0));
  }
  for (const container of report.containers ?? []) {
    if (!container.member || container.memory_bytes === null) continue;
    const element = section.querySelector(`[data-member-memory="${CSS.escape(container.member)}"]`);
    if (element) figure(element, container.memory_bytes + (held.get(container.id) ?? 0), bytes);
  }
}
