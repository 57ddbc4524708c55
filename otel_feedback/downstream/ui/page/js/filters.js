// The filters: what is in the address, as chips; more of them, kept ones, and what they leave as a file.

import { comparedOf, costBy, DEFAULT_RANGE, FIELDS, filtersOf, LINKED, NONE, query, RANGES, rangeWords, withFilter, withoutFilter } from "./address.js";
import { ask } from "./api.js";
import { fill, h, said, unseen } from "./dom.js";
import * as format from "./format.js";
import { keep, kept } from "./keeping.js";
import { STATUSES } from "./status.js";

const EXPORTS = { now: "events", failures: "failures", cost: "cost", experiments: "experiments", choices: "choices", gaps: "gaps" };
const PAUSE_MS = 350; // of who types

export class Filters {
  /** @param place where they stand; @param go told of the new query */
  constructor(place, go) {
    this.place = place;
    this.go = go;
    this.text = h("input", { type: "search", id: "text", placeholder: "Search", "aria-label": "Text in names and errors", "aria-keyshortcuts": "/", autocomplete: "off", spellcheck: "false", maxlength: 200, on: {
      input: () => this.#typed(),
      search: () => this.#typed(),
    } });
    this.chips = h("ul", { class: "chips", "aria-label": "Filters in force" });
    this.range = h("div", { class: "range" });
    this.menus = h("div", { class: "menus" });
    fill(place, h("div", { class: "filters-row" }, this.range, h("div", { class: "search" }, this.text, h("kbd", { "aria-hidden": "true" }, "/")), this.menus), this.chips);
    document.addEventListener("click", (event) => {
      for (const menu of place.querySelectorAll("details[open]")) if (!menu.contains(event.target)) menu.open = false;
    });
  }

  show(view, params) {
    const held = [this.range, this.menus, this.chips].find((part) => part.contains(document.activeElement));
    this.view = view;
    this.params = params;
    this.place.hidden = !(view in EXPORTS); // the others are not of single actions
    if (document.activeElement !== this.text) this.text.value = params.get("text") ?? "";
    this.#range();
    this.#menus();
    const set = [...FIELDS, ...LINKED].flatMap((field) => params.getAll(field).map((value) => [field, value]));
    fill(this.chips, set.map(([field, value]) => h("li", { class: "chip" }, h("span", { class: "muted" }, `${field.replace("_", " ")} `), said(value === NONE ? "none" : value, 40),
      h("button", { type: "button", class: "plain", "aria-label": `Without ${field} ${value}`, on: { click: () => this.go(withoutFilter(params, field, value)) } }, "×"))),
    set.length > 1 && h("li", {}, h("button", { type: "button", class: "plain link", on: { click: () => this.clear() } }, "Clear")));
    this.chips.hidden = set.length === 0;
    if (held) (held.querySelector("select, summary, button") ?? this.text).focus(); // what had the focus was made anew
  }

  clear() {
    let params = this.params;
    for (const name of [...FIELDS, ...LINKED, "text"]) params = withoutFilter(params, name);
    this.text.value = "";
    this.go(params);
  }

  focus() {
    this.text.focus();
    this.text.select();
  }

  /** Close what is open; tell whether anything was. */
  close() {
    const open = this.place.querySelector("details[open]");
    if (!open) return false;
    open.open = false;
    open.querySelector("summary").focus();
    return true;
  }

