// A running session grows while one reads: asked each second while the page is seen, quietly.
import { settle } from "./session_folds.js";
import { scrollToEnd } from "./session_windows.js";

const EVERY_MS = 1000;
const IDLE_MS = 5000; // once nothing came for a while
const IDLE_AFTER = 120;
const END_PX = 160; // so near to the end counts as reading there

/** Follow what is appended to the session of `thread`. */
export function follow(thread, windows) {
  const pill = document.querySelector("[data-new]");
  let fresh = 0;
  let quiet = 0;

  const atEnd = () => document.documentElement.scrollHeight - innerHeight - scrollY < END_PX;

  const tell = (count) => {
    fresh = count;
    pill.hidden = fresh === 0;
    pill.querySelector("[data-new-count]").textContent = fresh;
  };

  async function ask() {
    const url = `${thread.dataset.part}window=${windows.last}&since=${thread.dataset.lines}`;
    const answer = await fetch(url, { headers: { "HX-Request": "true" } });
    if (answer.status === 204 || !answer.ok) {
      quiet += 1;
      return;
    }
    quiet = 0;
    const holder = document.createElement("template");
    holder.innerHTML = await answer.text();
    const grown = holder.content.querySelector("[data-grown]");
    if (grown) take(grown);
  }

  function take(grown) {
    const follows = atEnd();
    let added = 0;
    thread.dataset.windows = grown.dataset.windows;
    windows.grow(Number(grown.dataset.windows));
    for (const section of grown.querySelectorAll(".tw")) {
      added += merge(windows.sections[Number(section.dataset.window)], section);
    }
    for (const article of grown.querySelectorAll("[data-updates] > article")) renew(article);
    const head = grown.querySelector("#session-head");
    if (head) renewHead(head);
    thread.dataset.lines = grown.dataset.lines;
    if (follows) scrollToEnd();
    else if (added) tell(fresh + added);
  }

  /** Put what is new of a window into the one on the page; what did not change stays, open folds too. */
  function merge(section, fresh) {
    if (!section || section.dataset.state === "loading") return 0;
    if (section.dataset.state !== "loaded") {
      section.style.height = "";
      section.dataset.state = "loaded";
    }
    const known = new Map([...section.children].filter((one) => one.id).map((one) => [one.id, one]));
    let added = 0;
    for (const child of [...fresh.children]) {
      const old = child.id && known.get(child.id);
      if (old && old.dataset.stamp === child.dataset.stamp) continue;
      if (old) old.replaceWith(child);
      else if (child.id) {
        section.append(child);
        added += 1;
      } else {
        section.querySelector(":scope > .tr-alone")?.remove();
        section.prepend(child);
      }
      settle(child);
    }
    return added;
  }

  function renewHead(head) {
    const old = document.getElementById("session-head");
    for (const fold of old.querySelectorAll("details[id][open]")) {
      head.querySelector(`#${fold.id}`)?.setAttribute("open", "");
    }
    old.replaceWith(head);
  }

  function renew(article) {
    const old = document.getElementById(article.id);
    if (!old || old.dataset.stamp === article.dataset.stamp) return;
    old.replaceWith(article);
    settle(article);
  }

  async function loop() {
    try {
      if (!document.hidden) await ask();
    } catch {
      quiet += 1; // the link state says that SparkWeb does not answer
    }
    setTimeout(loop, quiet > IDLE_AFTER ? IDLE_MS : EVERY_MS);
  }

  pill.addEventListener("click", async () => {
    await windows.get(windows.last);
    await scrollToEnd();
    tell(0);
  });
  addEventListener("scroll", () => fresh && atEnd() && tell(0), { passive: true });
  document.addEventListener("visibilitychange", () => { quiet = 0; });
  setTimeout(loop, EVERY_MS);
}
