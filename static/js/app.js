// What every page runs.
import "./ages.js";
import "./alerts.js";
import "./copy.js";
import "./dialogs.js";
import "./engine_figures.js";
import "./freshness.js";
import "./link_state.js";
import "./redraw.js";
import "./requests.js";
import "./tabs.js";
import "./time_to_go.js";
import "./toast.js";
import { start } from "./live.js";

// Every module of the page has run by then, so none misses the first frames.
if (document.body.hasAttribute("data-live")) document.addEventListener("DOMContentLoaded", start);
