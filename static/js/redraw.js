// When a launch changes, the pieces of the page that show it are fetched again, or their progress is moved.
import { on } from "./live.js";
import { setText } from "./dom.js";
import { bytes, words } from "./format.js";

const DEBOUNCE_MS = 120;
const AGAIN_MS = 1500;
const timers = new WeakMap();

function redraw(element) {
  clearTimeout(timers.get(element));
  timers.set(
    element,
    setTimeout(() => {
      if (element.isConnected) window.htmx.trigger(element, "redraw");
    }, DEBOUNCE_MS),
  );
}

function concerns(element, frame) {
  const { launch, definition, node } = element.dataset;
  if (launch && launch === frame.launch) return true;
  return definition === frame.definition && (!node || !frame.node || node === frame.node);
}

/** Move bar and words in place; false where the piece must be fetched again instead. */
function moveProgress(element, frame) {
  const line = element.querySelector("[data-progress]");
  if (!line || !frame.progress || frame.html_stale || element.dataset.state !== frame.state) return false;
  const { done_bytes: done, total_bytes: total, message } = frame.progress;
  const percent = total && done !== null ? Math.min(100, (100 * done) / total) : null;
  const bar = line.querySelector(".bar");
  bar.classList.toggle("unknown", percent === null);
  bar.firstElementChild.style.width = `${percent ?? 0}%`;
  if (percent === null) bar.removeAttribute("aria-valuenow");
  else bar.setAttribute("aria-valuenow", Math.round(percent));
  if (message) setText(line.querySelector("[data-progress-message]"), message);
  const amount = percent !== null ? `${words(bytes, done)} of ${words(bytes, total)}` : done ? `${words(bytes, done)} so far` : "";
  setText(line.querySelector("[data-progress-amount]"), amount);
  return true;
}

function launchChanged(frame) {
  let seen = false;
  for (const element of document.querySelectorAll("[data-redraw]:not([data-redraw='list'])")) {
    if (!concerns(element, frame)) continue;
    seen = true;
    if (!moveProgress(element, frame)) redraw(element);
  }
  if (!seen) document.querySelectorAll("[data-redraw='list']").forEach(redraw);
}

on("launch", launchChanged);
// The page's own actions answer with the same event, so that it moves even without the socket.
document.addEventListener("launch-changed", (event) => launchChanged(event.detail));
// A request may be cut by the network itself: Chromium ends those in flight when a container's interface appears.
document.addEventListener("htmx:sendError", ({ detail }) => {
  if (detail.elt.matches("[data-redraw]")) setTimeout(() => redraw(detail.elt), AGAIN_MS);
});
// Whatever happened while the link was away is fetched when it is back.
let connectedBefore = false;
on("hello", () => {
  if (connectedBefore) document.querySelectorAll("[data-redraw]").forEach(redraw);
  connectedBefore = true;
});
