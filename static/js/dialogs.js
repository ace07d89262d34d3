// Confirmations, and the one dialog that the server fills.

const confirmDialog = document.getElementById("confirm");
const serverDialog = document.getElementById("dialog");
let proceed = null;

/** Ask before `go` happens. `element` carries data-confirm-title and data-confirm-verb. */
function ask(sentence, element, go) {
  proceed = go;
  confirmDialog.querySelector("[data-title]").textContent = element.dataset.confirmTitle ?? "Are you sure?";
  confirmDialog.querySelector("[data-sentence]").textContent = sentence;
  confirmDialog.querySelector("[data-verb]").textContent = element.dataset.confirmVerb ?? "Continue";
  confirmDialog.returnValue = "";
  confirmDialog.showModal();
}

confirmDialog?.addEventListener("close", () => {
  const go = proceed;
  proceed = null;
  if (confirmDialog.returnValue === "yes") go?.();
});

document.addEventListener("htmx:confirm", (event) => {
  if (!event.detail.question) return;
  event.preventDefault();
  ask(event.detail.question, event.detail.elt, () => event.detail.issueRequest(true));
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.dataset.confirm || form.dataset.confirmed) return;
  event.preventDefault();
  ask(form.dataset.confirm, form, () => {
    form.dataset.confirmed = "yes";
    form.requestSubmit(event.submitter);
  });
});

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target.id === "dialog-body" && !serverDialog.open) serverDialog.showModal();
});
document.addEventListener("dialog-close", () => serverDialog?.close());
document.addEventListener("click", (event) => {
  if (event.target.closest?.("[data-dialog-close]")) event.target.closest("dialog").close();
  else if (event.target.matches?.("dialog.sheet")) event.target.close(); // the backdrop
});
