// Gaps: where less comes out than elsewhere, by more than chance, and what that costs: what to improve next.

import { filtersOf, query, runPath, withFilter, withOnly } from "../address.js";
import { ask } from "../api.js";
import { h, said } from "../dom.js";
import * as format from "../format.js";
import { answered, bar, choice, notice, panel, sentence } from "../parts.js";

const SORTS = ["lost", "cost", "time"];
const BEGIN = 'with feedback.action("answer", agent="planner", tags=["beta"], metadata={"plan": "free"}) as act:\n    act.score(quality=0.8)';

export function show(main, ctx) {
  const filters = filtersOf(ctx.params);
  const sort = SORTS.includes(ctx.params.get("sort")) ? ctx.params.get("sort") : "lost";
  const heading = h("div", { class: "title-row" }, h("h1", {}, "What to improve next"), choice("Most", SORTS, sort, (value) => ctx.go(withOnly(ctx.params, "sort", value))));
  const asked = withOnly(filters, "sort", sort);
  return answered(main, heading, "gaps", async () => drawn(await ask("/api/gaps", asked, ctx.signal), filters), ctx.signal);
}

function drawn(told, filters) {
  const footnotes = [
    told.is_cut && `Of what is asked for, the newest are looked through: since ${format.moment(told.since)}.`,
    told.gaps.length > 0 && `At most ${format.share(told.false_share)} of what is told may be there by chance.`, told.left_out_words && `${sentence(told.left_out_words)}.`,
  ].filter(Boolean);
  const below = footnotes.map((words) => h("p", { class: "muted footnote" }, said(words, 1_000)));
  if (!told.actions) return notice("No actions", "None ended in this time, of what fits these filters. What an action is of is what gaps are looked for in:", { code: BEGIN });
  if (!told.gaps.length) return [notice("No slice stands out", `${sentence(told.verdict)}.`), ...below];
  const most = Math.max(...told.gaps.map((one) => one.lost));
  return [panel("Gaps", h("ol", { class: "failures" }, told.gaps.map((one) => h("li", {}, gap(one, most, filters)))), { note: told.verdict }), ...below];
}

function gap(one, most, filters) {
  const { words } = one;
  const only = one.filters?.reduce((params, [name, value]) => withFilter(params, name, value), filters);
  return h("article", { class: "failure gap", "aria-label": words.slice },
    h("div", { class: "failure-count" }, h("b", {}, words.lost), bar(one.lost / most, "bar-bad")),
    h("div", { class: "failure-what" },
      h("p", {}, h("strong", {}, said(words.slice, 160))),
      h("p", {}, h("span", { class: "tone-bad" }, words.what), h("span", { class: "muted" }, "; ", words.rates)),
      words.same && h("p", { class: "muted" }, said(sentence(words.same), 300))),
    h("dl", { class: "failure-facts" },
      h("div", {}, h("dt", {}, "Actions"), h("dd", {}, format.count(one.actions))),
      h("div", {}, h("dt", {}, "Runs"), h("dd", {}, format.count(one.runs))),
      h("div", {}, h("dt", {}, "Cost"), h("dd", {}, format.money(one.cost))),
      h("div", {}, h("dt", {}, "Time"), h("dd", {}, format.duration(one.took_ms))),
      h("div", {}, h("dt", {}, "By chance"), h("dd", {}, words.likely))),
    h("p", { class: "failure-links" },
      h("span", { class: "gap-examples" }, one.examples.filter((each) => each.run_id).map(example)),
      only && h("a", { href: `/${query(only)}` }, "All of it")));
}

const example = (one, number) => h("a", { class: number ? null : "button", href: runPath(one.run_id, one.event_id), "aria-label": `Example ${number + 1}`, data: number ? {} : { stop: "" } },
  number ? String(number + 1) : "Example");
