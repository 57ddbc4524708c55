// Now: how it goes, who is in trouble, what is open, what got worse, and what happens this moment.

import { between, DEFAULT_RANGE, filtersOf, NONE, query, RANGES, withFilter } from "../address.js";
import { ask } from "../api.js";
import { Chart } from "../charts.js";
import { announce, fill, h, said, unseen } from "../dom.js";
import { Feed } from "../feed.js";
import * as format from "../format.js";
import { bar, change, figure, figures, loading, notice, panel, sentence, table, trouble } from "../parts.js";
import { lastHour } from "../sparks.js";
import { BAD, mark, STATUSES } from "../status.js";
import { alertCard } from "./alerts.js";
import { rated } from "./ratings.js";

const REFRESH_MS = 10_000;
const SOON_MS = 2_000; // after one question for the feed to the next
const ANNOUNCE_MS = 15_000;
const AGENTS = 12;
const FEED = 30;

export function show(main, ctx) {
  const view = new Now(main, ctx);
  view.begin();
  return view;
}

class Now {
  constructor(main, ctx) {
    this.ctx = ctx;
    this.filters = filtersOf(ctx.params);
    this.feed = new Feed();
    this.isOver = false;
    this.failed = 0;
    this.announced = Date.now();
    this.figures = h("div", { class: "figures-place" }, loading("figures", 2));
    this.pictures = h("div", { class: "pictures" });
    this.agents = h("div", {}, loading("agents"));
    this.alerts = h("div", {}, loading("alerts", 2));
    this.worse = h("div", {}, loading("changes", 2));
    this.events = h("div", {}, loading("the feed", 6));
    this.more = h("button", { type: "button", class: "wide", hidden: true, on: { click: () => this.#older() } }, "Earlier");
    this.trouble = h("div");
    fill(main, h("h1", { class: "unseen" }, "Now"), this.trouble, this.figures, this.pictures,
      h("div", { class: "columns" },
        panel("Agents", this.agents, { note: "most trouble first", kind: "wide-part" }),
        h("div", { class: "column" }, panel("Open alerts", this.alerts, { more: h("a", { href: `/alerts${query(this.filters)}` }, "History") }),
          panel("What got worse", this.worse, { note: `against the ${before(ctx.params)} before` }))),
      panel("Live", h("div", {}, this.events, this.more), { more: this.#pauseButton(), note: "newest first", kind: "feed-panel" }));
    this.charts = this.#charts();
    fill(this.pictures, this.charts.map((chart) => chart.element));
    this.#hasFeedback(false);
  }

  begin() {
    this.#summary();
    this.#feed();
    this.#alerts();
  }

  dispose() {
    this.isOver = true;
    clearTimeout(this.timer);
    this.charts.forEach((chart) => chart.dispose());
  }

  // -- what the stream brings ------------------------------------------------------------------------------------

  rows(events, told) {
    this.feed.hear(events, told);
    if (told.skipped === null && Date.now() - this.asked > SOON_MS) this.#feed();
    this.#feedShown();
    this.failed += events.filter((event) => BAD.has(event.status)).length;
    if (this.failed && Date.now() - this.announced > ANNOUNCE_MS) {
      announce(`${format.plural(this.failed, "action")} failed in the last ${Math.round((Date.now() - this.announced) / 1e3)} seconds`);
      this.failed = 0;
      this.announced = Date.now();
    }
  }

  tick({ totals }) {
    if (totals && this.totals) this.#figures(totals, this.before);
  }

  alertsChanged(open) {
    this.#alertsShown(open);
  }

  back() {
    this.begin(); // the stream was away: what happened meanwhile is asked for
  }

  // -- questions -------------------------------------------------------------------------------------------------

  async #summary() {
    clearTimeout(this.timer);
    const began = performance.now();
    try {
      const now = await ask("/api/now", this.filters, this.ctx.signal);
      fill(this.trouble);
      this.#figures(now.totals, now.before);
      this.#draw(now);
      this.#agents(now.agents);
      this.#worse(now.worse);
      if (this.feed.begin < now.since) this.feed.isBehind = true; // its oldest rows are older than what is asked for
    } catch (error) {
      if (this.isOver || error.name === "AbortError") return;
      if (!error.remedy) console.error(error);
      fill(this.trouble, trouble(error.remedy ? error : { message: "The figures could not be drawn.", remedy: String(error) }, () => this.#summary()));
      if (!this.totals) [this.figures, this.agents, this.worse].forEach((place) => fill(place));
    }
    if (this.isOver) return;
    const pause = Math.max(REFRESH_MS, 20 * (performance.now() - began));
    if (this.feed.isBehind) this.#feed();
    this.timer = setTimeout(() => (document.hidden ? this.#later() : this.#summary()), pause);
  }

  #later() {
    document.addEventListener("visibilitychange", () => !this.isOver && this.#summary(), { once: true });
  }

  async #feed() {
    if (this.feed.isPaused) {
      this.feed.isBehind = true;
      return;
    }
    this.asked = Date.now();
    try {
      const { events, seen } = await this.feed.become(ask("/api/feed", withLimit(this.filters, FEED), this.ctx.signal));
      this.ctx.follow(seen); // from there on, so that nothing between the two is missed
      this.isThere = true;
      this.#feedShown();
      this.more.hidden = events.length < FEED;
    } catch (error) {
      if (this.isOver || error.name === "AbortError") return;
      this.ctx.follow();
      if (this.feed.rows.size === 0) fill(this.events, trouble(error, () => this.#feed()));
    }
  }

  #feedShown() {
    const shown = this.feed.rows.size > 0 ? this.feed.list : this.isThere ? this.empty ??= this.#empty() : null;
    if (shown && this.events.firstChild !== shown) fill(this.events, shown);
  }

  #pause(isPaused) {
    this.feed.isPaused = isPaused;
    this.pause.setAttribute("aria-pressed", String(isPaused));
    this.pause.textContent = isPaused ? "Resume" : "Pause";
    if (this.feed.isBehind) this.#feed();
  }

  async #older() {
    const asked = withLimit(this.filters, 2 * FEED);
    asked.set("before", String(this.feed.begin));
    this.more.disabled = true;
    try {
      const { events } = await ask("/api/feed", asked, this.ctx.signal);
      this.#pause(true); // who reads backwards does not want it to move
      this.feed.add(events, { quiet: true, most: Infinity });
      this.more.hidden = events.length < 2 * FEED;
    } catch (error) {
      if (!this.isOver) this.more.textContent = `${error.message} Try again`;
    }
    this.more.disabled = false;
  }

  async #alerts() {
    try {
      const { open, remedy } = await ask("/api/alerts", this.filters, this.ctx.signal);
      this.remedy = remedy;
      this.#alertsShown(open);
    } catch (error) {
      if (!this.isOver && error.name !== "AbortError") fill(this.alerts, trouble(error));
    }
  }

  // -- what is shown ---------------------------------------------------------------------------------------------

  #empty() {
    const isFiltered = [...this.filters.keys()].length > 0;
    return isFiltered
      ? notice("Nothing fits these filters", "Take one away, or choose a longer time.", { actions: [h("a", { class: "button", href: "/" }, "Show everything")] })
      : notice("No actions yet", "They appear here the moment an agent does something. To see the page at work, in another terminal:", { code: "otel-feedback demo --ui" });
  }

  #pauseButton() {
    this.pause = h("button", { type: "button", class: "quiet", "aria-pressed": "false", on: { click: () => this.#pause(!this.feed.isPaused) } }, "Pause");
    return this.pause;
  }

  #figures(totals, before) {
    this.totals = totals;
    this.before = before;
    const was = before ?? {};
    const shareOf = format.share;
    fill(this.figures, figures("Summary", [
      figure("Actions", format.count(totals.actions), { note: change(totals.actions, was.actions, format.count), title: format.exact(totals.actions) }),
      figure("Error rate", shareOf(totals.error_rate), { note: change(totals.error_rate, was.error_rate, shareOf, { worse: true }), tone: totals.error_rate >= 0.1 ? "bad" : null }),
      figure("Median", format.duration(totals.p50), { note: change(totals.p50, was.p50, format.duration, { worse: true }) }),
      figure("p95", format.duration(totals.p95), { note: change(totals.p95, was.p95, format.duration, { worse: true }) }),
      figure("Tokens", format.count(totals.tokens), { note: change(totals.tokens, was.tokens, format.count) }),
      figure("Cost", format.money(totals.cost), { note: change(totals.cost, was.cost, format.money, { worse: true }) }),
      figure("Quality", format.score(totals.quality), { note: h("span", { class: "muted" }, totals.scored ? `${format.count(totals.scored)} scored` : "none scored") }),
      totals.rated > 0 && figure("Feedback", format.score(totals.feedback), { note: h("span", { class: "muted" }, `${format.share(totals.coverage)} rated`), title: `${format.exact(totals.rated)} of ${format.plural(totals.actions, "action")} have any` }),
      figure("Under way", format.count(totals.pending)),
    ]));
  }

  #charts() {
    const chosen = (from, to) => this.ctx.go(between(this.ctx.params, from, to));
    const common = { chosen, sync: "now" };
    return [
      new Chart({ ...common, title: "Outcomes", height: 220, stacked: true, isWhole: true, show: format.count }),
      new Chart({ ...common, title: "Duration", height: 150, show: format.duration }),
      new Chart({ ...common, title: "Tokens", height: 150, stacked: true, isWhole: true, show: format.count }),
      new Chart({ ...common, title: "Cost", height: 150, stacked: true, show: format.money }),
      new Chart({ ...common, title: "Feedback", note: "0 to 1", height: 150, show: format.score }),
    ];
  }

  /** Its picture is there where anything was said. */
  #hasFeedback(has) {
    this.charts.at(-1).element.hidden = !has;
    this.pictures.classList.toggle("pictures-four", has);
  }

  #draw({ series, bucket_s: step, totals }) {
    const t = series.t.map((ms) => ms / 1e3);
    const note = `a ${format.step(step)}`.replace(/^a (\d)/, "each $1").replace("a hour", "an hour");
    const sum = (values) => values.reduce((all, value) => all + (value ?? 0), 0);
    const one = (key, label, values, total, more) => ({ key, label, values: values ?? t.map(() => null), total, ...more });
    const [outcomes, durations, tokens, cost, feedback] = this.charts;
    outcomes.set({ t, step, note, series: STATUSES.filter((status) => series[status]).map((status) => one(status, status, series[status], format.count(sum(series[status])),
      { colour: `--chart-${status}`, mark: () => mark(status), hollow: status === "pending" })) });
    durations.set({ t, step, series: [
      one("p50", "median", series.p50, format.duration(totals.p50), { colour: "--chart-line" }),
      one("p95", "p95", series.p95, format.duration(totals.p95), { colour: "--chart-second", thin: true }),
    ] });
    tokens.set({ t, step, series: [one("tokens", "all", series.tokens, format.count(totals.tokens), { colour: "--chart-sum" })] });
    this.#hasFeedback(totals.rated > 0);
    if (totals.rated > 0) {
      feedback.set({ t, step, series: [
        one("coverage", "rated", series.coverage, format.share(totals.coverage), { colour: "--chart-second", thin: true, show: format.share }),
        one("feedback", "mean", series.feedback, format.score(totals.feedback), { colour: "--chart-line" }),
      ] });
    }
    cost.set({ t, step, series: [one("cost", "all", series.cost, format.money(totals.cost), { colour: "--chart-sum" })] });
  }

  #agents(agents) {
    const most = Math.max(0.2, ...agents.map((one) => one.error_rate ?? 0));
    if (!agents.length) return fill(this.agents, h("p", { class: "muted pad" }, "No agent has done anything in this time."));
    const shown = this.isWhole ? agents : agents.slice(0, AGENTS);
    const held = document.activeElement?.closest?.("[data-agent]")?.dataset.agent; // a refresh takes the focus from nobody
    fill(this.agents, table("Agents, those with most trouble first", [
      { label: "Agent", cell: (one) => h("a", { href: `/${query(withFilter(this.filters, "agent", one.agent ?? NONE))}`, data: { stop: "", agent: one.agent ?? "" } }, one.agent ? said(one.agent, 60) : "no agent") },
      { label: "Last hour", cell: (one) => lastHour(one.last_hour), kind: "p2" },
      { label: "Actions", num: true, cell: (one) => format.count(one.actions) },
      { label: "Errors", num: true, cell: (one) => h("span", { class: `rate ${one.error_rate >= 0.1 ? "tone-bad" : ""}` }, bar(one.error_rate / most, "bar-bad"), format.share(one.error_rate)) },
      { label: "p95", num: true, cell: (one) => format.duration(one.p95), kind: "p3" },
      { label: "Tokens", num: true, cell: (one) => format.count(one.tokens), kind: "p3" },
      { label: "Cost", num: true, cell: (one) => format.money(one.cost), kind: "p2" },
      { label: "Quality", num: true, cell: (one) => format.score(one.quality), kind: "p3" },
      ...(agents.some((one) => one.rated > 0) ? [{ label: "Feedback", num: true, cell: rated, kind: "p2" }] : []),
    ], shown), agents.length > shown.length && h("button", { type: "button", class: "wide", on: { click: () => {
      this.isWhole = true;
      this.#agents(agents);
    } } }, `All ${agents.length} agents`));
    if (held !== undefined) [...this.agents.querySelectorAll("[data-agent]")].find((one) => one.dataset.agent === held)?.focus({ preventScroll: true });
  }

  #alertsShown(open) {
    fill(this.alerts, open.length
      ? h("ul", { class: "cards" }, open.slice(0, 6).map((one) => h("li", {}, alertCard(one, { small: true }))))
      : h("p", { class: "muted pad" }, sentence(this.remedy) ?? h("span", { class: "calm" }, mark("success"), " None is open.")));
  }

  #worse(worse) {
    const shows = { "error rate": format.share, p95: format.duration, cost: format.money, quality: format.score, feedback: format.score };
    fill(this.worse, worse?.length
      ? h("ul", { class: "rows" }, worse.slice(0, 8).map((one) => {
        const to = withFilter(one.action ? withFilter(this.filters, "action", one.action) : this.filters, "agent", one.agent ?? NONE);
        const show_ = shows[one.what] ?? format.count;
        return h("li", {}, h("a", { href: `/${query(to)}`, data: { stop: "" } },
          h("span", { class: "row-name" }, said(one.agent ?? "no agent", 60), one.action && h("span", { class: "muted" }, " ", said(one.action, 60))),
          h("span", { class: "row-value" }, h("span", { class: "muted" }, `${one.what} `), show_(one.before), h("span", { class: "muted", "aria-hidden": "true" }, " → "), unseen(" became "), h("b", { class: "tone-bad" }, show_(one.now)),
            one.what === "feedback" && h("span", { class: "muted" }, ` (${format.share(one.coverage)})`))));
      }))
      : h("p", { class: "muted pad" }, h("span", { class: "calm" }, mark("success"), " Nothing got worse, as far as can be told.")));
  }
}

const before = (params) => (params.get("until") ? "time" : (RANGES.find(([value]) => value === (params.get("since") ?? DEFAULT_RANGE))?.[1] ?? "time"));

function withLimit(filters, limit) {
  const asked = new URLSearchParams(filters);
  asked.set("limit", String(limit));
  return asked;
}
