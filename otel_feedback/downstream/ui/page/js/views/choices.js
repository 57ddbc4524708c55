// Choices: whom selectors chose, how that changed, what came of it, and what another policy would have brought.

import { between, filtersOf, NONE, query, withFilter, withOnly } from "../address.js";
import { ask } from "../api.js";
import { Chart } from "../charts.js";
import { fill, h, said } from "../dom.js";
import * as format from "../format.js";
import { figure, figures, into, notice, panel, sentence, table } from "../parts.js";
import { pill } from "../status.js";

const COLOURS = 8; // of the style sheet
const REFRESH_MS = 5_000;
const TOGETHER = 4; // steps of the shares that are one of the rewards
const BEGIN = 'selector = feedback.AgentSelector([planner, writer])\nawait dispatcher.dispatch(selector, "answer", question)';
const MEANING = { better: "success", worse: "failure", "not told apart": "cancelled", refused: "pending" };

export function show(main, ctx) {
  const view = new Choices(main, ctx);
  view.again();
  return view;
}

class Choices {
  constructor(main, ctx) {
    this.ctx = ctx;
    this.filters = filtersOf(ctx.params);
    this.asked = new URLSearchParams(this.filters);
    for (const name of ["cost_weight", "latency_weight"]) if (ctx.params.get(name)) this.asked.set(name, ctx.params.get(name));
    this.shown = new Map(); // by policy and candidates: what stands there
    this.place = h("div");
    this.worth = h("div", { class: "worth" });
    fill(main, h("div", { class: "title-row" }, h("h1", {}, "Choices"), this.worth), this.place);
    this.back = this.again;
  }

  /** Ask for it all; the pictures that are there stay, and only move. */
  again = () => {
    this.since = Date.now();
    return into(this.place, "choices", async () => {
      const told = await ask("/api/choices", this.asked, this.ctx.signal);
      this.#worth(told.reward);
      if (!told.policies.length) {
        this.dispose();
        return [unread(told), nothing(this.filters)];
      }
      const kept = new Map(told.policies.map((one) => [keyOf(one), this.shown.get(keyOf(one)) ?? new Policy(one, this)]));
      for (const [key, policy] of this.shown) if (!kept.has(key)) policy.dispose();
      this.shown = kept;
      for (const one of told.policies) kept.get(keyOf(one)).set(one, told);
      return [unread(told), ...[...kept.values()].map((policy) => policy.element)];
    }, this.ctx.signal);
  };

  tick() {
    const isRead = this.place.contains(document.activeElement); // nothing moves under a reader's hands
    if (!isRead && !document.hidden && Date.now() - this.since > REFRESH_MS) this.again();
  }

  dispose() {
    for (const policy of this.shown.values()) policy.dispose();
    this.shown.clear();
  }

  #worth(reward) {
    if (this.worth.contains(document.activeElement)) return;
    const weight = (name, words) => h("label", { class: "choice" }, h("span", {}, words), h("input", {
      type: "number", min: 0, step: "any", inputmode: "decimal", value: String(reward[name]), on: { change: (event) => this.ctx.go(withOnly(this.ctx.params, name, event.target.value)) },
    }));
    fill(this.worth, weight("cost_weight", "Off a reward, per dollar"), weight("latency_weight", "per second"));
  }
}

const keyOf = (one) => JSON.stringify([one.policy, one.candidates]);

const unread = ({ unread: why }) => why.map((each) => h("p", { class: "notice notice-inline" }, said(sentence(each), 300)));

const nothing = (filters) => notice("No choices", `No event in this time${[...filters.keys()].some((name) => name !== "since" && name !== "until") ? ", of what fits these filters," : ""} says how its agent was chosen. Those of a selector do:`, { code: BEGIN });

/** One policy: its picture, its agents, and what others would have brought. */
class Policy {
  constructor(one, view) {
    this.view = view;
    const chosen = (from, to) => view.ctx.go(between(view.ctx.params, from, to));
    this.chart = new Chart({ title: "Share of decisions", height: 240, stacked: true, show: format.share, chosen });
    this.rewards = new Chart({ title: "Reward", height: 240, show: format.score, chosen });
    this.head = h("div");
    this.agents = h("div");
    this.values = h("div");
    this.element = h("section", { class: "policy", "aria-label": `${one.policy}: ${one.candidates.join(", ")}` },
      h("h2", { class: "policy-title" }, said(one.policy, 80), " ", h("span", { class: "muted" }, "of ", said(one.candidates.join(", "), 200))),
      this.head, h("div", { class: "pictures pictures-two" }, this.chart.element, this.rewards.element), this.agents, this.values);
  }

