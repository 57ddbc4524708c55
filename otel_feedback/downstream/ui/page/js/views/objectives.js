// Objectives: how good it is against what was promised, and what is left of the room for errors.

import { filtersOf } from "../address.js";
import { ask } from "../api.js";
import { h, said } from "../dom.js";
import * as format from "../format.js";
import { answered, figure, notice, sentence } from "../parts.js";
import { pill } from "../status.js";

const MEANING = { met: "success", "at risk": "timeout", missed: "failure" };

export function show(main, ctx) {
  const filters = filtersOf(ctx.params);
  return answered(main, h("h1", {}, "Objectives"), "objectives", async () => {
    const { objectives, remedy } = await ask("/api/objectives", filters, ctx.signal);
    if (!objectives.length) return notice("No objectives yet", sentence(remedy) ?? "Say in slo.toml what is good enough; this page then shows how much of the budget is left.");
    return h("ul", { class: "cards cards-wide" }, objectives.map((one) => h("li", {}, objective(one))));
  }, ctx.signal);
}

function objective(one) {
  const left = one.budget_left;
  const known = Number.isFinite(left);
  const tone = !known ? "" : left <= 0 ? "bar-bad" : left < 0.25 ? "bar-warn" : "bar-good";
  return h("article", { class: "card", "aria-label": one.name },
    h("p", { class: "card-head" }, pill(MEANING[one.state] ?? "pending", one.state), h("strong", {}, said(one.name, 80)), one.group && h("span", { class: "muted" }, said(one.group, 80))),
    h("dl", { class: "figures figures-small" },
      figure("Good", format.share(one.good), { note: h("span", { class: "muted" }, `of ${format.count(one.count)}`) }),
      figure("Target", format.share(one.target), { note: h("span", { class: "muted" }, `over ${one.period}`) }),
      figure("Budget left", known ? format.share(left) : format.UNKNOWN, { tone: known && left <= 0 ? "bad" : null })),
    h("span", { class: `budget ${tone}`, role: "img", "aria-label": known ? `${format.share(left)} of the budget is left` : "not known yet", style: { "--share": String(known ? Math.max(0, Math.min(1, left)) : 0) } }),
    h("p", { class: "muted burn" }, "Burn ", Object.entries(one.burn ?? {}).map(([window, value]) => h("span", {}, `${window} `, h("b", {}, Number.isFinite(value) ? `${value.toFixed(1)}×` : format.UNKNOWN)))),
    one.forecast && h("p", { class: "muted" }, `At this pace it is used up ${format.moment(one.forecast)}.`),
    one.note && h("p", { class: "muted" }, said(one.note, 300)));
}
