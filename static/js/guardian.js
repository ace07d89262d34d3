// The memory guardian of a node: where it acts, and what it did within the last day.
import { setText } from "./dom.js";
import { bytes, words } from "./format.js";

const SHOWN_SECONDS = 86_400;

/** Draw the guardian's line and, for a day, its last act. */
export function drawGuardian(section, report) {
  const { guardian } = report;
  const line = section.querySelector("[data-guardian]");
  line.hidden = !guardian;
  if (guardian) setText(line.querySelector("[data-guardian-words]"), sentence(guardian));
  drawLastAct(section.querySelector('[data-part-of-node="guardian-notice"]'), report);
}

function sentence(guardian) {
  const { status, message } = guardian;
  if (status === "off" || status === "down") return `No memory guardian: ${message}`;
  const floor = words(bytes, guardian.floor_bytes);
  const lower = words(bytes, guardian.lower_floor_bytes);
  const ready = guardian.protect_ready ? "ready models are never stopped" : `ready models below ${lower}`;
  return `The memory guardian stops starts below ${floor} available, ${ready}.${message ? ` ${message}.` : ""}`;
}

function drawLastAct(notice, report) {
  const act = report.guardian?.last_act;
  const fresh = Boolean(act) && report.sampled_at - act.at < SHOWN_SECONDS;
  notice.hidden = !fresh;
  if (!fresh) return;
  const when = new Date(act.at * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  setText(notice.querySelector("[data-when]"), `${when}${act.name ? ` ${act.name}` : ""}`);
  setText(notice.querySelector("[data-sentence]"), act.sentence);
}
