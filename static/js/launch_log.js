// The live log of one member: follow, pause, search, wrap, and marks where lines are missing.
import { make, setText } from "./dom.js";
import { schedule } from "./frame.js";
import { on, send } from "./live.js";
import { coloured } from "./log_colours.js";
import { LogHistory } from "./log_history.js";

const MOST_LINES = 4000;
const MOST_LINES_BACK = 20000; // while someone reads further up
const STAMP = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z?)\s?(.*)$/s;
const ERROR = /\b(ERROR|CRITICAL|FATAL|Traceback|Exception|Error:)/;
const WARNING = /\bWARN(ING)?\b/;

class Log {
  constructor(root) {
    this.root = root;
    this.box = root.querySelector("[data-log-lines]");
    this.member = root.dataset.member;
    this.offset = "0";
    this.waiting = []; // not yet on the page
    this.lastTop = 0;
    this.paused = false;
    this.following = true;
    this.current = -1;
    this.flushLater = () => this.flush();
    this.listen();
    this.connectButtons();
    this.history = new LogHistory(root, this);
    const kept = JSON.parse(root.querySelector("#kept-log").textContent);
    this.add(kept.lines.map(item));
    this.history.reset(kept.whole ? kept.before_line : undefined);
  }

  listen() {
    const mine = (work) => (frame) => frame.member === this.member && work(frame);
    on("hello", () => this.open());
    on("log", mine((frame) => this.received(frame)));
    on("log_gap", mine((frame) => this.add([{ mark: gapWords(frame) }])));
    on("log_reset", mine(() => this.clear()));
    on("log_end", mine(() => this.add([{ mark: "The container has ended; this is its whole log" }])));
  }

  open() {
    if (this.member && this.root.dataset.live === "yes") send({ type: "log_open", member: this.member, after: this.offset });
  }

  /** A new attempt has a new member: show its log instead. */
  follow(member) {
    if (!member || member === this.member || "pinned" in this.root.dataset) return;
    send({ type: "log_close", member: this.member });
    this.member = member;
    this.offset = "0";
    this.root.dataset.live = "yes";
    this.clear();
    this.history.reset(undefined);
    this.add([{ mark: "A new attempt" }]);
    this.open();
  }

  received(frame) {
    if (frame.offset) this.offset = frame.offset;
    this.add(frame.lines.map((text) => ({ text })));
  }

  add(items) {
    this.waiting.push(...items);
    if (this.waiting.length > MOST_LINES) this.waiting.splice(0, this.waiting.length - MOST_LINES);
    if (!this.paused) schedule(this.flushLater);
    else this.countLines();
  }

  flush() {
    const fragment = document.createDocumentFragment();
    for (const item of this.waiting) fragment.append(this.row(item));
    this.waiting = [];
    this.box.append(fragment);
    const most = this.following ? MOST_LINES : MOST_LINES_BACK;
    if (this.box.childElementCount > most) {
      while (this.box.childElementCount > most) this.box.firstElementChild.remove();
      this.history.reset(undefined);
    }
    this.root.querySelector("[data-log-empty]").hidden = this.box.childElementCount > 0;
    this.countLines();
    if (this.following) this.box.scrollTop = this.box.scrollHeight;
  }

  row(entry) {
    if (entry.mark) return make("div", "log-mark", entry.mark);
    const row = this.line(entry.text);
    if (entry.line !== undefined) row.dataset.line = entry.line;
    return row;
  }

  /** Lines that came before those on the page; what is read stays where it is. */
  prepend(lines) {
    const fragment = document.createDocumentFragment();
    for (const line of lines) fragment.append(this.row(item(line)));
    const { scrollTop, scrollHeight } = this.box;
    this.setFollowing(false);
    this.box.prepend(fragment);
    this.box.scrollTop = scrollTop + this.box.scrollHeight - scrollHeight;
    this.root.querySelector("[data-log-empty]").hidden = this.box.childElementCount > 0;
    this.countLines();
  }

  /** Show kept lines instead of the newest, and the one that was looked for in the middle. */
  replace(lines, wanted) {
    if (this.root.dataset.live === "yes") send({ type: "log_close", member: this.member });
    this.away = true;
    this.clear();
    this.prepend(lines);
    const row = this.box.querySelector(`[data-line="${wanted}"]`);
    row?.classList.add("is-current");
    row?.scrollIntoView({ block: "center" });
    this.lastTop = this.box.scrollTop;
  }

  /** The time of the first line on the page, as the server writes it; "" without one. */
  firstTime() {
    return this.box.querySelector("time")?.dateTime ?? "";
  }

  focusSearch() {
    this.root.querySelector("[data-log-search]").focus();
  }

