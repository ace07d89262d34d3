// A session of any length as a row of windows. Those near the eye are loaded, far ones are emptied
// again; an empty one keeps its height, so that the scroll bar tells the truth.

const NEAR = "1200px 0px";
const KEPT = 24; // loaded windows; beyond it the farthest are emptied
const AT_ONCE = 2;
const GUESS = 4000; // px, until a window was measured
const ANCHORS = CSS.supports("overflow-anchor", "auto"); // else we keep in place what one reads
const HEIGHT_MOST = 12e6; // px of all together: browsers draw no taller element

export class Windows {
  /** `thread` is the element; `onLoaded(section)` is called for each window that came. */
  constructor(thread, onLoaded) {
    this.thread = thread;
    this.part = thread.dataset.part;
    this.onLoaded = onLoaded;
    this.sections = [];
    this.wanted = new Set();
    this.loading = new Map();
    this.observer = new IntersectionObserver((entries) => this.seen(entries), { rootMargin: NEAR });
    const first = thread.querySelector(".tw");
    first.dataset.state = "loaded";
    this.guess = Math.min(Math.max(first.offsetHeight, 400), GUESS * 4);
    const here = Number(thread.dataset.number);
    for (let number = 0; number < Number(thread.dataset.windows); number += 1) {
      const section = number === here ? first : this.empty(number);
      if (number < here) thread.insertBefore(section, first);
      if (number > here) thread.append(section);
      this.sections.push(section);
    }
    first.scrollIntoView({ block: "start" });
    if (here === 0) scrollTo(0, 0);
    for (const section of this.sections) this.observer.observe(section);
  }

  get last() {
    return this.sections.length - 1;
  }

  /** Return a window, loaded; null where it does not come. */
  async get(number) {
    const section = this.sections[number];
    if (!section) return null;
    if (section.dataset.state !== "loaded") await this.load(number);
    return section.dataset.state === "loaded" ? section : null;
  }

  /** Add empty windows up to `count`. */
  grow(count) {
    while (this.sections.length < count) {
      const section = this.empty(this.sections.length);
      this.thread.append(section);
      this.sections.push(section);
      this.observer.observe(section);
    }
  }

  empty(number) {
    const section = document.createElement("section");
    section.className = "tw";
    section.dataset.window = number;
    section.dataset.state = "empty";
    section.style.height = `${Math.min(this.guess, HEIGHT_MOST / Number(this.thread.dataset.windows))}px`;
    return section;
  }

  seen(entries) {
    for (const entry of entries) {
      const number = Number(entry.target.dataset.window);
      if (entry.isIntersecting) this.wanted.add(number);
      else this.wanted.delete(number);
    }
    clearTimeout(this.later); // a scroll bar that is dragged passes windows that nobody reads
    this.later = setTimeout(() => this.next(), 40);
  }

  next() {
    for (const number of this.wanted) {
      if (this.loading.size >= AT_ONCE) return;
      if (this.sections[number].dataset.state === "empty") this.load(number).finally(() => this.next());
    }
    this.drop();
  }

  load(number) {
    if (!this.loading.has(number)) {
      this.loading.set(number, this.fetch(number).finally(() => this.loading.delete(number)));
    }
    return this.loading.get(number);
  }

  async fetch(number) {
    const section = this.sections[number];
    section.dataset.state = "loading";
    try {
      const fresh = await fragment(`${this.part}window=${number}`);
      const before = section.getBoundingClientRect();
      section.replaceChildren(...fresh.querySelector(".tw").childNodes);
      section.style.height = "";
      section.dataset.state = "loaded";
      if (!ANCHORS && before.bottom < innerHeight / 2) scrollBy(0, section.offsetHeight - before.height);
      this.onLoaded(section);
    } catch {
      section.dataset.state = "empty";
      this.wanted.delete(number);
      setTimeout(() => this.observer.unobserve(section) ?? this.observer.observe(section), 3000);
    }
  }

  /** Empty the windows that are farthest from those wanted. */
  drop() {
    const loaded = this.sections.filter((section) => section.dataset.state === "loaded" && !this.wanted.has(Number(section.dataset.window)));
    const centre = [...this.wanted].reduce((sum, number) => sum + number, 0) / Math.max(1, this.wanted.size);
    const far = (section) => Math.abs(Number(section.dataset.window) - centre);
    loaded.sort((one, other) => far(other) - far(one));
    for (const section of loaded.slice(0, Math.max(0, loaded.length - KEPT))) {
      if (section.contains(document.activeElement)) continue;
      section.style.height = `${section.offsetHeight}px`;
      section.replaceChildren();
      section.dataset.state = "empty";
    }
  }
}

/** Scroll to the end of the page; what is drawn on the way may make it longer. */
export async function scrollToEnd() {
  for (let round = 0; round < 12; round += 1) {
    const height = document.documentElement.scrollHeight;
    scrollTo(0, height);
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    if (round > 1 && document.documentElement.scrollHeight === height) return;
  }
}

/** Fetch a piece of a page. Throws where the answer is none. */
export async function fragment(url) {
  const answer = await fetch(url, { headers: { "HX-Request": "true" } });
  if (answer.redirected && new URL(answer.url).pathname === document.body.dataset.loginPath) location.reload();
  if (!answer.ok) throw new Error(`${answer.status}`);
  const holder = document.createElement("template");
  holder.innerHTML = await answer.text();
  return holder.content;
}
