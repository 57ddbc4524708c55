// The six states, each with a colour, a shape and a word: the colour alone never says it.

import { h, svg } from "./dom.js";

export const STATUSES = ["success", "failure", "timeout", "partial", "cancelled", "pending"];
export const BAD = new Set(["failure", "timeout"]);

const SHAPES = {
  success: ["M3.5 8.5l3 3 6-7"],
  failure: ["M4.5 4.5l7 7", "M11.5 4.5l-7 7"],
  timeout: ["M8 4.5V8l2.6 1.8"],
  partial: ["M8 3v10"],
  cancelled: ["M4.2 11.8l7.6-7.6"],
  pending: [],
};

/** The picture of a status, hidden from who listens; `badge` says the word as well. */
export function mark(status) {
  const shape = SHAPES[status] ?? [];
  const round = status !== "success" && status !== "failure";
  return svg("svg", { class: `mark mark-${status}`, viewBox: "0 0 16 16", width: 14, height: 14, "aria-hidden": "true" },
    round && svg("circle", { cx: 8, cy: 8, r: 6 }),
    status === "partial" && svg("path", { class: "filled", d: "M8 2a6 6 0 0 0 0 12z" }),
    shape.map((d) => svg("path", { d })));
}

export const badge = (status, more = "") => h("span", { class: `status status-${status} ${more}` }, mark(status), status);

/** The kind of an error; null where it is only said that it is none that is known. */
export const errorKind = (one) => (one.error_type === "_OTHER" ? null : one.error_type);

/** The same for objectives and alerts, by what it means rather than by its word. */
export const pill = (meaning, word) => h("span", { class: `status status-${meaning}` }, mark(meaning), word);
