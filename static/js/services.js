// The page of services: fetched again when one moved.
import { on } from "./live.js";

function changed() {
  for (const element of document.querySelectorAll("[data-tool-services]")) window.htmx.trigger(element, "redraw");
}

on("tool_service", changed);
// The page's own buttons answer with this event, so that it moves even without the socket.
document.addEventListener("tool-service-changed", changed);
