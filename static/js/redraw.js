// When a launch changes, the pieces of the page that show it are fetched again, or their progress is moved.
import { on } from "./live.js";
import { setText } from "./dom.js";

const DEBOUNCE_MS = 120;
const PROGRESS_EVERY_MS = 5000;
const timers = new WeakMap();
const redrawnAt = new WeakMap();

function redraw(element) {
  clearTimeout(timers.get(element));
  timers.set(
    element,
    setTimeout(() => {
      redrawnAt.set(element, performance.now());
      if (element.isConnected) window.htmx.trigger(element, "redraw");
    }, DEBOUNCE_MS),
  );
}

function concerns(element, frame) {
  const { launch, definition, node } = element.dataset;
  if (launch && launch === frame.launch) return true;
  return definition === frame.definition && (!node || !frame.node || node === frame.node);
}

/** Move bar and words in place; say whether that was enough. */
function moveProgress(element, frame) {
  const line = element.querySelector("[data-progress]");
  if (!line || !frame.progress || element.dataset.state !== frame.state) return false;
  const { percent, message } = frame.progress;
  const bar = line.querySelector(".bar");
  bar.classList.toggle("unknown", percent === null || percent === undefined);
  if (percent !== null && percent !== undefined) {
    bar.firstElementChild.style.width = `${percent}%`;
    bar.setAttribute("aria-valuenow", Math.round(percent));
  } else {
    bar.removeAttribute("aria-valuenow");
  }
  if (message) setText(line.querySelector("[data-progress-message]"), message);
  return performance.now() - (redrawnAt.get(element) ?? 0) < PROGRESS_EVERY_MS;
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
// Whatever happened while the link was away is fetched when it is back.
let connectedBefore = false;
on("hello", () => {
  if (connectedBefore) document.querySelectorAll("[data-redraw]").forEach(redraw);
  connectedBefore = true;
});
