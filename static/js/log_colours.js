// Draws the colours that a container writes into its log (ECMA-48, "Select Graphic Rendition"): text nodes only.
const ESCAPE = /\u001b\[([0-9;:?]*)[ -/]*([@-~])|\u001b[@-Z\\-_]?/g;
const FLAGS = { 1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "inverse", 9: "strike" };
const OFF = { 22: ["bold", "dim"], 23: ["italic"], 24: ["underline"], 27: ["inverse"], 29: ["strike"] };

/** A span with the text in its colours; its textContent is the text without escapes. */
export function coloured(text) {
  const span = document.createElement("span");
  if (!text.includes("\u001b")) {
    span.textContent = text;
    return span;
  }
  const style = { flags: new Set(), front: null, back: null };
  let at = 0;
  for (const match of text.matchAll(ESCAPE)) {
    append(span, text.slice(at, match.index), style);
    at = match.index + match[0].length;
    if (match[2] === "m") apply(style, match[1].split(/[;:]/).map(Number));
  }
  append(span, text.slice(at), style);
  return span;
}

function append(span, text, style) {
  if (!text) return;
  const plain = !style.flags.size && style.front === null && style.back === null;
  if (plain) {
    span.append(text);
    return;
  }
  const piece = document.createElement("span");
  piece.textContent = text;
  for (const flag of style.flags) piece.classList.add(`ansi-${flag}`);
  paint(piece, style.front, "ansi-f", "color");
  paint(piece, style.back, "ansi-b", "backgroundColor");
  span.append(piece);
}

/** One of 16 colours is a class, which the theme decides; any other is what the program chose. */
function paint(piece, colour, prefix, property) {
  if (typeof colour === "number") piece.classList.add(`${prefix}${colour}`);
  else if (colour) piece.style[property] = colour;
}

function apply(style, codes) {
  for (let n = 0; n < codes.length; n++) {
    const code = codes[n];
    if (code === 0) Object.assign(style, { flags: new Set(), front: null, back: null });
    else if (FLAGS[code]) style.flags.add(FLAGS[code]);
    else if (OFF[code]) OFF[code].forEach((flag) => style.flags.delete(flag));
    else if (code >= 30 && code <= 37) style.front = code - 30;
    else if (code >= 90 && code <= 97) style.front = code - 82;
    else if (code >= 40 && code <= 47) style.back = code - 40;
    else if (code >= 100 && code <= 107) style.back = code - 92;
    else if (code === 39) style.front = null;
    else if (code === 49) style.back = null;
    else if (code === 38 || code === 48) {
      const [colour, used] = extended(codes.slice(n + 1));
      if (code === 38) style.front = colour;
      else style.back = colour;
      n += used;
    }
  }
}

/** The colour after 38 or 48, and how many numbers it took. */
function extended([kind, a, b, c]) {
  if (kind === 2) return [`rgb(${byte(a)}, ${byte(b)}, ${byte(c)})`, 4];
  if (kind !== 5) return [null, 1];
  if (a < 16) return [a, 2];
  if (a >= 232) return [`rgb(${Array(3).fill(8 + 10 * (byte(a) - 232)).join(", ")})`, 2];
  const cube = byte(a) - 16;
  const level = (n) => (n ? 55 + 40 * n : 0);
  return [`rgb(${level(Math.floor(cube / 36))}, ${level(Math.floor(cube / 6) % 6)}, ${level(cube % 6)})`, 2];
}

function byte(value) {
  return Math.min(255, Math.max(0, Number.isFinite(value) ? value : 0));
}
