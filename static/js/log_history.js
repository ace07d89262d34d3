// What was kept of a container's log: earlier lines, page by page, and a search through all of it.
import { make } from "./dom.js";

/** Asks the server for a member's log. `before` is where the next page back ends; undefined: at `before_at`. */
export class LogHistory {
  constructor(root, log) {
    this.root = root;
    this.log = log;
    this.before = undefined; // null: the beginning is on the page
    this.busy = false;
    this.panel = root.querySelector("[data-log-hits]");
    this.button = root.querySelector("[data-log-earlier]");
    this.button.addEventListener("click", () => this.earlier());
    root.querySelector("[data-log-whole]").addEventListener("click", () => this.search());
  }

  /** The page shows other lines than before: those before them are not known yet. */
  reset(before) {
    this.before = before;
    this.button.hidden = !this.log.member || before === null;
  }

  async earlier() {
    const page = await this.page(this.before === undefined ? { before_at: this.log.firstTime() } : { before_line: this.before });
    if (!page) return;
    if (page.behind) {
      this.say("These lines are still on their way from the node; try again in a moment.");
      return;
    }
    this.log.prepend(page.lines);
    this.reset(page.before_line);
  }

  /** Show the lines around one of them instead of the newest. */
  async around(line) {
    const page = await this.page({ before_line: line + 300 });
    if (!page) return;
    this.log.replace(page.lines, line);
    this.reset(page.before_line);
  }

  async search(before) {
    const text = this.log.query;
    if (!text) return this.log.focusSearch();
    const found = await this.ask(this.root.dataset.search, { q: text, ...(before ? { before_line: before } : {}) });
    if (!found) return undefined;
    if (!before) this.panel.replaceChildren();
    this.panel.querySelector("[data-more]")?.remove();
    this.panel.hidden = false;
    for (const hit of found.hits) {
      const row = make("button", "log-hit", hit.text.replace(/^\S+ /, "").replace(/\u001b\[[0-9;?]*[ -/]*[@-~]/g, ""));
      row.type = "button";
      row.title = `Line ${(hit.line + 1).toLocaleString("en")}`;
      row.addEventListener("click", () => this.around(hit.line));
      this.panel.append(row);
    }
    this.panel.append(this.ending(found));
    return undefined;
  }

  ending(found) {
    const none = !this.panel.querySelector(".log-hit");
    if (found.before_line === null) return make("p", "small muted", none ? "Nothing that was kept of this log matches." : "That is all that was kept.");
    const more = make("button", "btn btn-sm", none ? "Nothing yet; search further back" : "Search further back");
    more.type = "button";
    more.dataset.more = "";
    more.addEventListener("click", () => this.search(found.before_line));
    return more;
  }

  closeHits() {
    this.panel.hidden = true;
    this.panel.replaceChildren();
  }

  say(sentence) {
    this.panel.replaceChildren(make("p", "small muted", sentence));
    this.panel.hidden = false;
  }

  page(query) {
    return this.ask(this.root.dataset.history, query);
  }

  async ask(address, query) {
    if (this.busy) return null;
    this.busy = true;
    try {
      const answer = await fetch(`${address}?${new URLSearchParams({ member: this.log.member, ...query })}`);
      if (answer.ok) return await answer.json();
      this.say(answer.status === 401 ? "You are logged out; load the page again." : "The log could not be read; try again.");
    } catch {
      this.say("The server does not answer; try again.");
    } finally {
      this.busy = false;
    }
    return null;
  }
}
