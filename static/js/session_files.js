// Uploads into a session's workspace: in pieces of 4 MiB, one after the other, with a bar and a way to stop.
import { setText } from "./dom.js";
import { bytes, words } from "./format.js";

const PIECE = 4 * 1024 * 1024;
const card = document.querySelector("[data-session-files]");
let stop = null;

const csrf = () => JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRFToken"];
const name16 = () => Array.from(crypto.getRandomValues(new Uint8Array(8)), (b) => b.toString(16).padStart(2, "0")).join("");

function refuse(sentence) {
  const place = card.querySelector("#files-refusal");
  const notice = document.createElement("div");
  notice.className = "notice bad";
  notice.setAttribute("role", "alert");
  const text = document.createElement("p");
  text.textContent = sentence;
  notice.append(text);
  place?.replaceChildren(notice);
}

function show(file, done) {
  const box = card.querySelector("[data-upload-progress]");
  if (!box) return;
  box.hidden = file === null;
  if (file === null) return;
  const percent = file.size ? (100 * done) / file.size : 0;
  setText(box.querySelector("[data-upload-name]"), file.name);
  setText(box.querySelector("[data-upload-amount]"), `${words(bytes, done)} of ${words(bytes, file.size)}`);
  const bar = box.querySelector(".bar");
  bar.setAttribute("aria-valuenow", Math.round(percent));
  bar.firstElementChild.style.width = `${percent}%`;
}

async function put(path, body, query, signal) {
  const address = `${card.dataset.uploadTo}?${new URLSearchParams({ path, ...query })}`;
  const answer = await fetch(address, {
    method: "PUT",
    body,
    signal,
    headers: { "X-CSRFToken": csrf(), "Content-Type": "application/octet-stream" },
  });
  if (answer.ok) return;
  const told = await answer.json().catch(() => ({}));
  throw new Error(told.error ?? `SparkWeb answered ${answer.status}; the file is not there.`);
}

async function send(file, folder, signal) {
  const path = folder ? `${folder}/${file.name}` : file.name;
  const upload = name16();
  let offset = 0;
  do {
    show(file, offset);
    const piece = file.slice(offset, offset + PIECE);
    const last = offset + piece.size >= file.size;
    await put(path, piece, { upload, offset, last }, signal);
    offset += piece.size;
  } while (offset < file.size);
}

async function sendAll(files, folder) {
  stop = new AbortController();
  try {
    for (const file of files) await send(file, folder, stop.signal);
  } catch (error) {
    refuse(error.name === "AbortError" ? "The upload was stopped; the file does not appear." : error.message);
    show(null);
    return;
  } finally {
    stop = null;
  }
  show(null);
  document.body.dispatchEvent(new CustomEvent("files-changed"));
}

card?.addEventListener("change", (event) => {
  if (event.target.id !== "session-upload" || !event.target.files.length || stop) return;
  const files = [...event.target.files];
  event.target.value = "";
  sendAll(files, card.querySelector("[data-folder]")?.dataset.folder ?? "");
});
card?.addEventListener("click", (event) => {
  if (event.target.closest?.("[data-upload-cancel]")) stop?.abort();
});
window.addEventListener("beforeunload", (event) => {
  if (stop) event.preventDefault();
});
