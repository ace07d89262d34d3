// Figures as people read them. Unknown is a dash with the reason, never 0.

const REASONS = {
  unsupported: (subject) => `Not reported by ${subject}`,
  stale: () => "No fresh figure: the driver does not answer",
  hidden: () => "Hidden: the driver does not show processes here",
  estimated: () => "Estimated",
};
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });

export const percent = (value) => [whole.format(value), "%"];
export const watts = (value) => [value < 100 ? tenth.format(value) : whole.format(value), "W"];
export const celsius = (value) => [whole.format(value), "°C"];
export const megahertz = (value) => [whole.format(value), "MHz"];
export const count = (value) => [whole.format(value), ""];
export const load = (value) => [value.toFixed(2), ""];

/** Memory and disks, in powers of 1024. */
export function bytes(value) {
  for (const [unit, size] of [["TiB", 2 ** 40], ["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]]) {
    if (value >= size) return [value / size >= 100 ? whole.format(value / size) : tenth.format(value / size), unit];
  }
  return [whole.format(value), "B"];
}

/** Traffic, in powers of 1000. */
export function rate(value) {
  for (const [unit, size] of [["GB/s", 1e9], ["MB/s", 1e6], ["kB/s", 1e3]]) {
    if (value >= size * 0.9995) return [value / size >= 100 ? whole.format(value / size) : tenth.format(value / size), unit];
  }
  return [whole.format(value), "B/s"];
}

/** A span of seconds in its two largest units: "3 d 4 h", "12 min", "8 s". */
export function span(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return two(s, 3600, "h", 60, "min");
  return two(s, 86400, "d", 3600, "h");
}

function two(s, large, largeUnit, small, smallUnit) {
  const rest = Math.floor((s % large) / small);
  return `${Math.floor(s / large)} ${largeUnit}${rest ? ` ${rest} ${smallUnit}` : ""}`;
}

/** Value and unit as one string. */
export function words(format, value) {
  const [number, unit] = format(value);
  return unit ? `${number} ${unit}` : number;
}

/** Why a figure is missing, as a sentence. */
export function reason(why, subject) {
  return (REASONS[why] ?? (() => "Not reported"))(subject);
}

/** Draw a figure into an element: number and unit, or a dash that says why. */
export function figure(element, value, format, why, subject) {
  if (!element) return;
  const missing = value === null || value === undefined;
  const estimated = !missing && why === "estimated";
  const text = missing ? "–" : (estimated ? "≈ " : "") + words(format, value);
  if (element.dataset.drawn !== text) {
    element.dataset.drawn = text;
    element.textContent = text;
  }
  mark(element, missing, missing || estimated ? reason(why, subject) : "");
}

/** Show or take away the dash's explanation. */
export function mark(element, missing, sentence) {
  element.classList.toggle("unknown", missing);
  if (!sentence) {
    if (element.title) for (const name of ["title", "tabindex", "aria-label"]) element.removeAttribute(name);
  } else if (element.title !== sentence) {
    element.title = sentence;
    element.tabIndex = 0;
    element.setAttribute("aria-label", missing ? `unknown: ${sentence}` : `${element.textContent}, ${sentence}`);
  }
}