  set(one, told) {
    const t = told.t.map((ms) => ms / 1e3);
    const lines = linesOf(one.agents);
    const sums = told.t.map((_, place) => one.agents.reduce((sum, agent) => sum + agent.series.chosen[place], 0));
    this.chart.set({ t, step: told.step_s, note: steps(told.step_s), series: lines.map((line) => ({
      ...line, values: sums.map((sum, place) => (sum ? line.chosen(place) / sum : null)), total: format.share(line.share),
    })) });
    const coarse = t.filter((_, place) => place % TOGETHER === 0); // a mean of a few decisions says little
    this.rewards.set({ t: coarse, step: told.step_s * TOGETHER, note: `mean ${steps(told.step_s * TOGETHER)}, 0 to 1`, series: lines.filter((line) => line.agent !== null).map((line) => ({
      ...line, values: together(line.agent.series), total: reward(line.agent.reward),
    })) });
    fill(this.head, summary(one));
    fill(this.agents, panel("Agents", agents(one, this.view.filters, lines), { note: "what came of it" }));
    if (!this.asked || Date.now() - this.asked > 20_000) this.#values(one, told.reward);
  }

  dispose() {
    this.chart.dispose();
    this.rewards.dispose();
  }

  async #values(one, weights) {
    this.asked = Date.now();
    const asked = new URLSearchParams(this.view.filters);
    asked.set("policy", one.policy);
    for (const name of one.candidates) asked.append("candidate", name);
    for (const [name, value] of Object.entries(weights)) asked.set(name, value);
    const place = this.values.querySelector(".values") ?? h("div", { class: "values" });
    if (!place.isConnected) fill(this.values, panel("What others would have brought", place, { note: "on the same decisions" }));
    await into(place, "what others would have brought", async () => valued(await ask("/api/choices/values", asked, this.view.ctx.signal)), this.view.ctx.signal);
  }
}

const reward = (value) => (Number.isFinite(value) ? value.toFixed(value >= 0.9995 ? 2 : 3) : format.UNKNOWN);

/** What the pictures draw: the agents in the order of their names, so that each keeps its colour; those chosen least as one. */
function linesOf(agents) {
  const most = [...agents].sort((one, other) => other.chosen - one.chosen).slice(0, agents.length > COLOURS ? COLOURS - 1 : COLOURS);
  const rest = agents.filter((agent) => !most.includes(agent));
  const lines = agents.filter((agent) => most.includes(agent)).map((agent, number) => ({
    key: `${number} ${agent.agent}`, label: format.short(agent.agent ?? "no agent"), colour: `--key-${number}`, agent, share: agent.share, chosen: (place) => agent.series.chosen[place],
  }));
  if (!rest.length) return lines;
  return [...lines, {
    key: "others", label: format.plural(rest.length, "other"), colour: "--key-other", agent: null, share: rest.reduce((sum, agent) => sum + agent.share, 0),
    chosen: (place) => rest.reduce((sum, agent) => sum + agent.series.chosen[place], 0),
  }];
}

/** The mean reward of several steps together. */
function together({ outcomes, reward: means }) {
  return outcomes.flatMap((_, place) => {
    if (place % TOGETHER) return [];
    const places = Array.from({ length: TOGETHER }, (__, more) => place + more).filter((at) => outcomes[at]);
    const all = places.reduce((sum, at) => sum + outcomes[at], 0);
    return [all ? places.reduce((sum, at) => sum + outcomes[at] * means[at], 0) / all : null];
  });
}

const steps = (seconds) => `each ${format.step(seconds)}`;

function summary(one) {
  const { belief } = one;
  return figures("How it chooses", [
    figure("Decisions", format.count(one.decisions), { note: one.pending > 0 && h("span", { class: "muted" }, `${format.count(one.pending)} under way`), title: format.exact(one.decisions) }),
    figure("Explored", format.share(one.explored), { title: "Decisions for an agent that was no more probable than all others together" }),
    figure("Floor", belief ? format.share(belief.floor) : one.floor_at_most === null ? format.UNKNOWN : `≤ ${format.share(one.floor_at_most)}`,
      { title: "What is spread evenly over all, whatever was learned" }),
    figure("Reward", reward(one.reward), { note: h("span", { class: "muted" }, "a decision") }),
    figure("Newest version", said(one.version.slice(one.policy.length + 1) || "none", 24)),
    belief && figure("Half-life", belief.half_life_s === null ? "none" : format.duration(belief.half_life_s * 1e3), { note: h("span", { class: "muted" }, said(belief.file, 40)) }),
  ]);
}

