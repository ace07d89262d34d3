// What engines say of their own work: requests, KV cache, tokens a second.
import { on } from "./live.js";
import { count, figure, percent } from "./format.js";

const tokens = (value) => [count(value)[0], "tokens/s"];
const FORMATS = {
  requests_running: count,
  requests_waiting: count,
  kv_cache_percent: percent,
  prompt_tokens_per_second: tokens,
  generation_tokens_per_second: tokens,
};

on("engine", ({ member, launch, engine }) => {
  const places = document.querySelectorAll(`[data-engine="${CSS.escape(member)}"]`);
  for (const place of places) {
    for (const element of place.querySelectorAll("[data-engine-figure]")) {
      const name = element.dataset.engineFigure;
      figure(element, engine[name], FORMATS[name], engine.why?.[name], "the engine");
    }
  }
  // The first figures of an engine: the piece that will show them is fetched again.
  if (places.length === 0 && launch) {
    const shown = document.querySelectorAll(`[data-redraw][data-launch="${CSS.escape(launch)}"][data-state="ready"]`);
    for (const piece of shown) if (piece.matches("[data-engine-wanted]")) window.htmx.trigger(piece, "redraw");
  }
});
