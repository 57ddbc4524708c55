// Pictures over time, by uPlot. Each has its numbers in a legend of text: those under the pointer, else those of all of it.
// Dragging over a picture chooses that time.

import { fill, h } from "./dom.js";
import { alone, AXIS, key, Plot, token, WHOLE } from "./plots.js";

const dayFormat = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const clockFormat = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const secondFormat = new Intl.DateTimeFormat("en-GB", { minute: "2-digit", second: "2-digit" });

function moments(_plot, splits, _axis, _space, step) {
  let day = null;
  return splits.map((seconds) => {
    const at = new Date(seconds * 1e3);
    if (step >= 86_400) return dayFormat.format(at);
    const is = at.toDateString();
    const begins = day !== null && is !== day;
    day = is;
    return begins ? dayFormat.format(at) : (step < 60 ? secondFormat : clockFormat).format(at);
  });
}

/**
 * A picture with heading and legend.
 *
 * series: [{key, label, colour: a custom property of the style sheet, values, mark: an element or null, total, show: for
 * its own values}], the lowest first where stacked. `isWhole`: it counts. `show` formats a value, `t` is in seconds, `chosen(from_s, to_s)` is told of a drag.
 */
export class Chart extends Plot {
  constructor({ title, note, height, stacked = false, isWhole = false, show, chosen, sync }) {
    super({ title, note, height });
    Object.assign(this, { stacked, isWhole, show, chosen, sync });
  }

  /** Show these; the picture is made anew only where the series are others. */
  set({ t, series, step, note }) {
    this.series = series;
    this.t = t;
    this.step = step;
    if (note !== undefined) this.note.textContent = note;
    const sums = this.stacked ? stack(series) : series.map((one) => one.values);
    const drawn = this.stacked ? sums.slice().reverse() : sums; // the tallest first, the lower ones over it
    this.draw([t, ...drawn], series.map((one) => one.key), series.map((one) => `${one.label} ${one.total}`));
    this.#read(null);
  }

  options() {
    const ordered = this.stacked ? this.series.slice().reverse() : this.series;
    const bars = globalThis.uPlot.paths.bars({ size: [0.82, 36], align: 1 });
    return {
      cursor: {
        y: false, points: { show: !this.stacked, size: 6 }, drag: { x: true, y: false, setScale: false },
        ...(this.sync && { sync: { key: this.sync } }),
      },
      scales: {
        x: { range: () => [this.t[0], this.t.at(-1) + this.step] }, // of its own accord uPlot gives one moment years
        y: { range: (_plot, _low, high) => [0, high > 0 ? high * 1.08 : 1] },
      },
      axes: [
        { ...AXIS, values: moments, space: 64, size: 28, grid: { show: false } },
        { ...AXIS, size: 52, space: 34, ...(this.isWhole && { incrs: WHOLE }), values: (_plot, splits) => splits.map((value) => this.show(value)) },
      ],
      series: [{}, ...ordered.map((one) => this.#drawn(one, bars))],
      hooks: {
        setCursor: [(plot) => this.#read(plot.cursor.idx)],
        setSelect: [(plot) => this.#select(plot)],
      },
    };
  }

  #drawn(one, bars) {
    const colour = () => token(one.colour);
    if (this.stacked) return { stroke: colour, fill: one.hollow ? () => token("--surface") : colour, width: one.hollow ? 1.5 : 0, paths: bars, points: { show: false } };
    return { stroke: colour, width: one.thin ? 1 : 1.75, points: { ...alone, fill: colour }, spanGaps: false };
  }

  #select(plot) {
    if (plot.select.width < 8 || !this.chosen) return;
    const from = plot.posToVal(plot.select.left, "x");
    const to = plot.posToVal(plot.select.left + plot.select.width, "x");
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.chosen(from, to);
  }

  #read(place) {
    const known = place !== null && place !== undefined;
    fill(this.legend, this.series.map((one) =>
      h("li", {}, one.mark ? one.mark() : key(one.colour),
        h("span", {}, one.label), h("b", {}, known ? (one.show ?? this.show)(one.values[place]) : one.total))));
    if (known && this.t[place] !== undefined) {
      const at = new Date(this.t[place] * 1e3);
      this.legend.prepend(h("li", { class: "muted" }, this.step >= 86_400 ? dayFormat.format(at) : `${dayFormat.format(at)} ${clockFormat.format(at)}`));
    }
  }
}

function stack(series) {
  const below = [];
  return series.map((one) => one.values.map((value, place) => (below[place] = (below[place] ?? 0) + (value ?? 0))));
}
