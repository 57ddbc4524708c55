// Alerts: those that are open, and how earlier ones went.

import { filtersOf, query, runPath, withFilter } from "../address.js";
import { ask } from "../api.js";
import { h, said } from "../dom.js";
import * as format from "../format.js";
import { answered, notice, panel, sentence, table } from "../parts.js";
import { pill } from "../status.js";

const MEANING = { firing: "failure", flapping: "partial", resolved: "success", expired: "cancelled" };

export function show(main, ctx) {
  const filters = filtersOf(ctx.params);
  const { back } = answered(main, h("h1", {}, "Alerts"), "alerts", async () => drawn(await ask("/api/alerts", filters, ctx.signal), filters), ctx.signal);
  return { alertsChanged: back, back }; // the stream says when there is something else to see
}

export const about = (one) => [["tenant", one.tenant], ["agent", one.agent], ["action", one.action]].filter(([, value]) => value != null);

const state = (one) => pill(MEANING[one.state] ?? "pending", one.state);

/** One alert, whole: what, where, how bad, since when, and an example. */
export function alertCard(one, { small = false } = {}) {
  const parts = about(one);
  return h("article", { class: `card alert severity-${one.severity}`, "aria-label": `${one.state}: ${one.rule}` },
    h("p", { class: "card-head" }, state(one), h("strong", {}, said(one.rule, 80)), h("span", { class: "muted" }, one.severity)),
    h("p", { class: "card-value" }, h("b", {}, said(one.value, 60)), one.usual && h("span", { class: "muted" }, " usual is ", said(one.usual, 60))),
    parts.length > 0 && h("p", { class: "muted" }, parts.map(([name, value], place) => [place > 0 && ", ", `${name} `, said(value, 60)])),
    !small && one.meaning && h("p", {}, said(sentence(one.meaning), 300)),
    h("p", { class: "card-foot muted" }, h("time", { datetime: stamp(one.since), title: format.moment(one.since) }, `since ${format.time(one.since)}`),
      one.acknowledged && h("span", {}, "known to ", said(one.acknowledged, 40)), one.silenced && h("span", {}, "silenced"),
      one.run_id && h("a", { href: runPath(one.run_id), data: { stop: "" } }, "Example run")));
}

const stamp = (ms) => (Number.isFinite(ms) ? new Date(ms).toISOString() : null);

function drawn({ open, history, remedy }, filters) {
  if (!open.length && !history.length && remedy) return notice("No alerts are kept here", sentence(remedy), { code: "otel-feedback alerts run" });
  return [
    panel("Open", open.length ? h("ul", { class: "cards cards-wide" }, open.map((one) => h("li", {}, alertCard(one))))
      : h("p", { class: "muted pad" }, "None is open."), { note: format.exact(open.length) }),
    panel("History", history.length ? table("Alerts that were, the newest first", [
      { label: "Rule", cell: (one) => said(one.rule, 80) },
      { label: "State", cell: state },
      { label: "About", cell: (one) => about(one).map(([name, value], place) => [place > 0 && ", ", h("a", { href: `/${query(withFilter(filters, name, value))}` }, said(value, 60))]), kind: "p2" },
      { label: "At worst", num: true, cell: (one) => said(one.worst ?? one.value, 40) },
      { label: "Began", num: true, cell: (one) => h("time", { title: format.moment(one.since) }, format.time(one.since)) },
      { label: "Took", num: true, cell: (one) => (one.until ? format.duration(one.until - one.since) : "still"), kind: "p2" },
      { label: "Example", hide: true, cell: (one) => one.run_id && h("a", { href: runPath(one.run_id), data: { stop: "" } }, "Run") },
    ], history) : h("p", { class: "muted pad" }, "None so far.")),
  ];
}
