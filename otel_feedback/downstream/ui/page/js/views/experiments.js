// Experiments: which there are, and whether one of their variants is better yet; and any two values of something, held against each
// other in the same way. The words are those of `otel-feedback compare`.

import { comparedOf, comparing, filtersOf, query } from "../address.js";
import { ask } from "../api.js";
import { Bands } from "../bands.js";
import { fill, h, said, unseen } from "../dom.js";
import * as format from "../format.js";
import { into, notice, panel, table } from "../parts.js";
import { mark, pill } from "../status.js";
import { comparisonForm } from "./comparing.js";

const BEGIN = `with feedback.action("answer", user_id=user_id):
    variant = feedback.variant("prompt-7", {"a": 0.5, "b": 0.5}, unit=user_id)`;
const VERDICTS = { better: "success", worse: "failure", "not enough yet": "pending" };
const SIGNS = { plain: null, doubt: "timeout", wrong: "failure" };
const UNITS = {
  share: { show: format.share, change: (value) => `${(value * 100).toFixed(1)} pt` },
  score: { show: (value) => value.toFixed(3) },
  usd: { show: format.money },
  ms: { show: format.duration },
};
const TALL = 170;

export function show(main, ctx) {
  const view = new Experiments(main, ctx);
  view.again();
  return view;
}

class Experiments {
  constructor(main, ctx) {
    this.ctx = ctx;
    this.filters = filtersOf(ctx.params);
    this.compared = comparedOf(ctx.params);
    this.charts = new Map(); // by action, metric and what is drawn
    this.list = h("div");
    this.comparison = h("div");
    fill(main, h("div", { class: "title-row" }, h("h1", {}, "Experiments"),
      comparisonForm(this.compared, (compared) => ctx.go(comparing(ctx.params, compared)))), this.list, this.comparison);
  }

  again() {
    const { signal } = this.ctx;
    into(this.list, "experiments", async () => {
      const told = await ask("/api/experiments", this.filters, signal);
      const isOther = this.compared.has("compare");
      const chosen = isOther ? null : this.compared.get("experiment") ?? told.experiments[0]?.name ?? null;
      if (isOther || chosen !== null) this.#compare(chosen);
      else fill(this.comparison);
      return told.experiments.length ? this.#listed(told, chosen) : isOther || chosen !== null ? null : nothing(this.filters);
    }, signal);
  }

  back() {
    this.again();
  }

  dispose() {
    this.charts.forEach((chart) => chart.dispose());
  }