  #typed() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      const text = this.text.value.trim();
      if (text === (this.params.get("text") ?? "")) return;
      this.go(text ? withFilter(this.params, "text", text) : withoutFilter(this.params, "text"), { isSame: this.params.has("text") });
    }, PAUSE_MS);
  }

  #range() {
    const { params } = this;
    const since = params.get("since") ?? DEFAULT_RANGE;
    const isKnown = RANGES.some(([value]) => value === since) && !params.get("until");
    const choose = (value) => this.go(withFilter(withoutFilter(withoutFilter(params, "until"), "since"), "since", value));
    const select = h("select", { "aria-label": "Time", on: { change: (event) => (event.target.value === "own" ? this.#own.focus() : choose(event.target.value)) } },
      RANGES.map(([value, words]) => h("option", { value, selected: isKnown && value === since }, `Last ${words}`)),
      !isKnown && h("option", { value: "own", selected: true }, rangeWords(params, format.moment)));
    fill(this.range, select, this.#ownRange());
  }

  get #own() {
    return this.range.querySelector("input");
  }

  #ownRange() {
    const local = (name) => {
      const at = Date.parse(this.params.get(name) ?? "");
      return Number.isNaN(at) ? "" : new Date(at - new Date(at).getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
    };
    const from = h("input", { type: "datetime-local", value: local("since") });
    const to = h("input", { type: "datetime-local", value: local("until") });
    const form = h("form", { class: "menu-body", on: { submit: (event) => {
      event.preventDefault();
      let params = this.params;
      for (const [name, input] of [["since", from], ["until", to]]) {
        params = input.value ? withFilter(params, name, new Date(input.value).toISOString()) : withoutFilter(params, name);
      }
      this.go(params);
    } } }, h("label", {}, "From", from), h("label", {}, "Until", to), h("p", { class: "muted" }, `Times of ${format.ZONE}`), h("button", { type: "submit", class: "main" }, "Show"));
    return menu("Dates", form);
  }

  #menus() {
    fill(this.menus, menu("Filter", this.#adding()), menu("Saved", this.#saved()), menu("Export", this.#exports()));
  }

  #adding() {
    const field = h("select", {}, FIELDS.map((name) => h("option", { value: name }, name)));
    const list = h("datalist", { id: "values" });
    const value = h("input", { type: "text", list: "values", autocomplete: "off", maxlength: 400, required: true });
    const look = async () => {
      const name = field.value;
      if (name === "status") return fill(list, STATUSES.map((status) => h("option", { value: status })));
      try {
        const { values } = await ask("/api/values", new URLSearchParams({ field: name, prefix: value.value }));
        if (field.value === name) fill(list, values.slice(0, 50).map((one) => h("option", { value: one })));
      } catch {
        fill(list); // it can be typed all the same
      }
    };
    field.addEventListener("change", () => {
      value.value = "";
      look();
    });
    value.addEventListener("focus", look);
    value.addEventListener("input", () => {
      clearTimeout(this.looking);
      this.looking = setTimeout(look, PAUSE_MS);
    });
    return h("form", { class: "menu-body", on: { submit: (event) => {
      event.preventDefault();
      if (value.value) this.go(withFilter(this.params, field.value, value.value));
    } } }, h("label", {}, "What", field), h("label", {}, "Is", value), list, h("button", { type: "submit", class: "main" }, "Add filter"));
  }

  #saved() {
    const name = h("input", { type: "text", maxlength: 60, required: true, "aria-label": "Name for these filters", placeholder: "Name" });
    const all = kept();
    const path = location.pathname;
    return h("div", { class: "menu-body" },
      all.length ? h("ul", { class: "saved" }, all.map((one) => h("li", {}, h("a", { href: one.address }, said(one.name, 60)),
        h("button", { type: "button", class: "plain", "aria-label": `Forget ${one.name}`, on: { click: () => this.#keep(all.filter((other) => other !== one)) } }, "×"))))
        : h("p", { class: "muted" }, "None yet. They are kept in this browser only."),
      h("form", { on: { submit: (event) => {
        event.preventDefault();
        this.#keep([...all.filter((one) => one.name !== name.value), { name: name.value, address: path + query(this.params) }]);
      } } }, name, h("button", { type: "submit", class: "main" }, "Save these")));
  }

  #keep(all) {
    const isKept = keep(all);
    this.#menus();
    const saved = this.menus.children[1];
    saved.open = true;
    if (!isKept) saved.querySelector(".menu-body").append(h("p", { class: "tone-bad" }, "This browser keeps nothing for this page."));
    saved.querySelector("input").focus();
  }

  #exports() {
    const link = (form, name = form.toUpperCase()) => {
      const params = filtersOf(this.params);
      params.set("view", EXPORTS[this.view]);
      params.set("format", form);
      if (this.view === "cost") params.set("by", costBy(this.params));
      if (this.view === "experiments") for (const [name, value] of comparedOf(this.params)) params.append(name, value);
      return h("a", { class: "button", href: `/api/export?${params}`, download: "" }, name, unseen(` of ${EXPORTS[this.view]}`));
    };
    return h("div", { class: "menu-body" }, h("p", { class: "muted" }, `All ${EXPORTS[this.view]} that these filters leave`), h("p", { class: "notice-actions" }, link("csv"), link("json"), this.view === "gaps" && link("jsonl", "Actions")),
      this.view === "gaps" && h("p", { class: "muted" }, "Actions: up to 1,000 of each that lost most, as JSON lines, for a data set"));
  }
}

const menu = (label, body) => h("details", { class: "menu" }, h("summary", {}, label), body);
