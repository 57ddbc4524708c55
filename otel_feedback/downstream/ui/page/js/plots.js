// What all pictures have, by uPlot: a place with heading and legend, and a plot that fits it, in the colours of now.

import { h } from "./dom.js";

const LEAST_WIDTH = 120;
/** All pictures that are shown. */
const all = new Set();
const probe = document.body.appendChild(h("span", { hidden: true }));

/** A colour of the style sheet as a canvas takes it, in light or dark; of less than all of it one sees through. */
export function token(name, percent = 100) {
  probe.style.setProperty("color", percent === 100 ? `var(${name})` : `color-mix(in srgb, var(${name}) ${percent}%, transparent)`);
  return getComputedStyle(probe).color;
}

/** Colours have changed: draw all pictures anew. */
export function redraw() {
  for (const one of all) one.plot?.redraw(false, true);
}

export const AXIS = {
  stroke: () => token("--muted"), font: "11px Inter, system-ui, sans-serif",
  grid: { stroke: () => token("--line"), width: 1 }, ticks: { show: false },
};

/** Steps of an axis that counts: there is no half of an action. */
export const WHOLE = Array.from({ length: 12 }, (_, power) => [1, 2, 5].map((digit) => digit * 10 ** power)).flat();

/** Points of values with none beside them, of which there would be no line. */
export const alone = { show: true, size: 4, filter: (plot, number, isShown) => (isShown ? aloneIn(plot.data[number]) : null) };

export const aloneIn = (values) => values.flatMap((value, place) => (value != null && values[place - 1] == null && values[place + 1] == null ? [place] : []));

/** The colour beside a name in a legend. */
export const key = (colour) => h("span", { class: "key", style: { "--key": `var(${colour})` } });

/** A picture; who makes one says by `options()` how uPlot draws it. */
export class Plot {
  constructor({ title, note, height }) {
    Object.assign(this, { title, height });
    this.plot = null;
    this.legend = h("ul", { class: "legend" });
    this.place = h("div", { class: "plot", role: "img" });
    this.note = h("span", { class: "muted" }, note ?? "");
    this.element = h("figure", { class: "chart" }, h("figcaption", {}, h("h3", {}, title, " ", this.note), this.legend), this.place);
    this.sizes = new ResizeObserver(() => this.#size());
    this.sizes.observe(this.place);
    all.add(this);
  }

  /** Draw these: anew where the lines, by their keys, are others; `words` is what they come to, for who cannot see them. */
  draw(data, keys, words) {
    const shape = keys.join("\n");
    if (shape !== this.shape || !data[0].length) this.#drop();
    this.shape = shape;
    if (this.plot) this.plot.setData(data);
    else if (data[0].length) {
      const size = { width: Math.max(LEAST_WIDTH, Math.floor(this.place.clientWidth)), height: this.height };
      this.plot = new globalThis.uPlot({ ...size, legend: { show: false }, padding: [8, 20, 0, 0], ...this.options() }, data, this.place);
    }
    this.place.setAttribute("aria-label", `${this.title}: ${words.join(", ")}`);
  }

  dispose() {
    this.sizes.disconnect();
    this.#drop();
    all.delete(this);
  }

  #drop() {
    this.plot?.destroy();
    this.plot = null;
  }

  #size() {
    const width = Math.floor(this.place.clientWidth);
    if (this.plot && width && width !== this.plot.width) this.plot.setSize({ width, height: this.height });
  }
}
