// Pieces of a page that show runs of tools are fetched again when one of these runs changes.
import { on } from "./live.js";

const DEBOUNCE_MS = 250;
let later = 0;

on("tool_run", (frame) => {
  clearTimeout(later);
  later = setTimeout(() => {
    for (const element of document.querySelectorAll("[data-tool-runs]")) {
      if (!element.dataset.toolRun || element.dataset.toolRun === frame.run) window.htmx.trigger(element, "redraw");
    }
  }, DEBOUNCE_MS);
});
