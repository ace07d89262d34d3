// The search page: `/` begins, suggestions while one types, a search that is meant is noted, saving.
const form = document.getElementById("search-form");
const field = document.getElementById("search-q");
const list = document.getElementById("search-suggestions");
const PAUSE_MS = 120;
const WIDE = matchMedia("(min-width: 1200px)");
let later = 0;
let asked = 0;
let noted = "";

for (const element of document.querySelectorAll("details[data-wide-open]")) element.open = WIDE.matches;

/** The word at the cursor: where it begins, ends, and what it is. A quoted value belongs to its filter. */
function wordAtCursor() {
  const end = field.selectionStart ?? field.value.length;
  const before = field.value.slice(0, end);
  const found = before.match(/-?[a-z]{2,12}:"[^"]*$|[^\s(]*$/);
  return { begin: end - found[0].length, end, text: found[0] };
}

function close() {
  list.hidden = true;
  list.replaceChildren();
  field.setAttribute("aria-expanded", "false");
  field.removeAttribute("aria-activedescendant");
}

async function suggest() {
  const { text } = wordAtCursor();
  const mine = ++asked;
  if (text.replace("-", "").length < 2) return close();
  const answer = await fetch(`${form.dataset.suggest}?word=${encodeURIComponent(text)}`);
  if (mine !== asked || !answer.ok || answer.redirected || document.activeElement !== field) return;
  list.innerHTML = await answer.text(); // our own server's template, every value escaped
  list.hidden = !list.children.length;
  field.setAttribute("aria-expanded", String(!list.hidden));
  field.removeAttribute("aria-activedescendant");
}

function choose(option) {
  const { begin, end } = wordAtCursor();
  const tail = option.hasAttribute("data-open") ? "" : " ";
  const word = option.dataset.word + tail;
  field.setRangeText(word, begin, end, "end");
  close();
  field.focus();
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

function move(step) {
  const options = [...list.children];
  const here = options.findIndex((one) => one.getAttribute("aria-selected") === "true");
  const next = options[(here + step + options.length + (here < 0 && step < 0 ? 1 : 0)) % options.length];
  for (const one of options) one.setAttribute("aria-selected", String(one === next));
  field.setAttribute("aria-activedescendant", next.id);
  next.scrollIntoView({ block: "nearest" });
}

/** A search that somebody pressed Enter for, or whose hit was opened, is noted; not each letter. */
function note() {
  const text = field.value.trim();
  if (!text || text === noted) return;
  noted = text;
  const token = JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRFToken"];
  fetch(form.dataset.recent, {
    method: "POST",
    keepalive: true,
    headers: { "X-CSRFToken": token, "Content-Type": "application/x-www-form-urlencoded" },
    body: new URLSearchParams({ q: text }),
  });
}

field.addEventListener("input", () => {
  clearTimeout(later);
  later = setTimeout(suggest, PAUSE_MS);
});
field.addEventListener("blur", () => setTimeout(close, 150));
field.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !list.hidden) {
    event.preventDefault();
    close();
  } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && !list.hidden) {
    event.preventDefault();
    move(event.key === "ArrowDown" ? 1 : -1);
  } else if (event.key === "Enter" || event.key === "Tab") {
    const chosen = list.querySelector('[aria-selected="true"]');
    if (chosen && !list.hidden) {
      event.preventDefault();
      choose(chosen);
    } else if (event.key === "Enter") {
      close();
      note();
    }
  }
});
list.addEventListener("pointerdown", (event) => {
  const option = event.target.closest("[role=option]");
  if (!option) return;
  event.preventDefault();
  choose(option);
});
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  field.focus();
  field.select();
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-replace]");
  if (button) {
    // `tol:Bash` becomes `tool:Bash`: an `instead` that ends in a colon keeps the value.
    const { replace, with: instead } = button.dataset;
    const word = instead.endsWith(":") ? instead + replace.slice(replace.indexOf(":") + 1) : instead;
    field.value = field.value.replace(replace, word);
    field.dispatchEvent(new Event("input", { bubbles: true }));
  } else if (event.target.closest(".search-open, .search-titled a")) {
    note();
  }
});
document.addEventListener("htmx:configRequest", (event) => {
  if (event.target === form) {
    for (const name of ["sort", "by"]) if (!form.elements[name].value) event.detail.parameters.delete(name);
  }
  if (!event.target.closest("[data-search-save]")) return;
  event.detail.parameters.set("query", field.value);
  event.detail.parameters.set("sort", form.elements.sort.value);
});
