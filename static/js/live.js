// The only opener of the WebSocket. Reconnects with backoff, resyncs after sleep, rests in hidden tabs.
const SILENT_MS = 15000; // the server pings every 10 s
const REST_MS = 30000; // a tab hidden for longer closes its socket
const SLEPT_MS = 5000; // a one-second timer that is this late has slept
const LONGEST_MS = 20000;
const ENDED = 4401; // the session is over
const ADDRESS = `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/ws/live/`;

const listeners = new Map();
let socket = null;
let linkState = "connecting";
let attempts = 0;
let retryTimer = 0;
let restTimer = 0;
let lastHeard = 0;
let lastTick = Date.now();
let hiddenSince = 0;

/** Call `listener(frame)` for each frame of a type; also "link" with {state}. */
export function on(type, listener) {
  if (!listeners.has(type)) listeners.set(type, new Set());
  listeners.get(type).add(listener);
}

/** Send a message if the link is open; whoever must be heard sends again on "hello". */
export function send(message) {
  if (socket?.readyState !== WebSocket.OPEN) return false;
  socket.send(JSON.stringify(message));
  return true;
}

/** Open the link and keep it. */
export function start() {
  document.addEventListener("visibilitychange", visibilityChanged);
  window.addEventListener("online", reconnect);
  window.addEventListener("pagehide", () => close("resting"));
  window.addEventListener("pageshow", (event) => event.persisted && reconnect());
  setInterval(tick, 1000);
  open();
}

function emit(type, frame) {
  for (const listener of listeners.get(type) ?? []) listener(frame);
}

function setState(state) {
  if (state === linkState) return;
  linkState = state;
  emit("link", { state });
}

function open() {
  clearTimeout(retryTimer);
  if (socket || linkState === "ended") return;
  const mine = new WebSocket(ADDRESS);
  socket = mine;
  lastHeard = performance.now();
  mine.onmessage = (event) => mine === socket && heard(event.data);
  mine.onclose = (event) => mine === socket && closed(event.code);
}

function heard(text) {
  lastHeard = performance.now();
  const frame = JSON.parse(text);
  if (frame.type === "hello") {
    attempts = 0;
    setState("open");
  }
  emit(frame.type, frame);
}

function close(state) {
  const old = socket;
  socket = null;
  clearTimeout(retryTimer);
  old?.close();
  setState(state);
}

function closed(code) {
  socket = null;
  if (code === ENDED) {
    setState("ended");
    location.reload(); // the server answers with the login page
    return;
  }
  setState("lost");
  attempts += 1;
  if (attempts % 4 === 0) checkSession();
  const wait = Math.min(LONGEST_MS, 400 * 2 ** attempts) * (0.5 + Math.random() / 2);
  retryTimer = setTimeout(open, wait);
}

// A refused handshake carries no reason: ask over HTTP whether we are still logged in.
async function checkSession() {
  try {
    const answer = await fetch(location.href, { method: "HEAD", redirect: "manual" });
    if (answer.type === "opaqueredirect") location.reload();
  } catch {
    // no network: the next attempt tells
  }
}

function reconnect() {
  if (document.hidden || linkState === "ended") return;
  attempts = 0;
  close("lost");
  open();
}

function tick() {
  const now = Date.now();
  const slept = now - lastTick > SLEPT_MS;
  lastTick = now;
  if (document.hidden || !socket) return;
  if (slept || performance.now() - lastHeard > SILENT_MS) reconnect();
}

function visibilityChanged() {
  clearTimeout(restTimer);
  lastTick = Date.now();
  if (document.hidden) {
    hiddenSince = Date.now();
    restTimer = setTimeout(() => close("resting"), REST_MS);
  } else if (!socket) {
    attempts = 0;
    open();
  } else if (Date.now() - hiddenSince > SLEPT_MS) {
    send({ type: "resync" });
  }
}
