// What was said of actions afterwards: means by name, and single ones. Where nothing was said nothing stands, and no zero.

import { h, said } from "../dom.js";
import * as format from "../format.js";
import { panel, table } from "../parts.js";

const SHOWN = 10;
const LABELS = 5;

/** The mean over the actions of which anything was said, and of what share that is. */
export const rated = (one) => (one?.rated > 0 ? h("span", {}, format.score(one.feedback), h("span", { class: "muted" }, ` (${format.share(one.coverage)})`)) : null);

const labels = (told) => Object.entries(told ?? {}).slice(0, LABELS).map(([label, count], place) => [place > 0 && ", ", said(label, 40), count > 1 && ` ${format.exact(count)}`]);

/** How long after the end of its action: what came before it says so. */
const after = (seconds) => (!Number.isFinite(seconds) ? format.UNKNOWN : `${format.duration(Math.abs(seconds) * 1e3)} ${seconds < 0 ? "before" : "after"}`);

/** @param names of /api/run, of one action: each name and source in a line */
export function ratings(names) {
  if (!names?.length) return null;
  return h("ul", { class: "scores", "aria-label": "Feedback" }, names.map((one) => h("li", {}, said(one.name, 80), h("span", { class: "muted" }, ` ${one.source} `),
    one.scored > 0 && h("b", {}, format.score(one.score)), labels(one.labels).length > 0 && [" ", labels(one.labels)],
    h("span", { class: "muted" }, one.count > 1 ? ` ${format.plural(one.count, "rater")}` : "", ` ${after(one.delay_s)}`))));
}

/** @param told `feedback` of /api/run; @param open shows an action by its event id */
export function given(told, open) {
  if (!told) return null;
  const single = told.given.slice(0, SHOWN);
  return panel("Feedback", [
    table("Feedback by name, of each rater the newest", [
      { label: "Name", cell: (one) => said(one.name, 80) },
      { label: "By", cell: (one) => one.source },
      { label: "Mean", num: true, cell: (one) => h("b", {}, format.score(one.score)) },
      { label: "Given", num: true, cell: (one) => format.exact(one.count) },
      { label: "After the end", num: true, cell: (one) => (Number.isFinite(one.delay_s) && one.delay_s >= 0 ? format.duration(one.delay_s * 1e3) : after(one.delay_s)), kind: "p2" },
      { label: "Labels", cell: (one) => labels(one.labels), kind: "p2" },
    ], told.names),
    h("h3", { class: "rows-title" }, "The newest"),
    h("ol", { class: "rows" }, single.map((one) => h("li", {}, h("button", { type: "button", class: "plain", data: { stop: "" }, on: { click: () => open(one.event_id) } },
      h("span", { class: "row-name" }, said(one.name, 80), " ", one.score !== null && h("b", {}, format.score(one.score)), one.label !== null && [" ", said(one.label, 60)]),
      h("span", { class: "row-value muted" }, one.source, one.by !== null && [" ", said(one.by, 40)], `, ${after(one.delay_s)}`),
      one.comment && h("span", { class: "row-more" }, said(one.comment, 300)))))),
  ], { note: `${told.count} given, on ${told.rated} of ${format.plural(told.ended, "action")} that ended${told.given.length > SHOWN ? `; the newest ${SHOWN} are shown` : ""}` });
}
