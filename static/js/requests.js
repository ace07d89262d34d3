// What happens when a request of htmx does not go as planned.
import { toast } from "./toast.js";

const SENTENCES = {
  403: "Your role does not allow this",
  404: "This is gone: someone may have deleted it. Reload the page",
  429: "Too many requests; wait a moment",
};

document.addEventListener("htmx:responseError", (event) => {
  const { status } = event.detail.xhr;
  const message = SENTENCES[status] ?? `The server answered ${status}; it may not have done what you asked. Reload the page`;
  toast(message, { tone: "bad" });
});

document.addEventListener("htmx:sendError", (event) => {
  if (event.detail.elt.hasAttribute("data-redraw")) return; // nobody asked for it; the link state says enough
  toast("SparkWeb does not answer: nothing was done. Check that it runs, then try again", { tone: "bad" });
});

// When the session has ended the answer is the login page: never put that into a card.
document.addEventListener("htmx:beforeSwap", (event) => {
  const { responseURL } = event.detail.xhr;
  if (responseURL && new URL(responseURL).pathname === document.body.dataset.loginPath) {
    event.detail.shouldSwap = false;
    location.reload();
  }
});
