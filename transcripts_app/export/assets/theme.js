// Light, dark, or as the system says, before the first paint.
(() => {
  const root = document.documentElement;
  let kept = null;
  try {
    kept = localStorage.getItem("sparkweb-archive-theme");
  } catch {
    // Storage is blocked for files in this browser.
  }
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  root.dataset.bsTheme = kept || (system.matches ? "dark" : "light");
  if (!kept) system.addEventListener("change", () => { root.dataset.bsTheme = system.matches ? "dark" : "light"; });
  document.addEventListener("click", (event) => {
    if (event.target.id !== "theme") return;
    root.dataset.bsTheme = root.dataset.bsTheme === "dark" ? "light" : "dark";
    try {
      localStorage.setItem("sparkweb-archive-theme", root.dataset.bsTheme);
    } catch {
      // Then it holds for this page alone.
    }
  });
})();
