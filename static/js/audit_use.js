// Use of tools over time: runs and failures, by tool and by person.
import { countsPanel } from "./counts_panel.js";

const TITLES = { tool: { runs: "Runs by tool", failed: "Failures by tool" }, user: { runs: "Runs by person", failed: "Failures by person" } };
const parent = document.querySelector("[data-use-panels]");

if (parent) {
  const uses = JSON.parse(document.getElementById("use-data").textContent);
  for (const by of ["tool", "user"]) for (const what of ["runs", "failed"]) countsPanel(parent, "use-panel", TITLES[by][what], uses[by], what);
}
