// The page of the image that tools run in: fetched again when a build moved.
import { on } from "./live.js";

function changed() {
  for (const element of document.querySelectorAll("[data-sandbox-images]")) window.htmx.trigger(element, "redraw");
}

on("sandbox_image", changed);
// The page's own buttons answer with this event, so that it moves even without the socket.
document.addEventListener("sandbox-image-changed", changed);
