// The search of a static export. Pages opened from a folder may not fetch, so the index comes as scripts.
// Words are looked up by hash (export/words.py): a bucket lists chunks of text, and those are read and checked.
(() => {
  const BITS = 20;
  const PREFIX = 6;
  const CHUNKS_AT_ONCE = 24;
  const SHOWN_AT_ONCE = 40;
  const AROUND = 110;
  const KINDS = ["Record", "Prompt", "Answer", "Thinking", "Tool call", "Result", "Note", "Command", "Compaction",
    "Summary", "System", "Attachment", "Progress", "Snapshot", "Title", "Queue", "Pull request", "State", "Output"];

  const root = document.body.dataset.root || "";
  const input = document.getElementById("find");
  const found = document.getElementById("found");
  const page = document.getElementById("page");
  const shards = new Map();
  const texts = new Map();
  const loading = new Map();
  let about = null;
  let starts = [];
  let turn = 0;

  globalThis.sparkArchive = {
    about(value) { about = value; let at = 0; starts = value.chunks.map((count) => (at += count) - count); },
    shard(number, value) { shards.set(number, value); },
    text(key, number, rows) { texts.set(`${key}/${number}`, rows); },
  };

  function script(name) {
    if (!loading.has(name)) {
      loading.set(name, new Promise((resolve, reject) => {
        const tag = document.createElement("script");
        tag.src = root + name;
        tag.onload = () => { tag.remove(); resolve(); };
        tag.onerror = () => { loading.delete(name); reject(new Error(`${name} is missing from this folder`)); };
        document.head.append(tag);
      }));
    }
    return loading.get(name);
  }

  function bucket(key) {
    let value = 0x811c9dc5;
    for (const byte of new TextEncoder().encode(key)) value = Math.imul(value ^ byte, 0x01000193) >>> 0;
    return ((value ^ (value >>> BITS)) >>> 0) & ((1 << BITS) - 1);
  }

  // "exact phrase" and words; each must be there.
  function terms(query) {
    const list = [];
    for (const match of query.matchAll(/"([^"]+)"?|(\S+)/g)) {
      const text = (match[1] ?? match[2]).trim().toLowerCase();
      if (text) list.push(text);
    }
    return list;
  }

  function keysOf(term) {
    // The ends of a phrase may be inside a word; a word's own start is what was hashed.
    return (term.match(/[\p{L}\p{N}]+/gu) || []).map((word) => word.slice(0, PREFIX));
  }

  async function candidates(list) {
    let chunks = null;
    for (const key of new Set(list.flatMap(keysOf))) {
      const one = bucket(key);
      const shard = about.bits ? one >>> (BITS - about.bits) : 0;
      await script(`search/${shard}.js`);
      const steps = shards.get(shard)?.[one.toString(16)] || [];
      let at = 0;
      const here = new Set(steps.map((step) => (at += step)));
      chunks = chunks ? chunks.filter((chunk) => here.has(chunk)) : [...here];
      if (!chunks.length) break;
    }
    const every = () => Array.from({ length: about.chunks.reduce((sum, count) => sum + count, 0) }, (_, at) => at);
    return (chunks ?? every()).reverse(); // newest first
  }

  function placeOf(chunk) {
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (starts[middle] <= chunk) low = middle; else high = middle - 1;
    }
    return [low, chunk - starts[low] + 1];
  }

  function marked(text, list) {
    const low = text.toLowerCase();
    const first = Math.min(...list.map((term) => low.indexOf(term)).filter((at) => at >= 0));
    const from = Math.max(0, first - AROUND);
    const piece = text.slice(from, first + 2 * AROUND);
    const span = document.createElement("span");
    span.className = "snippet small";
    if (from) span.append("… ");
    const lowPiece = piece.toLowerCase();
    let at = 0;
    while (at < piece.length) {
      let next = -1;
      let length = 0;
      for (const term of list) {
        const here = lowPiece.indexOf(term, at);
        if (here >= 0 && (next < 0 || here < next)) { next = here; length = term.length; }
      }
      if (next < 0) break;
      span.append(piece.slice(at, next));
      const mark = document.createElement("mark");
      mark.textContent = piece.slice(next, next + length);
      span.append(mark);
      at = next + length;
    }
    span.append(piece.slice(at));
    return span;
  }

  function line(session, row, list) {
    const [key, title, path, at] = about.sessions[session];
    const item = document.createElement("li");
    const link = document.createElement("a");
    link.href = `${root}sessions/${key}/${row[0]}`;
    link.textContent = title;
    const facts = document.createElement("span");
    facts.className = "muted small";
    facts.textContent = ` ${KINDS[row[1]] || "Record"} · ${path} · ${at}`;
    item.append(link, facts, marked(row[2], list));
    return item;
  }

  function say(...words) {
    const line = document.createElement("p");
    line.className = "muted small";
    line.append(...words);
    return line;
  }

  async function search() {
    const mine = ++turn;
    const query = input.value.trim();
    const list = terms(query);
    page.hidden = list.length > 0;
    found.hidden = list.length === 0;
    if (!list.length) return;
    found.replaceChildren(say("Searching…"));
    try {
      if (!about) await script("search/about.js");
      const chunks = await candidates(list);
      if (mine !== turn) return;
      const rows = document.createElement("ol");
      const state = say("");
      found.replaceChildren(state, rows);
      let shown = 0;
      let at = 0;
      const further = async () => {
        let here = 0;
        while (at < chunks.length && here < SHOWN_AT_ONCE) {
          const part = chunks.slice(at, at + CHUNKS_AT_ONCE).map(placeOf);
          await Promise.all(part.map(([session, number]) =>
            script(`sessions/${about.sessions[session][0]}/text-${number}.js`)));
          if (mine !== turn) return;
          for (const [session, number] of part) {
            at += 1;
            const name = `${about.sessions[session][0]}/${number}`;
            for (const row of texts.get(name) || []) {
              const low = row[2].toLowerCase();
              if (list.every((term) => low.includes(term))) {
                rows.append(line(session, row, list));
                shown += 1;
                here += 1;
              }
            }
            texts.delete(name);
            loading.delete(`sessions/${name.replace("/", "/text-")}.js`);
            if (here >= SHOWN_AT_ONCE) break;
          }
        }
        state.textContent = shown ? `${shown}${at < chunks.length ? " so far" : ""} found`
          : "Nothing found. Words are found by their beginning; each must be in the same message.";
        more.hidden = at >= chunks.length;
      };
      const more = document.createElement("button");
      more.type = "button";
      more.className = "btn btn-sm";
      more.textContent = "Show more";
      more.addEventListener("click", further);
      found.append(more);
      await further();
    } catch (error) {
      if (mine === turn) found.replaceChildren(say(`The search does not work: ${error.message}.`));
    }
  }

  let waiting = 0;
  input.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(search, 250);
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") { clearTimeout(waiting); search(); }
    if (event.key === "Escape") { input.value = ""; search(); }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && event.target === document.body) { event.preventDefault(); input.focus(); }
  });
})();
