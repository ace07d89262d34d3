// What a session's page shows on demand: folds with data-load, whole records, more of a sub-agent.
import { toast } from "./toast.js";
import { fragment } from "./session_windows.js";

const FAILED = "This did not come; try again in a moment";

/** Ready a piece of page that was just put in. */
export function settle(root) {
  window.htmx?.process(root);
  for (const fold of root.querySelectorAll("details[data-load][open]")) load(fold);
}

async function load(fold) {
  const place = fold.querySelector(":scope > .tr-loaded");
  if (fold.dataset.state === "loading" || (fold.dataset.state === "loaded" && !fold.hasAttribute("data-agent"))) return;
  const first = fold.dataset.state !== "loaded";
  fold.dataset.state = "loading";
  if (first) place.textContent = "Loading…";
  try {
    place.replaceChildren(await fragment(fold.dataset.load));
    fold.dataset.state = "loaded";
    settle(place);
    fold.dispatchEvent(new CustomEvent("session:loaded", { bubbles: true }));
  } catch {
    fold.dataset.state = "";
    place.textContent = FAILED;
  }
}

document.addEventListener("toggle", (event) => {
  if (event.target.open && event.target.matches?.("details[data-load]")) load(event.target);
}, true); // toggle does not bubble

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-whole], [data-step]");
  if (!button) return;
  button.disabled = true;
  try {
    if (button.dataset.whole) await whole(button);
    else await step(button);
  } catch {
    button.disabled = false;
    toast(FAILED, { tone: "bad" });
  }
});

async function whole(button) {
  const article = button.closest("article");
  const fresh = (await fragment(button.dataset.whole)).querySelector("article");
  fresh.append(...article.querySelectorAll(":scope > .tr-notes"));
  article.replaceWith(fresh);
  settle(fresh);
  fresh.tabIndex = -1;
  fresh.focus({ preventScroll: true });
}

async function step(button) {
  const content = await fragment(button.dataset.step);
  const { where } = button.dataset;
  // The window that comes has steps in both directions; the one back to here is not needed.
  const back = content.querySelector(`.tr-step[data-where="${where === "after" ? "before" : "after"}"]`);
  back?.remove();
  const fresh = [...content.querySelector(".tr-window").childNodes];
  button.replaceWith(...fresh);
  for (const node of fresh) if (node.nodeType === 1) settle(node);
}
