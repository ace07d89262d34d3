// Counts down the time that a start has to go; once it is over all that earlier starts took, it says so.
import { setText } from "./dom.js";
import { span } from "./format.js";

const since = new WeakMap();

function paint() {
  if (document.hidden) return;
  for (const element of document.querySelectorAll("[data-to-go][data-median]")) {
    if (!since.has(element)) since.set(element, Date.now());
    const gone = (Date.now() - since.get(element)) / 1000;
    setText(element, sentence(element.dataset, gone));
  }
}

function sentence({ median, low, high, starts }, gone) {
  const of = starts === "1" ? "the one earlier start" : `${starts} earlier starts`;
  if (Number(high) - gone < -5) return `Longer than ${of}`;
  const left = (seconds) => rounded(Math.max(0, Number(seconds) - gone));
  const [middle, least, most] = [left(median), left(low), left(high)];
  const range = least === most ? "" : `, ${least} to ${most}`;
  return `About ${middle}${range} to go, by ${of}`;
}

/** Seconds as one would say them: 20 s, 3 min. */
function rounded(seconds) {
  if (seconds < 10) return span(seconds);
  return span(seconds < 57.5 ? 5 * Math.round(seconds / 5) : 60 * Math.round(seconds / 60));
}

setInterval(paint, 1000);
document.addEventListener("visibilitychange", paint);
