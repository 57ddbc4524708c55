// Estimates with their intervals as actions came, by uPlot: a line in a band for each variant. What stands under the pointer, else
// the newest, is a legend of text.

import { fill, h } from "./dom.js";
import * as format from "./format.js";
import { alone, aloneIn, AXIS, key, Plot, token, WHOLE } from "./plots.js";

const EARLY = 0.2; // of the points: where intervals are so wide that nothing else would be seen
const ROOM = 0.08;

/**
 * A picture with heading and legend.
 *
 * lines: [{key, label, colour: a custom property of the style sheet, estimate, low, high}], values by place in `actions`, which counts
 * those so far, as `until` has the moments in ms; null is not known. `show` formats a value; `zero` draws where nothing differs.
 */
export class Bands extends Plot {
  constructor({ title, note, height, show, zero = false }) {
    super({ title, note, height });
    Object.assign(this, { show, zero });
  }

  set({ actions, until, lines }) {
    Object.assign(this, { actions, until, lines });
    const words = lines.map((one) => `${one.label} ${this.#words(one, actions.length - 1)}`);
    this.draw([actions, ...lines.flatMap((one) => [one.low, one.high, one.estimate])], lines.map((one) => one.key), words);
    this.#read(null);
  }

  #words(one, place) {
    const [estimate, low, high] = [one.estimate[place], one.low[place], one.high[place]];
    if (estimate === null || estimate === undefined) return format.UNKNOWN;
    return low === null ? this.show(estimate) : `${this.show(estimate)} (${this.show(low)} to ${this.show(high)})`;
  }

  /** One point stands in the middle; of its own accord uPlot would put it beside twice as many. */
  #actions() {
    const [first, last] = [this.actions[0], this.actions.at(-1)];
    return first === last ? [first - 1, first + 1] : [first, last];
  }

  #range() {
    const from = Math.floor(this.actions.length * EARLY);
    const values = this.lines.flatMap((one) => [one.low, one.high, one.estimate].flatMap((each) => each.slice(from))).filter((value) => value !== null);
    const known = this.zero ? [...values, 0] : values;
    if (!known.length) return [0, 1];
    const [low, high] = [Math.min(...known), Math.max(...known)];
    const room = (high - low || Math.abs(high) || 1) * ROOM;
    return [low - room, high + room];
  }

  options() {
    const edge = { stroke: null, width: 0, points: { show: false } };
    return {
      cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
      scales: { x: { time: false, range: () => this.#actions() }, y: { range: () => this.#range() } },
      axes: [
        { ...AXIS, size: 28, space: 64, incrs: WHOLE, grid: { show: false }, values: (_plot, splits) => splits.map(format.count) },
        { ...AXIS, size: 62, space: 34, values: (_plot, splits) => splits.map((value) => this.show(value)) },
      ],
      series: [{}, ...this.lines.flatMap((one) => [edge, edge, {
        stroke: () => token(one.colour), width: 1.75, spanGaps: true, points: { ...alone, fill: () => token(one.colour) },
      }])],
      bands: this.lines.map((one, place) => ({ series: [3 * place + 2, 3 * place + 1], fill: () => token(one.colour, 18) })),
      hooks: { setCursor: [(plot) => this.#read(plot.cursor.idx)], drawAxes: [(plot) => this.zero && nothing(plot)], draw: [(plot) => this.lines.forEach((one) => intervals(plot, one))] },
    };
  }

  #read(place) {
    const known = place !== null && place !== undefined && this.actions[place] !== undefined;
    const at = known ? place : this.actions.length - 1;
    fill(this.legend, h("li", { class: "muted" }, format.plural(this.actions[at], "action"), known && `, ${format.time(this.until[at])}`), this.lines.map((one) =>
      h("li", {}, key(one.colour), h("bdi", {}, one.label), h("b", {}, this.#words(one, at)))));
  }
}

/** A line where there is no difference. */
function nothing(plot) {
  const at = Math.round(plot.valToPos(0, "y", true));
  line(plot, [plot.bbox.left, at], [plot.bbox.left + plot.bbox.width, at], "--muted", [4, 4]);
}

/** The interval of an estimate with none beside it, of which there would be no band. */
function intervals(plot, { estimate, low, high, colour }) {
  for (const place of aloneIn(estimate)) {
    if (low[place] === null || low[place] === undefined) continue;
    const at = Math.round(plot.valToPos(plot.data[0][place], "x", true)) + 0.5; // on pixels, not between them
    line(plot, [at, plot.valToPos(low[place], "y", true)], [at, plot.valToPos(high[place], "y", true)], colour);
  }
}

function line(plot, from, to, colour, dash = []) {
  plot.ctx.save();
  plot.ctx.strokeStyle = token(colour);
  plot.ctx.lineWidth = 1;
  plot.ctx.setLineDash(dash);
  plot.ctx.beginPath();
  plot.ctx.moveTo(...from);
  plot.ctx.lineTo(...to);
  plot.ctx.stroke();
  plot.ctx.restore();
}
