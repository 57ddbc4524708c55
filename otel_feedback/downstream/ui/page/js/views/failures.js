// Failures: what fails, how often, for whom, since when, with an example to open.

import { filtersOf, NONE, query, runPath, withFilter } from "../address.js";
import { ask } from "../api.js";
import { h, said } from "../dom.js";
import * as format from "../format.js";
import { answered, bar, notice, panel } from "../parts.js";
import { badge, errorKind } from "../status.js";

const MOST = 200;

export function show(main, ctx) {
  const filters = filtersOf(ctx.params);
  return answered(main, h("h1", {}, "Failures"), "failures", async () => drawn((await ask("/api/failures", filters, ctx.signal)).groups, filters), ctx.signal);
}

function drawn(groups, filters) {
  if (!groups.length) return notice("Nothing failed", "In this time, of what fits these filters.");
  const most = Math.max(...groups.map((one) => one.times));
  const all = groups.reduce((sum, one) => sum + one.times, 0);
  return panel("By agent, action and error", h("ol", { class: "failures" }, groups.slice(0, MOST).map((one) => h("li", {}, group(one, most, filters)))),
    { note: `${format.plural(all, "action")} in ${format.plural(groups.length, "kind")}${groups.length > MOST ? `; the first ${MOST} are shown` : ""}` });
}

function group(one, most, filters) {
  const only = [["agent", one.agent], ["action", one.action], ["error_type", one.error_type], ["status", one.status]]
    .reduce((params, [name, value]) => withFilter(params, name, value ?? NONE), filters);
  return h("article", { class: "failure" },
    h("div", { class: "failure-count" }, h("b", {}, format.count(one.times)), bar(one.times / most, "bar-bad")),
    h("div", { class: "failure-what" },
      h("p", {}, badge(one.status), " ", h("strong", {}, said(errorKind(one) ?? "no error named", 120))),
      h("p", { class: "muted" }, said(one.agent ?? "no agent", 80), " · ", said(one.action, 80)),
      one.message && h("p", { class: "failure-message" }, said(one.message, 300))),
    h("dl", { class: "failure-facts" },
      h("div", {}, h("dt", {}, "Runs"), h("dd", {}, format.count(one.runs))),
      one.tenants > 0 && h("div", {}, h("dt", {}, "Tenants"), h("dd", {}, format.count(one.tenants))),
      h("div", {}, h("dt", {}, "First"), h("dd", { title: format.moment(one.first) }, format.time(one.first))),
      h("div", {}, h("dt", {}, "Last"), h("dd", { title: format.moment(one.last) }, format.ago(one.last)))),
    h("p", { class: "failure-links" },
      one.example_run && h("a", { class: "button", href: runPath(one.example_run, one.example_event), data: { stop: "" } }, "Example"),
      h("a", { href: `/${query(only)}` }, "All of it")));
}
