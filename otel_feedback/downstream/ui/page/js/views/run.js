// A run: its actions as a tree and along time, in one table. A click on an action shows all that is known of it; the address
// then names it.

import { runPath, withFilter } from "../address.js";
import { ask } from "../api.js";
import { fill, h, said, unseen } from "../dom.js";
import * as format from "../format.js";
import { figure, figures, into, notice, panel, sentence } from "../parts.js";
import { badge, BAD } from "../status.js";
import { detail } from "./action.js";
import { given } from "./ratings.js";

const NARROW = matchMedia("(max-width: 44rem)"); // as in views.css: there two columns are not shown
const STEP = 300; // rows that are drawn at once
const REFRESH_MS = 2_000; // at most so often, while it is under way

export function show(main, ctx) {
  const view = new Run(main, ctx);
  view.begin();
  return view;
}

class Run {
  constructor(main, ctx) {
    this.ctx = ctx;
    this.id = ctx.run;
    this.place = h("div");
    this.closed = new Set(); // event ids whose children are folded away
    this.open = marked();
    this.most = STEP;
    this.turned = () => this.body && this.#rows();
    NARROW.addEventListener("change", this.turned);
    fill(main, h("h1", { class: "unseen" }, "Run"), this.place);
  }

  async begin() {
    const first = !this.told;
    const held = document.activeElement?.closest?.("tr[data-event]")?.dataset.event;
    await into(this.place, "the run", async () => {
      try {
        this.told = await ask(`/api/run/${encodeURIComponent(this.id)}`, null, this.ctx.signal);
      } catch (error) {
        if (error.kind !== "missing") throw error;
        return notice(sentence(error.message), sentence(error.remedy), { actions: [h("a", { class: "button", href: "/" }, "Show what is there")] });
      }
      this.state = this.ctx.state();
      return this.#drawn();
    }, this.ctx.signal);
    if (first && this.open) this.#rowOf(this.open)?.scrollIntoView({ block: "center" });
    if (held) this.#rowOf(held)?.querySelector("[data-stop]")?.focus({ preventScroll: true });
  }

  back() {
    this.begin();
  }

  /** It is known where Jaeger is: that may be later than the run. */
  stated() {
    if (this.told) this.begin();
  }

  rows() {
    if (this.timer) return;
    this.timer = setTimeout(() => {
      this.timer = null;
      if (!this.ctx.signal.aborted) this.begin();
    }, REFRESH_MS);
  }

  dispose() {
    NARROW.removeEventListener("change", this.turned);
    clearTimeout(this.timer);
  }

