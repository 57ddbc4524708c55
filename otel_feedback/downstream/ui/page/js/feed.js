// The feed: what was done, the newest first. An action under way stands in it as pending, and its row changes where it stands
// when it ends; one that is no more what the filters ask for goes.

import { runPath } from "./address.js";
import { h, said } from "./dom.js";
import * as format from "./format.js";
import { badge, BAD, errorKind } from "./status.js";

const MOST = 60; // rows that are kept: more than people read, few enough to be cheap

export class Feed {
  constructor() {
    this.rows = new Map(); // by event id
    this.list = h("ol", { class: "feed" });
    this.isPaused = false;
    this.isBehind = false; // some of what changed was not told, or not taken: become() makes it right
    this.asked = null; // ids that the stream tells of while what there is is asked for
  }

  /** Take what the stream tells: new and changed rows, and ids of those that went; null skipped: more of them than it knows. */
  hear(events, { gone = [], skipped = 0 } = {}) {
    if (skipped !== 0 || this.isPaused) this.isBehind = true;
    if (this.isPaused) return;
    for (const id of [...gone, ...events.map((event) => event.event_id)]) this.asked?.add(id);
    this.add(events);
    for (const id of gone) this.#drop(id);
  }

  /** Ask for what there is, and show that and nothing else; what the stream tells meanwhile is newer. */
  async become(asking) {
    this.isBehind = false;
    const told = this.asked = new Set();
    try {
      const answer = await asking;
      if (this.asked !== told) return answer; // it was asked again since
      const known = new Set(answer.events.map((event) => event.event_id));
      for (const id of this.rows.keys()) if (!known.has(id) && !told.has(id)) this.#drop(id);
      this.add(answer.events.filter((event) => !told.has(event.event_id)), { quiet: true });
      return answer;
    } catch (error) {
      this.isBehind = true;
      throw error;
    } finally {
      if (this.asked === told) this.asked = null;
    }
  }

  /** Take new and changed rows; `quiet` ones are no news. */
  add(events, { quiet = false, most = MOST } = {}) {
    for (const event of events) this.#take(event, quiet);
    while (this.rows.size > most) {
      const last = this.list.lastElementChild;
      this.rows.delete(last.dataset.id);
      last.remove();
    }
  }

  /** When the oldest row was, in milliseconds. */
  get begin() {
    return Math.min(...[...this.rows.values()].map(({ event }) => heard(event)));
  }

  #drop(id) {
    const known = this.rows.get(id);
    if (!known) return;
    const { element } = known;
    if (element.contains(document.activeElement)) { // who goes by keyboard goes on from there
      (element.nextElementSibling ?? element.previousElementSibling)?.querySelector("[data-stop]")?.focus({ preventScroll: true });
    }
    element.remove();
    this.rows.delete(id);
  }

  #take(event, quiet) {
    const known = this.rows.get(event.event_id);
    if (known && known.event.revision > event.revision) return;
    if (known && known.event.revision === event.revision && known.event.status === event.status) return;
    if (known) {
      const hadFocus = known.element.contains(document.activeElement);
      const element = row(event, quiet ? "" : "changed");
      element.dataset.at = known.element.dataset.at; // it stays where it stands
      known.element.replaceWith(element);
      this.rows.set(event.event_id, { event, element });
      if (hadFocus) element.querySelector("[data-stop]")?.focus({ preventScroll: true });
      return;
    }
    const element = row(event, quiet ? "" : "new");
    const before = [...this.list.children].find((other) => Number(other.dataset.at) <= heard(event));
    this.list.insertBefore(element, before ?? null);
    this.rows.set(event.event_id, { event, element });
  }
}

const heard = (event) => event.end ?? event.start ?? 0;

function row(event, news) {
  const at = heard(event);
  const what = [
    h("time", { class: "feed-time", datetime: new Date(at).toISOString(), title: format.moment(at) }, format.time(at)),
    h("span", { class: "feed-status" }, badge(event.status)),
    h("span", { class: "feed-what" },
      h("span", { class: "feed-action" }, said(event.name || event.action, 120)),
      h("span", { class: "feed-who" }, event.agent ? said(event.agent, 80) : "no agent", event.name && event.name !== event.action && [" · ", said(event.action, 60)], event.model && [" · ", said(event.model, 60)])),
    h("span", { class: "feed-error" }, (errorKind(event) || event.error) && said([errorKind(event), event.error].filter(Boolean).join(": "), 200)),
    h("span", { class: "feed-number" }, event.status === "pending" ? h("span", { class: "muted" }, format.ago(event.start)) : format.duration(event.duration)),
    h("span", { class: "feed-number p3" }, !event.tokens ? "" : `${format.count(event.tokens)} tok`),
    h("span", { class: "feed-number p2" }, !event.cost ? "" : format.money(event.cost)),
  ];
  return h("li", { class: `${BAD.has(event.status) ? "is-bad" : ""} is-${event.status} ${news && `is-${news}`}`, data: { id: event.event_id, at } },
    event.run_id ? h("a", { href: runPath(event.run_id, event.event_id), data: { stop: "" } }, what)
      : h("div", { tabindex: "0", data: { stop: "" }, title: "It belongs to no run" }, what));
}
