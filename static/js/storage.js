// The page of a node's storage: fetched again when the node tells something new, its bars moved each second.
import { on } from "./live.js";
import { setText } from "./dom.js";
import { bytes, words } from "./format.js";

function changed({ node }) {
  for (const element of document.querySelectorAll("[data-storage]")) {
    if (element.dataset.storage === node) window.htmx.trigger(element, "redraw");
  }
}

function moveJob({ job, done_bytes: done, total_bytes: total, message }) {
  const line = document.querySelector(`[data-storage-job="${CSS.escape(job)}"] [data-progress]`);
  if (!line) return;
  const percent = total && done !== null ? Math.min(100, (100 * done) / total) : null;
  const bar = line.querySelector(".bar");
  bar.classList.toggle("unknown", percent === null);
  bar.firstElementChild.style.width = `${percent ?? 0}%`;
  if (percent === null) bar.removeAttribute("aria-valuenow");
  else bar.setAttribute("aria-valuenow", Math.round(percent));
  if (message) setText(line.querySelector("[data-progress-message]"), message);
  setText(line.querySelector("[data-progress-amount]"), percent === null ? "" : `${words(bytes, done)} of ${words(bytes, total)}`);
}

on("storage", changed);
on("snapshot", ({ report }) => report.storage?.jobs?.forEach(moveJob));
// The page's own buttons answer with the same event, so that it moves even without the socket.
document.addEventListener("storage-changed", (event) => changed(event.detail));
