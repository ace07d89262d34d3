// The page of self-tests: fetched again when one moved.
import { on } from "./live.js";

function changed() {
  for (const element of document.querySelectorAll("[data-sandbox-selftests]")) window.htmx.trigger(element, "redraw");
}

on("sandbox_selftest", changed);
// The page's own button answers with this event, so that it moves even without the socket.
document.addEventListener("sandbox-selftest-changed", changed);