  #drawn() {
    const { run, actions, feedback } = this.told;
    const trace = run.trace_id && this.state?.jaeger?.replace("{trace_id}", run.trace_id);
    const facts = [["service", run.service], ["tenant", run.tenant], ["workflow", run.workflow], ["session", run.session], ["user", run.user]].filter(([, value]) => value);
    this.tree = ordered(actions);
    this.span = spanOf(run, actions);
    this.body = h("tbody");
    this.more = h("button", { type: "button", class: "wide", hidden: true, on: { click: () => {
      this.most += STEP;
      this.#rows();
    } } });
    this.#rows();
    return [
      h("header", { class: "run-head" },
        h("p", { class: "run-title" }, badge(run.status, "status-large"), h("span", { class: "run-id" }, unseen("Run "), said(run.run_id, 120))),
        h("p", { class: "muted run-facts" }, h("time", { datetime: Number.isFinite(run.start) ? new Date(run.start).toISOString() : null }, format.moment(run.start)),
          facts.map(([name, value]) => h("span", {}, `${name} `, h("a", { href: `/?${withFilter(new URLSearchParams(), name, value)}` }, said(value, 80))))),
        h("p", { class: "run-links" }, trace && h("a", { class: "button", href: trace, target: "_blank", rel: "noopener noreferrer" }, "Trace in Jaeger"), copyButton(runPath(run.run_id)))),
      figures("The run", [
        figure("Took", run.end ? format.duration(run.duration) : "under way"), figure("Actions", format.count(run.actions)),
        figure("Errors", format.count(run.errors), { tone: run.errors ? "bad" : null }), figure("Tokens", format.count(run.tokens)), figure("Cost", format.money(run.cost)),
        feedback?.score != null && figure("Feedback", format.score(feedback.score), { note: h("span", { class: "muted" }, `${format.share(feedback.coverage)} rated`) }),
      ]),
      panel("Actions", [h("table", { class: "run-table" }, h("caption", { class: "unseen" }, "Actions of the run, each below the one that called it"),
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Action"), h("th", { scope: "col", class: "run-line" }, unseen("When"), this.#scale()),
          h("th", { scope: "col", class: "num" }, "Took"), h("th", { scope: "col", class: "num p2" }, "Tokens"), h("th", { scope: "col", class: "num p2" }, "Cost"))), this.body), this.more],
      { kind: "run-panel", note: "tokens and cost with those of the actions below" }),
      given(feedback, (id) => this.#show(id)),
    ];
  }

  #scale() {
    const [, , length] = this.span;
    return h("span", { class: "scale", "aria-hidden": "true" }, [0, 0.25, 0.5, 0.75].map((share) =>
      h("span", { style: { left: `${share * 100}%` } }, share === 0 ? "0" : format.duration(length * share))));
  }

  #rows() {
    const held = document.activeElement?.closest?.("tr")?.dataset.event;
    const visible = this.tree.filter((node) => !node.above.some((id) => this.closed.has(id)));
    fill(this.body, visible.slice(0, this.most).flatMap((node) => this.#row(node)));
    this.more.hidden = visible.length <= this.most;
    this.more.textContent = `${Math.min(STEP, visible.length - this.most)} more of ${visible.length}`;
    if (held) this.#rowOf(held)?.querySelector("[data-stop]")?.focus({ preventScroll: true });
  }

  #rowOf(id) {
    return this.place.querySelector(`[data-event="${CSS.escape(id)}"]`);
  }

  #row({ action, level, children }) {
    const id = action.event_id;
    const isOpen = this.open === id;
    const isFolded = this.closed.has(id);
    const name = h("button", { type: "button", class: "plain run-name", "aria-expanded": String(isOpen), data: { stop: "" }, on: { click: () => this.#choose(isOpen ? null : id) } },
      unseen(`level ${level + 1} `), badge(action.status, "status-short"), h("span", {}, said(action.name || action.action, 120),
        h("span", { class: "muted" }, " ", action.agent && said(action.agent, 60), action.name !== action.action && [" · ", said(action.action, 60)])));
    const fold = children > 0
      ? h("button", { type: "button", class: "plain fold", "aria-expanded": String(!isFolded), "aria-label": isFolded ? `show ${children} below` : "fold what is below", on: { click: () => this.#fold(id) } }, h("span", { class: "arrow", "aria-hidden": "true" }))
      : h("span", { class: "fold" });
    const row = h("tr", { class: `${isOpen ? "is-open" : ""} ${BAD.has(action.status) ? "is-bad" : ""}`, data: { event: id } },
      h("th", { scope: "row" }, h("div", { class: "run-cell", style: { "--level": String(Math.min(level, 12)) } }, fold, name,
        action.lost && h("span", { class: "tag tag-bad" }, "process lost"), action.retries > 0 && h("span", { class: "tag" }, format.plural(action.retries, "retry", "retries")))),
      h("td", { class: "run-line" }, this.#bar(action)),
      h("td", { class: "num" }, action.status === "pending" && !action.end ? h("span", { class: "muted" }, "not ended") : format.duration(action.duration)),
      h("td", { class: "num p2" }, format.count(action.inclusive_tokens)),
      h("td", { class: "num p2" }, format.money(action.inclusive_cost)));
    return isOpen ? [row, h("tr", { class: "run-detail" }, h("td", { colspan: NARROW.matches ? "3" : "5" }, detail(action, this.state)))] : [row];
  }

  #bar(action) {
    const [from, to, length] = this.span;
    const begin = action.start ?? (action.end ?? from) - (action.duration ?? 0);
    const end = action.end ?? (action.status === "pending" ? to : begin + (action.duration ?? 0));
    return h("span", { class: "track", "aria-hidden": "true", title: `${format.duration(begin - from)} after the start` },
      h("span", { class: `stretch stretch-${action.status}`, style: { left: `${percent((begin - from) / length)}%`, width: `${percent((end - begin) / length)}%` } }));
  }

  #choose(id) {
    this.open = id;
    history.replaceState(history.state, "", runPath(this.id, id));
    this.#rows();
  }

  /** Open one, from elsewhere on the page. */
  #show(id) {
    for (const above of this.tree.find((node) => node.action.event_id === id)?.above ?? []) this.closed.delete(above);
    this.#choose(id);
    this.#rowOf(id)?.scrollIntoView({ block: "center" });
    this.#rowOf(id)?.querySelector("[data-stop]")?.focus({ preventScroll: true });
  }

  #fold(id) {
    if (!this.closed.delete(id)) this.closed.add(id);
    this.#rows();
  }
}

function marked() {
  try {
    return decodeURIComponent(location.hash.slice(1)) || null;
  } catch {
    return null;
  }
}

const percent = (share) => Math.max(0, Math.min(100, share * 100)).toFixed(2);

/** Actions in the order of the tree: each below the one that called it, siblings by their start. One whose caller is not here is at the top. */
function ordered(actions) {
  const known = new Set(actions.map((action) => action.event_id));
  const below = new Map();
  for (const action of actions) {
    const above = known.has(action.parent_event_id) && action.parent_event_id !== action.event_id ? action.parent_event_id : null;
    below.set(above, [...(below.get(above) ?? []), action]);
  }
  const seen = new Set();
  const tree = [];
  const waiting = (below.get(null) ?? []).map((action) => [action, []]).reverse();
  const walk = () => {
    while (waiting.length) {
      const [action, above] = waiting.pop();
      if (seen.has(action.event_id)) continue;
      seen.add(action.event_id);
      const children = below.get(action.event_id) ?? [];
      tree.push({ action, above, level: above.length, children: children.length });
      for (const child of children.slice().reverse()) waiting.push([child, [...above, action.event_id]]);
    }
  };
  walk();
  for (const action of actions) { // a circle, which only wrong data has: shown all the same
    if (!seen.has(action.event_id)) waiting.push([action, []]);
    walk();
  }
  return tree;
}

function spanOf(run, actions) {
  const starts = actions.map((action) => action.start ?? action.end).filter(Number.isFinite);
  const from = Math.min(...starts, Number.isFinite(run.start) ? run.start : Infinity);
  const isOver = actions.every((action) => action.end);
  const to = Math.max(...actions.map((action) => action.end ?? action.start ?? 0), isOver ? 0 : Math.min(Date.now(), from + 86_400_000), from + 1);
  return [from, to, to - from];
}

function copyButton(path) {
  return h("button", { type: "button", on: { click: async (event) => {
    const button = event.currentTarget;
    try {
      await navigator.clipboard.writeText(new URL(path, location.href).href);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Copy the address above"; // no clipboard for pages that are not on loopback or https
    }
  } } }, "Copy address");
}