  #to(name) {
    return `/experiments${query(comparing(this.filters, [["experiment", name]]))}`;
  }

  #listed({ experiments, is_all: isAll }, chosen) {
    return panel("In this time", table("Experiments, the newest first", [
      { label: "Experiment", cell: (one) => [h("a", { href: this.#to(one.name), "aria-current": one.name === chosen && "true", data: { stop: "" } }, said(one.name, 80)), variants(one)] },
      { label: "Shares", cell: drawing },
      { label: "Actions", num: true, cell: (one) => format.count(one.actions), kind: "p2" },
      { label: "Units", num: true, cell: (one) => format.count(one.units), kind: "p2" },
      { label: "Last", num: true, cell: (one) => h("time", { title: format.moment(one.last) }, format.ago(one.last)), kind: "p3" },
    ], experiments, { row: (one) => ({ class: one.name === chosen && "is-open" }) }), { note: `${format.plural(experiments.length, "experiment")}${isAll ? "" : ", the newest"}` });
  }

  #compare(experiment) {
    const asked = new URLSearchParams(this.filters);
    if (experiment !== null && !this.compared.has("experiment")) asked.set("experiment", experiment);
    for (const [name, value] of this.compared) asked.append(name, value);
    const { signal } = this.ctx;
    into(this.comparison, "the comparison", async () => this.#drawn(await ask("/api/compare", asked, signal)), signal);
  }

  #drawn(told) {
    const title = told.experiment ?? `${told.compare.replace("metadata.", "")}: ${told.values.join(" against ")}`;
    const against = told.variants.length > 1 && h("label", { class: "choice" }, h("span", {}, "Against"), h("select", { on: { change: (event) => this.#against(told, event.target.value) } },
      told.variants.map((name) => h("option", { value: name, selected: name === told.baseline }, format.short(name, 40)))));
    return [
      h("section", { class: "comparison", "aria-label": "Comparison" },
        h("div", { class: "title-row" }, h("h2", {}, said(title, 120)), against),
        told.remarks.map((one) => h("p", { class: `remark remark-${one.weight}` }, SIGNS[one.weight] && mark(SIGNS[one.weight]), h("span", {}, one.text)))),
      told.actions.map((action) => this.#action(action, told)),
      told.alone && h("p", { class: "muted foot-note" }, told.alone),
      told.actions.length > 0 && h("p", { class: "muted foot-note" }, `${told.basis} More: units that it takes, if it stays so.`),
    ];
  }

  #against(told, name) {
    const compared = told.experiment === null ? [...this.compared].filter(([key]) => key !== "baseline") : [["experiment", told.experiment]];
    this.ctx.go(comparing(this.ctx.params, [...compared, ["baseline", name]]));
  }

  #action(action, told) {
    const rows = action.metrics.flatMap((metric) => metric.rows.map((row, place) => ({ ...row, metric: metric.metric, isFirst: place === 0 })));
    const name = (row) => row.metric[0].toUpperCase() + row.metric.slice(1);
    const counts = Object.entries(action.actions).map(([variant, count], place) => [place > 0 && ", ", said(variant, 40), ` ${format.plural(count, "action")}`]);
    return panel(action.action_type.slice(0, 120), [
      table(`Metrics of ${action.action_type}`, [
        { label: "Metric and variant", cell: (row) => h("span", { class: "metric" }, h("span", {}, row.isFirst ? name(row) : unseen(name(row))), said(row.variant, 60)) },
        { label: "Mean", num: true, cell: (row) => [h("b", {}, row.mean), row.coverage < 0.995 && h("span", { class: "muted" }, ` (${format.share(row.coverage)})`)] },
        { label: "Difference", num: true, cell: (row) => row.difference, kind: "p2" },
        { label: "Interval", num: true, cell: (row) => row.interval, kind: "p2" },
        { label: "Verdict", cell: (row) => row.verdict && pill(VERDICTS[row.verdict], row.state) },
      ], rows, { row: (row) => ({ class: row.isFirst ? "is-first" : "is-more" }) }),
      action.remarks.map((text) => h("p", { class: "remark remark-doubt pad" }, mark("timeout"), h("span", {}, text))),
      h("div", { class: "pictures pictures-two" }, action.metrics.filter((metric) => metric.picture).flatMap((metric) => this.#pictures(action, metric, told))),
    ], { note: counts, kind: "experiment" });
  }

  #pictures(action, metric, told) {
    const { show: shown, change } = UNITS[metric.unit];
    const title = metric.metric[0].toUpperCase() + metric.metric.slice(1);
    const colours = Object.keys(metric.picture.variants);
    const signed = (value) => `${value > 0 ? "+" : value < 0 ? "−" : ""}${(change ?? shown)(Math.abs(value))}`;
    return [
      this.#picture(`${action.action_type}\n${metric.metric}`, metric.picture.variants, colours, { title, note: `${metric.better} is better`, show: shown }),
      this.#picture(`${action.action_type}\n${metric.metric}\ndifference`, metric.picture.differences, colours, { title: `${title}: difference`, note: h("span", {}, "to ", said(told.baseline, 40)), show: signed, zero: true }),
    ];
  }

  #picture(key, points, colours, options) {
    const names = Object.keys(points);
    if (!names.length) return null;
    const chart = this.charts.get(key) ?? new Bands({ ...options, height: TALL });
    this.charts.set(key, chart);
    const until = [...new Set(names.flatMap((name) => points[name].until))].sort((one, other) => one - other);
    const aligned = names.map((name) => [name, along(points[name], until)]);
    const isOfBoth = options.zero; // points of a difference count the actions of both
    chart.set({
      until,
      actions: until.map((_, place) => aligned.reduce((most, [, one]) => (isOfBoth ? Math.max(most, one.actions[place] ?? 0) : most + (one.actions[place] ?? 0)), 0)),
      lines: aligned.map(([name, one]) => ({ key: name, label: format.short(name), colour: `--key-${colours.indexOf(name) % 8}`, estimate: one.estimate, low: one.low, high: one.high })),
    });
    return chart.element;
  }
}

/** Points at all these moments: where nothing came it stands as it was. */
function along(points, until) {
  const found = { actions: [], estimate: [], low: [], high: [] };
  let at = -1;
  for (const moment of until) {
    while (points.until[at + 1] <= moment) at += 1;
    for (const name of Object.keys(found)) found[name].push(at < 0 ? null : points[name][at]);
  }
  return found;
}

function variants(one) {
  const all = one.variants.reduce((sum, each) => sum + each.counted, 0);
  return h("ul", { class: "variants" }, one.variants.map((each) => h("li", {}, said(each.variant, 40), " ", h("b", {}, format.share(all ? each.counted / all : null)),
    each.drawn !== null && h("span", { class: "muted" }, ` of ${format.share(each.drawn)}`))));
}

function drawing(one) {
  if (!one.variants.length) return pill("pending", "none ended yet");
  if (one.is_mismatch) return pill("failure", "not as drawn");
  if (one.weights_changed) return pill("timeout", "weights changed");
  return one.is_checked ? pill("success", "as drawn") : pill("pending", "not checked");
}

const nothing = (filters) => notice("No experiment yet", [...filters.keys()].length ? "None was under way in this time, of what fits these filters. One begins where the choice is made:"
  : "None was under way in the last 24 hours. One begins where the choice is made:", { code: BEGIN });
