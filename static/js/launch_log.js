// The live log of one member: follow, pause, search, wrap, and marks where lines are missing.
import { make, setText } from "./dom.js";
import { schedule } from "./frame.js";
import { on, send } from "./live.js";

const MOST_LINES = 4000;
const STAMP = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z?)\s?(.*)$/s;
const ESCAPES = /\u001b\[[0-9;?]*[ -/]*[@-~]/g; // colours and cursor moves of terminals
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
    const kept = JSON.parse(root.querySelector("#kept-log").textContent);
    if (kept.length) this.add(kept.map((text) => ({ text })));
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
    if (!member || member === this.member) return;
    send({ type: "log_close", member: this.member });
    this.member = member;
    this.offset = "0";
    this.root.dataset.live = "yes";
    this.clear();
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
    for (const item of this.waiting) fragment.append(item.mark ? make("div", "log-mark", item.mark) : this.line(item.text));
    this.waiting = [];
    this.box.append(fragment);
    while (this.box.childElementCount > MOST_LINES) this.box.firstElementChild.remove();
    this.root.querySelector("[data-log-empty]").hidden = this.box.childElementCount > 0;
    this.countLines();
    if (this.following) this.box.scrollTop = this.box.scrollHeight;
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
    const words = text.replace(ESCAPES, "").replace(/\r$/, "");
    row.append(make("span", "", words));
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
    button("save").addEventListener("click", () => this.save());
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
    if (atEnd && !this.following) this.setFollowing(true);
    else if (up && !atEnd && this.following) this.setFollowing(false);
  }

  setFollowing(following) {
    this.following = following;
    this.root.querySelector("[data-log-follow]").hidden = following;
    if (following) this.box.scrollTop = this.box.scrollHeight;
  }

  search(text) {
    this.query = text.trim().toLowerCase();
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

  save() {
    const lines = [...this.box.children].map((row) => {
      const time = row.querySelector("time");
      return row.classList.contains("log-mark") ? `--- ${row.textContent}` : `${time ? `${time.title} ` : ""}${row.lastElementChild.textContent}`;
    });
    const link = make("a");
    link.href = URL.createObjectURL(new Blob([`${lines.join("\n")}\n`], { type: "text/plain" }));
    link.download = `launch-${this.member}.log`;
    link.click();
    URL.revokeObjectURL(link.href);
  }
}

function gapWords(frame) {
  const count = typeof frame.skipped === "number" ? `${frame.skipped.toLocaleString("en")} lines` : "Lines";
  return `${count} are missing here: they came faster than they could be kept`;
}

const log = new Log(document.querySelector("[data-log]"));
document.addEventListener("htmx:afterSettle", () => log.follow(document.querySelector("[data-member-now]")?.dataset.memberNow));
