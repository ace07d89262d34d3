// The last 15 minutes of one node, as columns that charts read.

export const WINDOW_SECONDS = 900;
const GAP_SECONDS = 3.5; // reports come each second; a longer silence is drawn as a gap
const GPU_SERIES = {
  util: (gpu) => gpu.utilization_percent,
  memory: (gpu) => gpu.memory_used_bytes ?? gpu.memory_held_bytes,
  power: (gpu) => gpu.power_watts,
  temperature: (gpu) => gpu.temperature_celsius,
  clock: (gpu) => gpu.clock_sm_mhz,
};

function sum(rows, field) {
  const known = (rows ?? []).map((row) => row[field]).filter((value) => value !== null && value !== undefined);
  return known.length ? known.reduce((total, value) => total + value, 0) : null;
}

/** The chart figures of one report, by the server's series names. */
export function seriesOf(report) {
  const host = report.host ?? {};
  const values = {
    cpu: host.cpu_percent,
    memory_used: host.memory_used_bytes,
    memory_available: host.memory_available_bytes,
    load: host.load?.[0],
    net_rx: sum(host.networks, "receive_bytes_per_second"),
    net_tx: sum(host.networks, "transmit_bytes_per_second"),
    disk_read: sum(host.disks, "read_bytes_per_second"),
    disk_write: sum(host.disks, "write_bytes_per_second"),
  };
  for (const gpu of report.gpus ?? []) {
    for (const [short, read] of Object.entries(GPU_SERIES)) values[`gpu${gpu.index}_${short}`] = read(gpu);
  }
  return values;
}

export class History {
  constructor() {
    this.t = [];
    this.columns = {};
  }

  /** Take the server's columns in place of what is here. */
  load(frame) {
    this.t = [];
    this.columns = {};
    frame.t.forEach((at, index) => {
      const values = {};
      for (const [name, column] of Object.entries(frame.columns)) values[name] = column[index];
      this.append(at, values);
    });
  }

  /** Add one second. A point that is not newer than the last one is dropped. */
  append(at, values) {
    const last = this.t.at(-1);
    if (last !== undefined && at <= last) return;
    if (last !== undefined && at - last > GAP_SECONDS) this.#push((last + at) / 2, {});
    this.#push(at, values);
    while (this.t.length && this.t[0] < at - WINDOW_SECONDS - 5) this.#shift();
  }

  /** A column as long as `t`; unknown seconds are null. */
  column(name) {
    return this.columns[name] ?? (this.columns[name] = new Array(this.t.length).fill(null));
  }

  #push(at, values) {
    for (const name of Object.keys(values)) this.column(name);
    this.t.push(at);
    for (const [name, column] of Object.entries(this.columns)) column.push(values[name] ?? null);
  }

  #shift() {
    this.t.shift();
    for (const column of Object.values(this.columns)) column.shift();
  }
}
