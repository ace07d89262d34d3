// The page of one run: its output as it comes, and the pieces beside it when its state changes.
import { make, setText } from "./dom.js";
import { schedule } from "./frame.js";
import { on } from "./live.js";
import { coloured } from "./log_colours.js";

const MOST_CHARACTERS = 1_000_000;
const AGAIN_MS = 2000;
// What cannot be seen, or turns what follows it around; not the escape that begins a colour.
const UNSEEN = /[\u0000-\u0008\u000b-\u001a\u001c-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]/g;

/** Text in which nothing hides. */
export function visible(text) {
  return text
    .replaceAll("\r\n", "\n")
    .replaceAll("\r", "\n")
    .replace(UNSEEN, (found) => `⟨U+${found.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

class Output {
  constructor(root) {
    this.root = root;
    this.uid = root.dataset.run;
    this.box = root.querySelector("[data-run-output]");
    this.note = root.querySelector("[data-run-note]");
    this.empty = root.querySelector("[data-run-empty]");
    this.waiting = [];
    this.length = 0;
    this.decoders = { 1: new TextDecoder(), 2: new TextDecoder() };
    this.drawLater = () => this.draw();
    if (root.dataset.live === "yes") this.follow();
    else this.kept();
  }

  kept() {
    const texts = JSON.parse(this.root.querySelector("#run-texts").textContent);
    if (texts.stdout) this.add(1, texts.stdout);
    if (texts.stderr) this.add(2, texts.stderr);
    if (!texts.stdout && !texts.stderr) this.draw();
  }

  follow() {
    this.source = new EventSource(this.root.dataset.stream);
    this.source.addEventListener("open", () => setText(this.note, ""));
    this.source.addEventListener("output", (event) => this.received(JSON.parse(event.data)));
    this.source.addEventListener("skipped", (event) => this.mark(`${JSON.parse(event.data).bytes} bytes are not shown here`));
    this.source.addEventListener("gap", () => this.mark("Something is missing here"));
    this.source.addEventListener("state", () => redraw(this.uid));
    this.source.addEventListener("end", () => this.ended());
    this.source.addEventListener("error", () => this.lost());
  }

  received({ fd, data }) {
    const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
    this.add(fd, this.decoders[fd === 2 ? 2 : 1].decode(bytes, { stream: true }));
  }

  ended() {
    this.source.close();
    this.root.dataset.live = "no";
    setText(this.note, "");
    setText(this.empty, "It wrote nothing.");
    this.draw();
    redraw(this.uid);
    // Its files come after its end.
    setTimeout(() => redraw(this.uid), AGAIN_MS);
  }

  /** EventSource tries again by itself; only a refusal ends it for good. */
  lost() {
    const over = this.source.readyState === EventSource.CLOSED;
    setText(this.note, over ? "The output cannot be followed; reload the page" : "Connecting again…");
  }

  mark(sentence) {
    this.waiting.push(make("div", "log-mark", sentence));
    schedule(this.drawLater);
  }

  add(fd, text) {
    const piece = coloured(visible(text));
    if (fd === 2) piece.classList.add("run-error");
    this.waiting.push(piece);
    schedule(this.drawLater);
  }

  draw() {
    const following = this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < 40;
    for (const piece of this.waiting) this.length += piece.textContent.length;
    this.box.append(...this.waiting);
    this.waiting = [];
    while (this.length > MOST_CHARACTERS && this.box.childElementCount > 1) {
      this.length -= this.box.firstChild.textContent.length;
      this.box.firstChild.remove();
    }
    this.empty.hidden = this.box.childElementCount > 0;
    this.box.hidden = !this.empty.hidden;
    if (following && this.root.dataset.live === "yes") this.box.scrollTop = this.box.scrollHeight;
  }
}

function redraw(uid) {
  const panel = document.querySelector(`[data-run-panel="${uid}"]`);
  if (panel) window.htmx.trigger(panel, "redraw");
}

on("tool_run", (frame) => redraw(frame.run));
// The page's own buttons answer with the same event, so that it moves even without the socket.
document.addEventListener("run-changed", (event) => redraw(event.detail.run));
for (const root of document.querySelectorAll("[data-run]")) new Output(root);
