// Requests and tokens over time, by model.
import { countsPanel } from "./counts_panel.js";

const parent = document.querySelector("[data-usage-panels]");

if (parent) {
  const use = JSON.parse(document.getElementById("usage-data").textContent);
  countsPanel(parent, "usage-panel", "Tokens written by model", use, "tokens");
  countsPanel(parent, "usage-panel", "Requests by model", use, "requests");
}