function agents(one, filters, lines) {
  const { belief } = one;
  const colour = (agent) => lines.find((line) => line.agent === agent)?.colour ?? "--key-other";
  return table("Agents of this policy", [
    { label: "Agent", cell: (agent) => h("span", { class: "keyed" }, h("span", { class: "key", "aria-hidden": "true", style: { "--key": `var(${colour(agent)})` } }),
      h("a", { href: `/${query(withFilter(filters, "agent", agent.agent ?? NONE))}`, data: { stop: "" } }, agent.agent === null ? "no agent" : said(agent.agent, 80))) },
    { label: "Chosen", num: true, cell: (agent) => h("b", { title: format.exact(agent.chosen) }, format.share(agent.share)) },
    { label: "Probability", num: true, cell: (agent) => format.share(agent.propensity), kind: "p2" },
    { label: "Reward", num: true, cell: (agent) => reward(agent.reward) },
    belief && { label: "Believed", num: true, cell: (agent) => believed(belief.agents[agent.agent]) },
    { label: "Success", num: true, cell: (agent) => format.share(agent.outcomes ? agent.successes / agent.outcomes : null), kind: "p2" },
    { label: "Quality", num: true, cell: (agent) => known(agent.quality, agent.rated, agent.outcomes, (value) => value.toFixed(2)), kind: "p2" },
    { label: "Feedback", num: true, cell: (agent) => format.share(agent.outcomes ? agent.feedback / agent.outcomes : null), kind: "p3" },
    { label: "Cost", num: true, cell: (agent) => known(agent.cost, agent.priced, agent.outcomes, format.money), kind: "p3" },
    { label: "p50", num: true, cell: (agent) => format.duration(agent.p50), kind: "p3" },
    { label: "p95", num: true, cell: (agent) => format.duration(agent.p95), kind: "p3" },
  ].filter(Boolean), one.agents);
}

const believed = (of) => of && h("span", { title: `${format.plural(of.outcomes, "outcome")}, next time by ${format.share(of.probability)}` },
  reward(of.mean), h("span", { class: "muted" }, ` ${of.low.toFixed(2)}–${of.high.toFixed(2)}`));

/** A mean, and of which part of the outcomes it is, where that is not all. */
const known = (value, of, all, shown) => (value === null ? format.UNKNOWN
  : h("span", {}, shown(value), of < all && h("span", { class: "muted" }, ` of ${format.share(of / all)}`)));

function valued(told) {
  if (told.refused) return h("p", { class: "muted pad" }, said(sentence(told.refused), 500));
  const estimate = (one, sign = "") => (one ? h("span", {}, sign && one.value > 0 ? sign : "", reward(one.value), h("span", { class: "muted" }, ` ±${Math.max(one.high - one.value, one.value - one.low).toFixed(3)}`)) : format.UNKNOWN);
  const refused = told.policies.filter((one) => one.refused);
  return [table("Other policies", [
    { label: "Policy", cell: (one) => said(one.policy, 80) },
    { label: "Value", num: true, cell: (one) => estimate(one.doubly_robust) },
    { label: "SNIPS", num: true, cell: (one) => estimate(one.snips), kind: "p3" },
    { label: "Logged", num: true, cell: (one) => reward(one.logged?.value), kind: "p2" },
    { label: "Change", num: true, cell: (one) => estimate(one.difference, "+"), kind: "p2" },
    { label: "Effective", num: true, cell: (one) => h("span", { title: `of ${format.plural(one.decisions, "decision")}` }, format.count(one.effective)) },
    { label: "Verdict", cell: (one) => pill(MEANING[one.verdict], one.verdict) },
  ], told.policies),
  refused.map((one) => h("p", { class: "muted pad-line" }, said(one.policy, 80), ": ", said(one.refused, 500))),
  h("p", { class: "muted pad" }, `± 95 %. Value: doubly robust. Effective: as how many decisions of its own these count.${told.is_cut ? ` Of the newest ${format.plural(told.decisions, "decision")}.` : ""}`)];
}
