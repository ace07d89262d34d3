// Short results of actions, at the edge of the page. The server sends them as HX-Trigger: {"toast": {message, tone}}.
import { make } from "./dom.js";

const STAYS_MS = { good: 5000, warn: 9000, bad: 12000 };

/** Show a sentence; errors stay longer. */
export function toast(message, { tone = "good" } = {}) {
  const item = make("li", "toast-item");
  item.dataset.tone = tone;
  item.setAttribute("role", tone === "bad" ? "alert" : "status");
  const close = make("button", "", "×");
  close.type = "button";
  close.setAttribute("aria-label", "Dismiss");
  close.addEventListener("click", () => item.remove());
  item.append(make("span", "mark"), make("span", "grow", message), close);
  document.getElementById("toasts").append(item);
  leaveLater(item, STAYS_MS[tone] ?? STAYS_MS.good);
}

function leaveLater(item, after) {
  let timer = setTimeout(() => item.remove(), after);
  item.addEventListener("pointerenter", () => clearTimeout(timer));
  item.addEventListener("pointerleave", () => {
    timer = setTimeout(() => item.remove(), 2000);
  });
}

document.addEventListener("toast", (event) => toast(event.detail.message, { tone: event.detail.tone }));
for (const said of document.querySelectorAll("[data-toast]")) {
  toast(said.textContent.trim(), { tone: said.dataset.toast });
}
