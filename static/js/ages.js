// Keeps "4 min ago" and running durations right, by the server's clock.
import { setText } from "./dom.js";
import { span } from "./format.js";
import { on } from "./live.js";

let ahead = Number(document.body.dataset.serverTime) * 1000 - Date.now() || 0;

/** The server's time in milliseconds, as far as this page knows. */
export function serverNow() {
  return Date.now() + ahead;
}

function paint() {
  if (document.hidden) return;
  for (const element of document.querySelectorAll("time[data-age]")) {
    const seconds = (serverNow() - Date.parse(element.dateTime)) / 1000;
    setText(element, element.dataset.age === "span" ? span(seconds) : seconds < 5 ? "just now" : `${span(seconds)} ago`);
  }
}

on("hello", (frame) => {
  const at = typeof frame.server_time === "number" ? frame.server_time * 1000 : Date.parse(frame.server_time);
  if (at) ahead = at - Date.now();
});
setInterval(paint, 1000);
document.addEventListener("visibilitychange", paint);
document.addEventListener("htmx:afterSwap", paint);
paint();
