// Cost: who and what it was spent on, by the hour or day. What has no known price is told, not counted as nothing.

import { COST_BY, costBy, filtersOf, NONE, query, withFilter, withOnly } from "../address.js";
import { ask } from "../api.js";
import { Chart } from "../charts.js";
import { h, said } from "../dom.js";
import * as format from "../format.js";
import { answered, bar, choice, notice, panel, table } from "../parts.js";

const COLOURS = 8; // of the style sheet: as many keys as the server tells apart
const MOST = 200;

export function show(main, ctx) {
  const filters = filtersOf(ctx.params);
  const by = costBy(ctx.params);
  const bucket = ctx.params.get("bucket") === "day" ? "day" : "hour";
  const chart = new Chart({ title: "Cost", note: `a${bucket === "hour" ? "n" : ""} ${bucket}`, height: 240, stacked: true, show: format.money });
  const picture = h("div", { class: "pictures pictures-one", hidden: true }, chart.element);
  const chosen = (name) => (value) => ctx.go(withOnly(ctx.params, name, value));
  const heading = h("div", { class: "title-row" }, h("h1", {}, "Cost"),
    choice("By", COST_BY, by, chosen("by")), choice("Each bar", ["hour", "day"], bucket, chosen("bucket")));
  const asked = new URLSearchParams(filters);
  asked.set("by", by);
  asked.set("bucket", bucket);
  const view = answered(main, [heading, picture], "cost", async () => {
    const { groups, series } = await ask("/api/cost", asked, ctx.signal);
    if (!groups.length) {
      picture.hidden = true;
      return notice("Nothing was spent", "No action in this time says what it cost or which tokens it used.");
    }
    picture.hidden = false;
    chart.set({ t: series.t.map((ms) => ms / 1e3), step: bucket === "day" ? 86_400 : 3_600, series: series.keys.map((key, number) => ({
      key: `${number} ${key}`, label: key === null ? `no ${by}` : format.short(key), values: series.cost[number], colour: number < COLOURS ? `--key-${number}` : "--key-other",
      total: format.money(series.cost[number].reduce((sum, value) => sum + (value ?? 0), 0)),
    })) });
    return drawn(groups, by, filters);
  }, ctx.signal);
  return { ...view, dispose: () => chart.dispose() };
}

function drawn(groups, by, filters) {
  const all = groups.reduce((sum, one) => sum + (one.cost ?? 0), 0);
  const unpriced = groups.reduce((sum, one) => sum + (one.unpriced ?? 0), 0);
  const to = (one) => `/${query(withFilter(filters, by, one.key ?? NONE))}`;
  return [
    unpriced > 0 && h("p", { class: "notice notice-inline" }, `${format.plural(unpriced, "action")} used tokens of models whose price is not known: their cost is not in these sums.`),
    panel(`By ${by}`, table(`Cost by ${by}, the most first`, [
      { label: by, cell: (one) => h("a", { href: to(one), data: { stop: "" } }, one.key === null ? `no ${by}` : said(one.key, 80)) },
      { label: "Cost", num: true, cell: (one) => h("b", {}, format.money(one.cost)) },
      { label: "Share", num: true, cell: (one) => h("span", { class: "rate" }, bar(all ? one.cost / all : 0), all ? format.share((one.cost ?? 0) / all) : format.UNKNOWN) },
      { label: "A run", num: true, cell: (one) => (one.runs && one.cost !== null ? format.money(one.cost / one.runs) : format.UNKNOWN), kind: "p2" },
      { label: "Tokens", num: true, cell: (one) => format.count(one.tokens), kind: "p2" },
      { label: "Actions", num: true, cell: (one) => format.count(one.actions), kind: "p3" },
      { label: "No price", num: true, cell: (one) => (one.unpriced ? format.count(one.unpriced) : ""), kind: "p3" },
    ], groups.slice(0, MOST)), { note: `${format.money(all)} in ${format.plural(groups.length, by)}${groups.length > MOST ? `; the first ${MOST} are shown` : ""}` }),
  ];
}
