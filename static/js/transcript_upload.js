// Uploads of transcripts: announced, sent in pieces, gone on with where a piece was lost.
import { setText } from "./dom.js";
import { bytes, words } from "./format.js";

const TRIES = 5;
const card = document.querySelector("[data-transcript-upload]");
const pieceSize = Number(card?.dataset.piece);
let stop = null;

const csrf = () => JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRFToken"];
const headers = (type) => ({ "X-CSRFToken": csrf(), "Content-Type": type });
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

function refuse(sentence) {
  const notice = document.createElement("div");
  notice.className = "notice bad";
  notice.setAttribute("role", "alert");
  const text = document.createElement("p");
  text.textContent = sentence;
  notice.append(text);
  card.querySelector("[data-upload-refusal]").replaceChildren(...(sentence ? [notice] : []));
}

function show(file, done) {
  const box = card.querySelector("[data-upload-progress]");
  box.hidden = file === null;
  if (file === null) return;
  const percent = file.size ? (100 * done) / file.size : 0;
  setText(box.querySelector("[data-upload-name]"), file.name);
  setText(box.querySelector("[data-upload-amount]"), `${words(bytes, done)} of ${words(bytes, file.size)}`);
  const bar = box.querySelector(".bar");
  bar.setAttribute("aria-valuenow", Math.round(percent));
  bar.firstElementChild.style.width = `${percent}%`;
}

async function told(answer) {
  const body = await answer.json().catch(() => ({}));
  if (answer.ok) return body;
  const error = new Error(body.error ?? `SparkWeb answered ${answer.status}.`);
  error.offset = body.offset;
  error.final = answer.status < 500;
  throw error;
}

// One piece; where another is expected, that one's offset. A lost connection is tried again.
async function put(address, piece, offset, signal) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const answer = await fetch(`${address}?offset=${offset}`, {
        method: "PUT", body: piece, signal, headers: headers("application/octet-stream"),
      });
      return (await told(answer)).received;
    } catch (error) {
      if (error.offset !== undefined) return error.offset;
      if (error.final || error.name === "AbortError" || attempt === TRIES) throw error;
      await pause(1000 * attempt);
    }
  }
}

async function send(file) {
  stop = new AbortController();
  refuse("");
  show(file, 0);
  let address = null;
  try {
    const body = JSON.stringify({ name: file.name, size_bytes: file.size });
    const begun = await told(await fetch(card.dataset.uploadTo, { method: "POST", body, headers: headers("application/json"), signal: stop.signal }));
    address = `${card.dataset.uploadTo.replace(/\/$/, "")}/${begun.uid}`;
    for (let offset = 0; offset < file.size; ) {
      offset = await put(`${address}/content`, file.slice(offset, offset + pieceSize), offset, stop.signal);
      show(file, offset);
    }
  } catch (error) {
    refuse(error.name === "AbortError" ? "The upload was stopped; nothing of it was read." : error.message);
    if (address) await fetch(address, { method: "DELETE", headers: headers("application/json") }).catch(() => {});
  } finally {
    stop = null;
    show(null);
    document.body.dispatchEvent(new CustomEvent("transcripts-uploaded"));
  }
}

card?.addEventListener("change", (event) => {
  const [file] = event.target.files ?? [];
  if (event.target.id !== "transcript-file" || !file || stop) return;
  event.target.value = "";
  send(file);
});
card?.addEventListener("click", (event) => {
  if (event.target.closest?.("[data-upload-cancel]")) stop?.abort();
});
window.addEventListener("beforeunload", (event) => {
  if (stop) event.preventDefault();
});
