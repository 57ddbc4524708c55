// What this browser keeps for its reader: saved filters, and dark or light. A browser may refuse to keep anything.

const SAVED = "otel-feedback.filters";
const THEME = "otel-feedback.theme";

/** Saved filters: [{name, address}]. An address that is not one of this page is left out. */
export function kept() {
  try {
    const all = JSON.parse(localStorage.getItem(SAVED) ?? "[]");
    return all.filter((one) => typeof one?.name === "string" && typeof one.address === "string" && /^\/(?!\/)/.test(one.address));
  } catch {
    return [];
  }
}

/** Keep them; tell whether that is possible. */
export const keep = (all) => put(SAVED, JSON.stringify(all));

const wanted = () => document.documentElement.dataset.theme ?? "auto";

/** The next of: as the system is, dark, light. */
export function turnTheme() {
  const next = { auto: "dark", dark: "light", light: "auto" }[wanted()];
  if (next === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  put(THEME, next);
}

export const themeWords = () => ({ auto: "Colours: as the system", dark: "Colours: dark", light: "Colours: light" })[wanted()];
export const themeSign = () => ({ auto: "◐", dark: "●", light: "○" })[wanted()];

function put(key, value) {
  try {
    localStorage.setItem(key, value);
    return true;
  } catch {
    return false;
  }
}
