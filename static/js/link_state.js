// Says on every page whether live figures arrive.
import { on } from "./live.js";
import { announce } from "./dom.js";

const WORDS = { open: "Live", connecting: "Connecting…", lost: "Connection lost", resting: "Paused", ended: "Logged out" };
const BANNER_AFTER_MS = 2500;
let bannerTimer = 0;

function paint(state) {
  for (const element of document.querySelectorAll("[data-link-state]")) {
    element.dataset.state = state;
    element.querySelector("[data-link-words]").textContent = WORDS[state];
  }
}

function banner(shown) {
  const element = document.querySelector("[data-lost-banner]");
  if (!element || element.hidden === !shown) return;
  element.hidden = !shown;
  announce(shown ? "Connection to SparkWeb lost. Trying again." : "Connected again.");
}

on("link", ({ state }) => {
  paint(state);
  clearTimeout(bannerTimer);
  if (state === "lost") bannerTimer = setTimeout(() => banner(true), BANNER_AFTER_MS);
  else if (state === "open") banner(false);
});
