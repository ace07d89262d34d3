// Buttons with data-copy="#id" put that element's text on the clipboard.
import { toast } from "./toast.js";

async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Over plain HTTP from another machine browsers offer no clipboard object.
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("refused");
  return undefined;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (!button) return;
  const source = document.querySelector(button.dataset.copy);
  try {
    await copy(source.value ?? source.textContent);
    toast("Copied");
  } catch {
    toast("The browser did not allow copying; select the text and copy it by hand", { tone: "warn" });
  }
});
