// One animation frame for everything that wants to draw: many messages, one paint.
const waiting = new Set();

function draw() {
  const now = [...waiting];
  waiting.clear();
  for (const work of now) work();
}

/** Run `work` in the next animation frame, once, however often it is asked for until then. */
export function schedule(work) {
  if (!waiting.size) requestAnimationFrame(draw);
  waiting.add(work);
}
