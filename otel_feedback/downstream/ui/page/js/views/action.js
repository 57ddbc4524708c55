// One action of a run: all that is known of it.

import { h, said } from "../dom.js";
import * as format from "../format.js";
import { errorKind } from "../status.js";
import { ratings } from "./ratings.js";

/** @param action an action of /api/run; @param state the answer of /api/state, for the link into Jaeger */
export function detail(action, state) {
  const trace = action.trace_id && state?.jaeger?.replace("{trace_id}", action.trace_id);
  return h("div", { class: "detail" },
    words(action),
    h("dl", { class: "facts" }, facts(action).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    scores(action.scores),
    ratings(action.feedback),
    metadata(action.metadata),
    action.tags?.length > 0 && h("p", { class: "tags" }, action.tags.map((tag) => h("span", { class: "tag" }, said(tag, 60)))),
    (action.error || action.stack) && h("div", { class: "detail-error" },
      h("p", {}, h("strong", {}, said(errorKind(action) ?? "Error", 200)), action.error && [": ", said(action.error, 4_000)]),
      action.stack && h("pre", { tabindex: "0", "aria-label": "Stack" }, h("code", {}, action.stack))),
    trace && h("p", {}, h("a", { href: trace, target: "_blank", rel: "noopener noreferrer" }, "Its trace in Jaeger")));
}

function words(action) {
  const notes = [];
  if (action.lost) notes.push("Its process died: how it ended is not known, and what it used is missing.");
  else if (action.status === "pending") notes.push("It has not ended, as far as was told.");
  for (const flag of action.flags ?? []) notes.push(flag.replaceAll("_", " "));
  return notes.length > 0 && h("p", { class: "notice notice-inline" }, notes.map((note, place) => [place > 0 && h("br"), said(note, 200)]));
}

function facts(action) {
  const both = (own, all, show) => (own === all || own == null ? show(all) : `${show(own)} of its own, ${show(all)} in all`);
  return [
    ["Status", `${action.status}, ${action.severity}`], ["Action", said(action.action, 200)],
    ["Agent", action.agent && said(action.agent, 200)], ["Tool", action.tool && said(action.tool, 200)], ["Model", action.model && said(action.model, 200)],
    ["Began", format.moment(action.start)], ["Ended", action.end && format.moment(action.end)], ["Took", action.end && format.duration(action.duration)],
    ["Tokens", action.inclusive_tokens != null && both(action.own_tokens, action.inclusive_tokens, format.exact)],
    ["Cost", action.inclusive_cost != null && both(action.own_cost, action.inclusive_cost, format.money)],
    ["Retries", action.retries > 0 && format.exact(action.retries)], ["Revision", action.revision > 1 && format.exact(action.revision)],
    ["Quality", Number.isFinite(action.quality) && action.quality.toFixed(2)], ["Event", h("code", {}, said(action.event_id, 80))],
  ].filter(([, value]) => value !== null && value !== undefined && value !== false && value !== "");
}

function metadata(told) {
  const entries = Object.entries(told ?? {}).filter(([name]) => !name.startsWith("evaluation.")); // those are scores
  if (!entries.length) return null;
  return h("details", {}, h("summary", {}, `Metadata (${entries.length})`), h("dl", { class: "facts" }, entries.map(([name, value]) =>
    h("div", {}, h("dt", {}, said(name, 120)), h("dd", {}, said(Array.isArray(value) ? value.join(", ") : String(value), 500))))));
}

function scores(told) {
  const list = Array.isArray(told) ? told : Object.entries(told ?? {}).map(([name, value]) => ({ name, value }));
  if (!list.length) return null;
  return h("ul", { class: "scores", "aria-label": "Scores" }, list.map((one) => h("li", {}, said(one.name, 80), " ",
    h("b", {}, typeof one.value === "number" ? one.value.toFixed(2) : String(one.value)), one.comment && h("span", { class: "muted" }, " ", said(one.comment, 300)))));
}
