// Pipeline: whether all that agents recorded has arrived, and if not, where it is.

import { filtersOf } from "../address.js";
import { ask } from "../api.js";
import { h, said } from "../dom.js";
import * as format from "../format.js";
import { answered, figure, figures, notice, panel, sentence, table } from "../parts.js";
import { pill } from "../status.js";

export function show(main, ctx) {
  const filters = filtersOf(ctx.params);
  return answered(main, h("h1", {}, "Pipeline"), "the pipeline", async () => drawn(await ask("/api/pipeline", filters, ctx.signal)), ctx.signal);
}

function drawn(told) {
  const { producers, lost_by: reasons, store } = told;
  if (!producers.length && !store) return notice("No producer has told anything yet", sentence(told.remedy) ?? "Producers are known by their events: start an agent.");
  return [told.balances !== null || told.appended !== null ? account(told) : told.remedy && h("p", { class: "notice notice-inline" }, sentence(told.remedy)),
    h("div", { class: "columns columns-even" },
      panel("Lost", reasons?.length ? table("Lost, by reason", [
        { label: "Reason", cell: (one) => h("code", {}, said(one.reason, 60)) },
        { label: "Events", num: true, cell: (one) => format.exact(one.count) },
        { label: "Meaning", cell: (one) => one.meaning && said(one.meaning, 200), kind: "p2" },
      ], reasons) : h("p", { class: "muted pad" }, told.lost === null ? "Not told: producers say it on the topic of the account only." : "Nothing was lost.")),
      store && panel("Store", figures("Store", [
        figure("Events", format.count(store.rows)), figure("Size", format.bytes(store.bytes)),
        figure("Oldest", format.time(store.oldest), { title: format.moment(store.oldest) }), figure("Newest", format.time(store.newest), { title: format.moment(store.newest) }),
      ]), { note: format.plural(store.files, "file") })),
    panel("Producers", producers.length ? table("Producers, the newest first", [
      { label: "Producer", cell: (one) => h("span", {}, said(one.service ?? "no service", 60), " ", h("code", { class: "muted" }, said(one.producer_id, 10))) },
      { label: "Events", num: true, cell: (one) => format.count(one.events) },
      { label: "Missing", num: true, cell: (one) => many(one.gaps) },
      { label: "Pending", num: true, cell: (one) => format.count(one.pending), kind: "p2" },
      { label: "Lost", num: true, cell: (one) => many(one.lost), kind: "p2" },
      { label: "Journal", num: true, cell: (one) => format.bytes(one.journal_bytes), kind: "p3" },
      { label: "Last heard", num: true, cell: (one) => h("time", { title: format.moment(one.last) }, format.ago(one.last)) },
    ], producers) : h("p", { class: "muted pad" }, sentence(told.remedy) ?? "None is known: log files do not name them."), { note: format.plural(producers.length, "process", "processes") })];
}

/** How many there should not be. */
const many = (count) => (count ? h("b", { class: "tone-bad" }, format.count(count)) : format.count(count));

/** The law, with its numbers: appended = delivered + pending + lost. */
function account({ balances, appended, delivered, pending, lost, gaps, lag }) {
  const term = (label, value, tone) => h("div", { class: "term" }, h("dt", {}, label), h("dd", { class: tone }, format.count(value)));
  const words = balances === null ? pill("pending", "not known yet") : balances ? pill("success", "balances") : pill("failure", "does not balance");
  return panel("Account", h("div", {},
    h("dl", { class: "account" }, term("appended", appended), term("delivered", delivered), term("pending", pending), term("lost", lost, lost ? "tone-bad" : null)),
    h("p", { class: "muted pad" }, gaps === null ? "Log files do not say in which order their events were" : gaps ? h("b", { class: "tone-bad" }, `${format.plural(gaps, "event")} missing`) : "No event missing", gaps === null ? "" : " in the order of each producer", lag == null ? "." : `; ${format.plural(lag, "record")} of the topic not read yet.`)), { more: words });
}
