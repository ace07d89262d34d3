// What the figures mean: sentences with their evidence, and where the memory is.
import { fromTemplate, keyed, make, setText } from "./dom.js";
import { bytes, figure, span, words } from "./format.js";

const TONES = { critical: "bad", warning: "warn", info: "" };

/** Draw the verdicts of a frame, and its ledger of memory. Frames of before have neither. */
export function drawVerdicts(section, frame) {
  const { verdicts } = frame;
  const list = section.querySelector('[data-part-of-node="verdicts"]');
  keyed(list, verdicts?.found ?? [], (one) => `${one.kind} ${one.subject}`, () => fromTemplate("verdict"), (line, one) => drawVerdict(line, one, frame.received_at));
  const card = section.querySelector('[data-part-of-node="ledger"]');
  card.hidden = !verdicts;
  if (verdicts) drawLedger(card, verdicts);
}

function drawVerdict(line, verdict, now) {
  line.className = `notice verdict ${TONES[verdict.severity] ?? ""}`;
  setText(line.querySelector("[data-title]"), verdict.title);
  setText(line.querySelector("[data-since]"), `for ${span(now - verdict.since)}`);
  setText(line.querySelector("[data-sentence]"), verdict.sentence);
  keyed(line.querySelector("[data-evidence]"), verdict.evidence, (row) => row.name, () => make("span"), (item, row) => setText(item, `${row.name} ${row.words}`));
}

const SOON_SECONDS = 600;

function drawLedger(card, { memory, exhausted_in_seconds: seconds }) {
  const soon = card.querySelector("[data-exhausted]");
  soon.hidden = seconds === null || seconds > SOON_SECONDS; // a program that starts falls steeply for a while
  if (!soon.hidden) setText(soon, `At the pace of the last half minute nothing is left in ${span(seconds)}.`);
  keyed(card.querySelector("[data-rows]"), memory.rows, (row) => `${row.kind} ${row.name}`, () => fromTemplate("ledger-row"), (line, row) => {
    setText(line.querySelector("[data-name]"), row.name);
    setText(line.querySelector("[data-gpu]"), row.gpu_bytes ? words(bytes, row.gpu_bytes) : "");
    setText(line.querySelector("[data-memory]"), row.memory_bytes ? words(bytes, row.memory_bytes) : "");
  });
  for (const name of ["used", "reclaimable", "headroom"]) {
    figure(card.querySelector(`[data-figure="ledger_${name}"]`), memory[`${name}_bytes`], bytes, "stale", "this machine");
  }
}
