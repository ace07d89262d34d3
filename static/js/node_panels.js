// The panels below the tiles: each GPU with its processes, processor and memory, disks and network.
import { gpuColour } from "./charts.js";
import { fromTemplate, keyed, make, setText } from "./dom.js";
import { bytes, celsius, count, figure, load, megahertz, percent, rate, reason, watts, words } from "./format.js";

function field(root, name) {
  return root.querySelector(`[data-figure="${name}"]`);
}

function meter(root, name, share) {
  const bar = root.querySelector(`[data-meter="${name}"]`);
  if (!bar) return;
  bar.style.visibility = share === null ? "hidden" : "";
  bar.firstElementChild.style.width = `${Math.min(100, Math.max(0, share ?? 0))}%`;
}

function share(part, whole) {
  return part === null || part === undefined || !whole ? null : (100 * part) / whole;
}

// -- GPUs ---------------------------------------------------------------------

/** Draw one card for each GPU before the other panels; `models` names models by container id. */
export function drawGpus(parent, report, models) {
  keyed(parent, report.gpus ?? [], (gpu) => gpu.uuid ?? gpu.index, () => fromTemplate("gpu-card"), (card, gpu) => drawGpu(card, gpu, report, models));
}

function drawGpu(card, gpu, report, models) {
  const why = gpu.why ?? {};
  const unified = Boolean(report.gpu?.unified_memory);
  const memory = gpu.memory_used_bytes ?? gpu.memory_held_bytes;
  const total = gpu.memory_total_bytes ?? (unified ? report.host?.memory_total_bytes : null);
  setText(card.querySelector("[data-name]"), gpu.name ?? `GPU ${gpu.index}`);
  setText(card.querySelector("[data-index]"), `GPU ${gpu.index}`);
  const key = card.querySelector("[data-key]");
  key.hidden = report.gpus.length < 2; // alone, its lines need no telling apart
  key.style.background = `var(${gpuColour(report.gpus.indexOf(gpu))})`;
  drawState(card, gpu, report);
  setText(card.querySelector("[data-memory-name]"), unified ? "Memory held" : "Memory");
  const show = (name, value, format, key = name) => figure(field(card, name), value, format, why[key], gpu.name);
  show("utilization_percent", gpu.utilization_percent, percent);
  show("memory_utilization_percent", gpu.memory_utilization_percent, percent);
  show("memory", memory, bytes, gpu.memory_used_bytes === null ? "memory_held_bytes" : "memory_used_bytes");
  show("power_watts", gpu.power_watts, watts);
  show("temperature_celsius", gpu.temperature_celsius, celsius);
  show("clock_sm_mhz", gpu.clock_sm_mhz, megahertz);
  show("clock_memory_mhz", gpu.clock_memory_mhz, megahertz);
  show("fan_percent", gpu.fan_percent, percent);
  show("performance_state", gpu.performance_state, (value) => [`P${value}`, ""]);
  meter(card, "utilization_percent", gpu.utilization_percent);
  meter(card, "memory", share(memory, total));
  meter(card, "power_watts", share(gpu.power_watts, gpu.power_limit_watts));
  meter(card, "temperature_celsius", share(gpu.temperature_celsius, 100));
  meter(card, "clock_sm_mhz", share(gpu.clock_sm_mhz, gpu.clock_sm_max_mhz));
  setText(card.querySelector("[data-memory-total]"), total ? `of ${words(bytes, total)}` : "");
  drawProcesses(card, gpu, report, models);
}

const HELD_BACK = {
  power_cap: "its power limit",
  power_brake: "the power supply",
  hardware_slowdown: "the hardware",
  hardware_thermal: "heat",
  software_thermal: "heat",
};

const CAME_BACK = { replaced: "Driver replaced", reloaded: "Driver reloaded", answers: "Driver answers again", found: "Card answers again" };

/** Lost, silent with the cause, back again, what holds the clock down, and errors of its memory. */
function drawState(card, gpu, report) {
  const lost = gpu.state === "lost";
  card.querySelector("[data-lost]").hidden = !lost;
  if (lost) card.querySelector("[data-lost]").title = report.gpu?.message ?? "";
  const silent = card.querySelector("[data-silent]");
  silent.hidden = lost || gpu.why?.utilization_percent !== "stale";
  if (!silent.hidden) silent.title = report.gpu?.message ?? "The driver does not answer for this GPU";
  const back = report.gpu?.reloaded;
  const reloaded = card.querySelector("[data-reloaded]");
  reloaded.hidden = lost || !CAME_BACK[back?.kind] || (back.gpu ?? gpu.index) !== gpu.index;
  if (!reloaded.hidden) {
    setText(reloaded, CAME_BACK[back.kind]);
    reloaded.title = back.sentence;
  }
  const causes = [...new Set((gpu.throttle_reasons ?? []).map((word) => HELD_BACK[word]).filter(Boolean))];
  card.querySelector("[data-throttle]").hidden = !causes.length;
  setText(card.querySelector("[data-throttle-words]"), causes.join(", "));
  const errors = (gpu.ecc_corrected_total ?? 0) + (gpu.ecc_uncorrected_total ?? 0);
  card.querySelector("[data-ecc]").hidden = !errors;
  setText(card.querySelector("[data-ecc-words]"), `${gpu.ecc_corrected_total ?? 0} corrected, ${gpu.ecc_uncorrected_total ?? 0} not`);
}

