// Keys: nothing that a browser or a screen reader uses, nothing while somebody types.

import { VIEWS } from "./address.js";
import { fill, h } from "./dom.js";

const KEYS = [
  ["/", "search"], ["j  k", "next and previous row"], ["Enter", "open it"], [`1 – ${VIEWS.length}`, "the views"],
  ["c", "clear the filters"], ["t", "dark or light"], ["Esc", "close, or leave the field"], ["?", "these keys"],
];

/** @param acts {search, clear, theme, view(number), close: () → whether anything was closed} */
export function listen(acts) {
  const dialog = document.getElementById("keys");
  fill(dialog, h("h2", { id: "keys-title" }, "Keys"), h("dl", { class: "keys" }, KEYS.map(([key, words]) => h("div", {}, h("dt", {}, h("kbd", {}, key)), h("dd", {}, words)))),
    h("form", { method: "dialog" }, h("button", { type: "submit", class: "main" }, "Close")));
  const help = () => dialog.showModal();
  document.getElementById("help").addEventListener("click", help);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || dialog.open) return;
    const types = event.target.matches("input:not([type=checkbox]), textarea, select");
    if (event.key === "Escape") {
      if (!acts.close() && types) event.target.blur();
      return;
    }
    if (types) return;
    const act = { "/": acts.search, j: () => move(1), k: () => move(-1), "?": help, c: acts.clear, t: acts.theme }[event.key]
      ?? (/^[1-9]$/.test(event.key) ? () => acts.view(Number(event.key)) : null);
    if (!act) return;
    event.preventDefault();
    act();
  });
}

/** To the next of what can be opened, from where the reader is. */
function move(step) {
  const stops = [...document.querySelectorAll("main [data-stop]")].filter((one) => one.checkVisibility());
  if (!stops.length) return;
  const at = stops.indexOf(document.activeElement);
  const next = stops[at === -1 ? (step > 0 ? 0 : stops.length - 1) : Math.max(0, Math.min(stops.length - 1, at + step))];
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}
