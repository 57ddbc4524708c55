// Before anything is drawn, so that no page flashes in the other colours. Not a module: those run later.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("otel-feedback.theme");
  } catch {
    // a browser that keeps nothing
  }
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
})();
