// The page of a session: moving by landmarks, keys, the outline, and growth while one reads.
import { announce } from "./dom.js";
import { settle } from "./session_folds.js";
import { follow } from "./session_live.js";
import { scrollToEnd, Windows } from "./session_windows.js";

const thread = document.querySelector("[data-thread]");
const outline = document.getElementById("outline");
const windows = new Windows(thread, settle);
let current = null; // the record that a jump went to, while it still is the one read
let reached = 0; // where the page stood after that jump

settle(document.querySelector(".reader"));
follow(thread, windows);
arrive();

function top() {
  const bar = document.querySelector(".reader-bar").getBoundingClientRect();
  return Math.max(0, bar.bottom) + 8;
}

function messages() {
  return thread.querySelectorAll(".tw > article");
}

/** The record being read: the first one that reaches below the bar. */
function here() {
  if (current?.isConnected && Math.abs(scrollY - reached) < 4) return current;
  const edge = top();
  return [...messages()].find((one) => one.getBoundingClientRect().bottom > edge + 4) ?? [...messages()].at(-1) ?? null;
}

/** Bring a record to the top; what is loaded above it meanwhile may move it, so look again. */
async function show(article) {
  for (let round = 0; round < 4; round += 1) {
    article.scrollIntoView({ block: "start" });
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  }
  current = article;
  reached = scrollY;
  for (const one of thread.querySelectorAll(".tr.is-here")) one.classList.remove("is-here");
  article.classList.add("is-here");
  article.tabIndex = -1;
  article.focus({ preventScroll: true });
}

async function goTo(record, number) {
  const section = await windows.get(number);
  const article = section?.querySelector(`#r${record}`);
  if (article) await show(article);
  return Boolean(article);
}

async function go(kind, back) {
  if (kind === "start" || kind === "end") return goEdge(kind);
  const from = here();
  if (!from) return;
  const answer = await fetch(`${thread.dataset.jumpUrl}kind=${kind}&from=${from.dataset.record}${back ? "&back=1" : ""}`);
  if (answer.status === 204) return announce(`No ${back ? "earlier" : "further"} ${kind}`);
  if (!answer.ok) return;
  const { record, window: number } = await answer.json();
  await goTo(record, number);
}

async function goEdge(kind) {
  await windows.get(kind === "start" ? 0 : windows.last);
  if (kind === "start") scrollTo(0, 0);
  else await scrollToEnd();
}

/** The page was opened at a record: go there, also when sub-agents have to open first. */
function arrive() {
  const wanted = thread.dataset.at;
  if (!wanted) return;
  const found = () => document.getElementById(`r${wanted}`);
  if (found()) return show(found());
  document.addEventListener("session:loaded", () => {
    if (thread.dataset.at && found()) {
      thread.dataset.at = "";
      show(found());
    }
  });
}

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-go]");
  if (button) go(button.dataset.go, button.hasAttribute("data-back"));
  if (event.target.closest?.("[data-keys]")) document.getElementById("keys").showModal();
  if (event.target.closest?.("[data-outline-open]")) openOutline();
  if (event.target.closest?.("[data-outline-close]")) outline.classList.remove("is-open");
  const link = event.target.closest?.("a[data-jump]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  outline.classList.remove("is-open");
  if (!link.dataset.window || link.dataset.window === "None") return; // its place is found by the server
  event.preventDefault();
  goTo(link.dataset.jump, Number(link.dataset.window)).then((done) => done || location.assign(link.href));
});

document.querySelector(".reader-search")?.addEventListener("submit", (event) => {
  event.preventDefault();
  const { action, dataset, elements } = event.target;
  location.assign(`${action}?q=${encodeURIComponent(`session:${dataset.session} ${elements.q.value}`)}`);
});

function openOutline() {
  outline.classList.add("is-open");
  outline.querySelector("[name=text]").focus();
}

const KEYS = {
  j: () => go("prompt"), n: () => go("prompt"), k: () => go("prompt", true), p: () => go("prompt", true),
  e: () => go("error"), E: () => go("error", true), f: () => go("file"), F: () => go("file", true),
  g: () => go("start"), G: () => go("end"), o: openOutline,
  "?": () => document.getElementById("keys").showModal(),
  "/": () => document.querySelector(".reader-search input")?.focus(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, textarea, select, dialog")) return;
  const act = KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") outline.classList.remove("is-open");
});
