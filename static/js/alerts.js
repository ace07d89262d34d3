// How many alerts fire, beside the word in the navigation; the page of alerts fetches its part again.
import { setText } from "./dom.js";
import { on } from "./live.js";

on("alerts", ({ firing }) => {
  for (const badge of document.querySelectorAll("[data-alerts-firing]")) {
    setText(badge, String(firing));
    badge.hidden = !firing;
  }
  const part = document.getElementById("alerts-firing");
  if (part) window.htmx.trigger(part, "alerts-changed");
});
