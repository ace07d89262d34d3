// Small helpers that write to the page, always as text.

/** Set an element's text if it differs. */
export function setText(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}

/** Clone the single element of <template id=…>. */
export function fromTemplate(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}

/** Make an element with a class and text. */
export function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

/** Keep one child per item, in order, made by `create(item)` and drawn by `update(child, item)`. */
export function keyed(parent, items, keyOf, create, update) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  items.forEach((item, index) => {
    const key = String(keyOf(item));
    let child = known.get(key);
    known.delete(key);
    if (!child) {
      child = create(item);
      child.dataset.key = key;
    }
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
    update(child, item);
  });
  for (const gone of known.values()) gone.remove();
}

/** Say a sentence to screen readers. */
export function announce(sentence) {
  const region = document.getElementById("announce");
  if (region) region.textContent = sentence;
}
