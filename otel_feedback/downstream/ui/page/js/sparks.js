// Small pictures beside numbers: bars of SVG, with the same said in words.

import { svg } from "./dom.js";
import { plural } from "./format.js";

const WIDTH = 84;
const HEIGHT = 24;

/** An agent's last hour, twelve times five minutes: how much it did, and how much of it was bad. */
export function lastHour({ n = [], bad = [] } = {}) {
  const most = Math.max(1, ...n);
  const wide = WIDTH / Math.max(12, n.length);
  const all = n.reduce((sum, each) => sum + each, 0);
  const failed = bad.reduce((sum, each) => sum + each, 0);
  const bar = (value, place, kind, floor = 0) => {
    const tall = Math.max(value > 0 ? 2 : 0, (value / most) * HEIGHT);
    return value > 0 && svg("rect", { class: kind, x: (place * wide).toFixed(1), y: (HEIGHT - tall - floor).toFixed(1), width: (wide - 2).toFixed(1), height: tall.toFixed(1), rx: 1 });
  };
  return svg("svg", { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT, role: "img",
    "aria-label": `last hour: ${plural(all, "action")}, ${failed} bad` },
  svg("line", { class: "spark-floor", x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5 }),
  n.map((value, place) => bar(value, place, "spark-all")),
  bad.map((value, place) => bar(value, place, "spark-bad")));
}