  line(raw) {
    const [, stamp, text] = STAMP.exec(raw) ?? [null, "", raw];
    const row = make("div", "log-line");
    if (stamp) {
      const time = make("time", "", stamp.slice(11, 19));
      time.dateTime = stamp;
      time.title = stamp;
      row.append(time);
    }
    const span = coloured(text.replace(/\r$/, ""));
    const words = span.textContent;
    row.append(span);
    if (ERROR.test(words)) row.classList.add("is-error");
    else if (WARNING.test(words)) row.classList.add("is-warn");
    if (this.query) row.classList.toggle("is-match", words.toLowerCase().includes(this.query));
    return row;
  }

  clear() {
    this.waiting = [];
    this.box.replaceChildren();
    this.countLines();
  }

  countLines() {
    const count = this.box.getElementsByClassName("log-line").length;
    const held = this.paused && this.waiting.length ? `, ${this.waiting.length} waiting` : "";
    setText(this.root.querySelector("[data-log-count]"), count ? `${count.toLocaleString("en")} lines${held}` : held.slice(2));
    if (this.query) this.showMatches();
  }

  // -- Buttons ----------------------------------------------------------------

  connectButtons() {
    const button = (name) => this.root.querySelector(`[data-log-${name}]`);
    const toggle = (name, work) =>
      button(name).addEventListener("click", () => {
        const pressed = button(name).getAttribute("aria-pressed") !== "true";
        button(name).setAttribute("aria-pressed", String(pressed));
        work(pressed);
      });
    toggle("wrap", (pressed) => this.box.classList.toggle("wraps", pressed));
    toggle("only", (pressed) => this.box.classList.toggle("only-matches", pressed && Boolean(this.query)));
    toggle("pause", (pressed) => this.pause(pressed));
    button("follow").addEventListener("click", () => this.setFollowing(true));
    this.box.addEventListener("scroll", () => this.scrolled(), { passive: true });
    const search = button("search");
    search.addEventListener("input", () => this.search(search.value));
    search.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.step(event.shiftKey ? -1 : 1);
      if (event.key === "Escape") this.search((search.value = ""));
    });
  }

  pause(paused) {
    this.paused = paused;
    if (!paused) schedule(this.flushLater);
    this.countLines();
  }

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.box;
    const atEnd = scrollHeight - scrollTop - clientHeight < 30;
    const up = scrollTop < this.lastTop - 2; // lines that grow below are no reason to stop following
    this.lastTop = scrollTop;
    if (atEnd && !this.following && !this.away) this.setFollowing(true);
    else if (up && !atEnd && this.following) this.setFollowing(false);
  }

  setFollowing(following) {
    this.following = following;
    this.root.querySelector("[data-log-follow]").hidden = following;
    if (following && this.away) this.comeBack();
    if (following) this.box.scrollTop = this.box.scrollHeight;
  }

  /** From kept lines to the newest again. */
  comeBack() {
    this.away = false;
    if (this.root.dataset.live !== "yes") {
      window.location.reload();
      return;
    }
    this.offset = "0";
    this.clear();
    this.history.reset(undefined);
    this.open();
  }

  search(text) {
    this.query = text.trim().toLowerCase();
    this.history.closeHits();
    this.current = -1;
    for (const row of this.box.getElementsByClassName("log-line")) {
      row.classList.remove("is-current");
      row.classList.toggle("is-match", Boolean(this.query) && row.lastElementChild.textContent.toLowerCase().includes(this.query));
    }
    const only = this.root.querySelector("[data-log-only]").getAttribute("aria-pressed") === "true";
    this.box.classList.toggle("only-matches", only && Boolean(this.query));
    this.showMatches();
    if (this.query) this.step(-1);
  }

  step(by) {
    const matches = this.box.getElementsByClassName("is-match");
    if (!matches.length) return;
    matches[this.current]?.classList.remove("is-current");
    this.current = this.current < 0 && by < 0 ? matches.length - 1 : (this.current + by + matches.length) % matches.length;
    matches[this.current].classList.add("is-current");
    this.setFollowing(false);
    matches[this.current].scrollIntoView({ block: "nearest" });
    this.showMatches();
  }

  showMatches() {
    const count = this.box.getElementsByClassName("is-match").length;
    const words = !this.query ? "" : count ? `${Math.max(0, this.current) + 1} of ${count}` : "none";
    setText(this.root.querySelector("[data-log-matches]"), words);
  }
}

/** What the server sends of one line, as this page keeps it. */
function item({ text, line, skipped }) {
  if (typeof skipped !== "number") return { text, line };
  return { mark: `${skipped ? `${skipped.toLocaleString("en")} lines` : "Lines"} are missing here` };
}

function gapWords(frame) {
  const count = typeof frame.skipped === "number" ? `${frame.skipped.toLocaleString("en")} lines` : "Lines";
  return `${count} are missing here: they came faster than they could be kept`;
}

const log = new Log(document.querySelector("[data-log]"));
document.addEventListener("htmx:afterSettle", () => log.follow(document.querySelector("[data-member-now]")?.dataset.memberNow));
