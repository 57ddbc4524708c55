// What several views are put together of: tables, figures, sections, and what stands where there is nothing to show.

import { fill, h, unseen } from "./dom.js";
import { count } from "./format.js";

/** A section with a heading; `more` stands at its right. */
export function panel(title, body, { more = null, note = null, level = "h2", id = null, kind = "" } = {}) {
  return h("section", { class: `panel ${kind}`, "aria-label": title, id },
    h("div", { class: "panel-head" }, h(level, {}, title), note && h("span", { class: "muted" }, note), more && h("div", { class: "panel-more" }, more)),
    body);
}

/**
 * A table. columns: [{label, cell: row → content, num, kind: more classes ("p2" and "p3" leave first where it is narrow), hide: its
 * label is for who listens only}]. The first column is the row's heading.
 */
export function table(caption, columns, rows, { row = () => ({}) } = {}) {
  const classes = (column) => [column.num && "num", column.kind].filter(Boolean).join(" ") || null;
  return h("table", {},
    h("caption", { class: "unseen" }, caption),
    h("thead", {}, h("tr", {}, columns.map((column) =>
      h("th", { scope: "col", class: classes(column) }, column.hide ? unseen(column.label) : column.label)))),
    h("tbody", {}, rows.map((one) => h("tr", row(one), columns.map((column, place) =>
      place === 0 ? h("th", { scope: "row", class: classes(column) }, column.cell(one))
        : h("td", { class: classes(column) }, column.cell(one)))))));
}

/** One figure: what it is, how much, and how that compares. */
export function figure(label, value, { note = null, tone = null, title = null } = {}) {
  return h("div", { class: "figure", title }, h("dt", {}, label), h("dd", { class: tone && `tone-${tone}` }, value), note && h("dd", { class: "figure-note" }, note));
}

export const figures = (label, list) => h("dl", { class: "figures", "aria-label": label }, list);

/** A share as a bar, beside its number. */
export const bar = (share, kind = "") =>
  h("span", { class: `bar ${kind}`, "aria-hidden": "true", style: { "--share": String(Math.max(0, Math.min(1, share || 0))) } });

/** How a value stands to what it was before: a sign, a size and a word; `worse` where more is worse. */
export function change(now, before, show, { worse = false } = {}) {
  if (!Number.isFinite(now) || !Number.isFinite(before)) return null;
  const delta = now - before;
  if (Math.abs(delta) < 1e-9 || show(now) === show(before)) return h("span", { class: "muted" }, "as before");
  const isWorse = worse && delta > 0.25 * before; // a little more is no reason for a colour
  return h("span", { class: isWorse ? "tone-bad" : "muted" }, h("span", { "aria-hidden": "true" }, delta > 0 ? "▲ " : "▼ "),
    unseen(delta > 0 ? "up " : "down "), `from ${show(before)}`);
}

/** A word that is chosen. */
export function choice(label, values, chosen, told) {
  return h("label", { class: "choice" }, h("span", {}, label), h("select", { on: { change: (event) => told(event.target.value) } },
    values.map((value) => h("option", { value, selected: value === chosen }, value))));
}

/** Nothing to show: what that means, and what to do. `code` is a command that helps. */
export function notice(title, words, { code = null, actions = [], kind = "empty" } = {}) {
  return h("div", { class: `notice notice-${kind}` }, h("p", { class: "notice-title" }, title), words && h("p", {}, words),
    code && h("pre", {}, h("code", {}, code)), actions.length > 0 && h("p", { class: "notice-actions" }, actions));
}

/** What did not come, and what to do. What is not there, or not for this reader, is told calmly: asking again helps nobody. */
export function trouble(error, again) {
  if (error.kind === "gone") return notice("This could not be loaded.", null, { kind: "broken", actions: again ? [retry(again)] : [] }); // why is said above
  const isFinal = error.kind === "missing" || error.kind === "refused";
  return notice(sentence(error.message), sentence(error.remedy), {
    kind: isFinal ? "empty" : "broken", actions: again && !isFinal ? [retry(again)] : [],
  });
}

const retry = (again) => h("button", { type: "button", on: { click: again } }, "Try again");

/** The server's words begin small, as in a log. */
export const sentence = (text) => (/^[a-z][a-z']* /.test(text ?? "") ? text[0].toUpperCase() + text.slice(1) : text);

/** The shape of what is coming. */
export const loading = (what, lines = 4) => h("div", { class: "loading", role: "status" }, unseen(`Loading ${what}`),
  Array.from({ length: lines }, () => h("div", { class: "loading-line", "aria-hidden": "true" })));

/** Ask, showing that it is under way, then what came or what went wrong. */
export async function into(place, what, work, signal) {
  if (!place.hasChildNodes()) fill(place, loading(what));
  place.setAttribute("aria-busy", "true");
  try {
    fill(place, await work());
  } catch (error) {
    if (signal?.aborted || error.name === "AbortError") return;
    if (!error.remedy) console.error(error);
    fill(place, trouble(error.remedy ? error : { message: "This part of the page could not be drawn.", remedy: String(error) },
      () => into(place, what, work, signal)));
  } finally {
    place.removeAttribute("aria-busy");
  }
}

/** A view of one answer: it stands below a heading, and is asked for again where the stream was away, and from time to time. */
export function answered(main, heading, what, work, signal) {
  const place = h("div");
  fill(main, heading, place);
  const again = () => into(place, what, work, signal);
  again();
  return { back: again, again };
}

export const tokens = (value) => h("span", {}, count(value), value === null || value === undefined ? null : h("span", { class: "unit" }, " tok"));