function drawProcesses(card, gpu, report, models) {
  const processes = gpu.processes ?? [];
  const names = new Map((report.containers ?? []).map((container) => [container.id, container.name]));
  const none = card.querySelector("[data-no-processes]");
  none.hidden = processes.length > 0;
  setText(none, gpu.why?.processes ? reason(gpu.why.processes, gpu.name) : "No process uses this GPU");
  keyed(card.querySelector("[data-processes]"), processes, (row) => row.pid, () => fromTemplate("gpu-process"), (line, row) => {
    const container = row.container_id ? names.get(row.container_id) : null;
    setText(line.querySelector("[data-name]"), row.name ?? `process ${row.pid}`);
    setText(line.querySelector("[data-where]"), models[row.container_id] ?? container ?? `pid ${row.pid}`);
    figure(line.querySelector("[data-memory]"), row.memory_bytes, bytes, gpu.why?.process_memory_bytes ?? "unsupported", gpu.name);
  });
}

// -- Processor and memory -----------------------------------------------------

/** Draw load, cores and the stacked bar of memory. */
export function drawHost(card, report) {
  const { host } = report;
  const why = host.why ?? {};
  const show = (name, value, format) => figure(field(card, name), value, format, why[name], "this machine");
  show("cpu_percent", host.cpu_percent, percent);
  show("temperature_celsius", host.temperature_celsius, celsius);
  host.load?.forEach((value, index) => figure(field(card, `load_${index}`), value, load));
  setText(card.querySelector("[data-cores-words]"), `${host.cpu_count ?? "–"} cores`);
  drawCores(card.querySelector("[data-cores]"), host.cpu_per_core_percent ?? []);
  drawMemory(card, report);
  drawWaits(card, host);
  drawSensors(card, host.sensors ?? []);
  const swap = host.swap_total_bytes;
  setText(field(card, "swap"), swap ? `${words(bytes, host.swap_used_bytes ?? 0)} of ${words(bytes, swap)}` : "none");
}

/** The share of the last ten seconds in which something waited; where the kernel tells it. */
function drawWaits(card, host) {
  card.querySelector("[data-waits]").hidden = !host.pressure;
  for (const name of ["cpu", "memory", "io"]) figure(field(card, `waits_${name}`), host.pressure?.[name]?.some_percent, percent, "unsupported", "this machine");
}

function drawSensors(card, sensors) {
  card.querySelector("[data-sensors]").hidden = !sensors.length;
  keyed(card.querySelector("[data-sensor-rows]"), sensors, (row) => row.name, () => make("span"), (item, row) => setText(item, `${row.name} ${words(celsius, row.celsius)}`));
}

function drawCores(box, cores) {
  while (box.children.length > cores.length) box.lastElementChild.remove();
  while (box.children.length < cores.length) box.append(make("i"));
  cores.forEach((value, index) => {
    const core = box.children[index];
    if (!core.firstElementChild) core.append(make("b"));
    core.firstElementChild.style.transform = `scaleY(${(value ?? 0) / 100})`;
    core.title = value === null ? `Core ${index}: unknown` : `Core ${index}: ${Math.round(value)} %`;
  });
}

function drawMemory(card, report) {
  const { memory_total_bytes: total, memory_used_bytes: used, memory_available_bytes: available } = report.host;
  const known = total !== null && used !== null;
  const held = report.gpu?.unified_memory ? (report.gpus ?? []).reduce((sum, gpu) => sum + (gpu.memory_held_bytes ?? 0), 0) : 0;
  const gpu = Math.min(held, used ?? 0);
  const cache = Math.min(report.host.memory_reclaimable_bytes ?? 0, available ?? 0);
  const parts = { gpu, used: (used ?? 0) - gpu, cache, free: Math.max(0, (available ?? 0) - cache) };
  for (const [name, value] of Object.entries(parts)) {
    card.querySelector(`[data-part="${name}"]`).style.width = known ? `${share(value, total)}%` : "0";
    figure(field(card, `memory_${name}`), known ? value : null, bytes, "stale", "this machine");
  }
  card.querySelector("[data-legend-gpu]").hidden = !report.gpu?.unified_memory;
  figure(field(card, "memory_available"), available, bytes, "stale", "this machine");
  setText(card.querySelector("[data-memory-total]"), total ? `of ${words(bytes, total)}` : "");
}

// -- Disks and network --------------------------------------------------------

/** Draw a line for each disk and each link. */
export function drawDevices(card, report) {
  const { disks, networks } = report.host;
  keyed(card.querySelector("[data-disks]"), disks ?? [], (disk) => disk.mount, () => fromTemplate("disk-line"), drawDisk);
  const shown = (networks ?? []).filter((link) => link.up || link.receive_bytes_per_second);
  keyed(card.querySelector("[data-networks]"), shown, (link) => link.name, () => fromTemplate("network-line"), drawNetwork);
  card.querySelector("[data-no-networks]").hidden = shown.length > 0;
}

function drawDisk(line, disk) {
  setText(line.querySelector("[data-name]"), disk.mount);
  const silent = line.querySelector("[data-silent]");
  silent.hidden = disk.why?.total_bytes !== "stale";
  silent.title = "This file system does not answer";
  meter(line, "used", share(disk.used_bytes, disk.total_bytes));
  figure(field(line, "free"), disk.free_bytes, bytes, "stale", "this machine");
  figure(field(line, "read"), disk.read_bytes_per_second, rate, "unsupported", disk.device);
  figure(field(line, "write"), disk.write_bytes_per_second, rate, "unsupported", disk.device);
}

function drawNetwork(line, link) {
  setText(line.querySelector("[data-name]"), link.name);
  const speed = link.speed_mbps;
  setText(line.querySelector("[data-speed]"), speed ? (speed >= 1000 ? `${count(speed / 1000)[0]} Gbit/s` : `${speed} Mbit/s`) : "");
  figure(field(line, "receive"), link.receive_bytes_per_second, rate, "unsupported", link.name);
  figure(field(line, "transmit"), link.transmit_bytes_per_second, rate, "unsupported", link.name);
}
