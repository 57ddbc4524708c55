// The page: from the address to a view, one stream for all of it, and how the connection is.

import { filtersOf, query, read, viewPath, VIEWS } from "./address.js";
import { ask, Live } from "./api.js";
import { announce, fill, h } from "./dom.js";
import { Filters } from "./filters.js";
import * as format from "./format.js";
import { themeSign, themeWords, turnTheme } from "./keeping.js";
import { listen } from "./keyboard.js";
import { notice, trouble } from "./parts.js";
import { redraw } from "./plots.js";
import * as alerts from "./views/alerts.js";
import * as choices from "./views/choices.js";
import * as cost from "./views/cost.js";
import * as experiments from "./views/experiments.js";
import * as failures from "./views/failures.js";
import * as gaps from "./views/gaps.js";
import * as now from "./views/now.js";
import * as objectives from "./views/objectives.js";
import * as pipeline from "./views/pipeline.js";
import * as run from "./views/run.js";

const SHOWN = { now, failures, cost, experiments, choices, gaps, objectives, alerts, pipeline, run, unknown: { show: unknown } };
const AGAIN_MS = 20_000; // views that the stream does not keep up
const MANY = 3; // attempts after which it is no accident
const STALE_S = 120; // behind what is written: something is slow or stands still
const place = (id) => document.getElementById(id);
const main = place("main");

let current = null; // what is shown: {view, address, part, abort}
let state = null; // the newest answer of /api/state
let link = "connecting";
let attempts = 0; // at a stream, since there was one
let wasAway = false; // and what is shown may lack what happened meanwhile
let openAlerts = null;

// -- from the address to a view ------------------------------------------------------------------------------------

const filters = new Filters(place("filters"), (params, { isSame = false } = {}) => go(location.pathname + query(params), { isSame }));

function go(address, { isSame = false } = {}) {
  history[isSame ? "replaceState" : "pushState"](null, "", address);
  showAddress();
}

function showAddress({ isBack = false } = {}) {
  const { view, run: id, params } = read();
  const address = location.pathname + location.search;
  if (current?.address === address) return; // only what is marked in it has changed
  const isSameView = current?.view === view;
  main.style.setProperty("min-height", isSameView ? `${main.offsetHeight}px` : ""); // what is below does not jump meanwhile
  current?.abort.abort();
  current?.part?.dispose?.();
  const abort = new AbortController();
  const followed = view === "run" ? new URLSearchParams({ run: id }) : filtersOf(params);
  current = { view, address, abort, followed, part: null };
  navigation(view, params);
  filters.show(view, params);
  const follow = (after = null) => live.open(followed, after);
  if (view !== "now") follow();
  current.part = SHOWN[view].show(main, { params, run: id, signal: abort.signal, follow, state: () => state, go: (changed) => go(location.pathname + query(changed)) });
  document.title = `${id ? `Run ${id.slice(0, 40)}` : (VIEWS.find(([name]) => name === view)?.[2] ?? "Not found")} · otel-feedback`;
  if (!isSameView && !isBack) {
    scrollTo(0, 0);
    if (document.activeElement !== document.body) main.focus({ preventScroll: true });
    announce(document.title);
  }
}

function navigation(view, params) {
  fill(place("nav"), VIEWS.map(([name, , title]) => h("a", { href: viewPath(name, params), "aria-current": name === view && "page", data: { view: name } }, title,
    name === "alerts" && openAlerts > 0 && h("span", { class: "count" }, h("span", { class: "unseen" }, "open: "), openAlerts))));
  const [nav, chosen] = [place("nav"), place("nav").querySelector("[aria-current]")];
  if (chosen) nav.scrollLeft = chosen.offsetLeft - nav.offsetLeft - (nav.clientWidth - chosen.offsetWidth) / 2; // on a phone they do not all fit
}

function unknown() {
  fill(main, h("h1", { class: "unseen" }, "Not found"), notice("There is no page at this address", null, { actions: [h("a", { class: "button", href: "/" }, "To the page that is")] }));
}

document.addEventListener("click", (event) => {
  const anchor = event.target.closest?.("a[href]");
  if (!anchor || event.button || event.ctrlKey || event.metaKey || event.shiftKey || anchor.target || anchor.hasAttribute("download")) return;
  const url = new URL(anchor.href);
  if (url.origin !== location.origin || url.pathname.startsWith("/api/") || anchor.getAttribute("href").startsWith("#")) return;
  event.preventDefault();
  for (const menu of document.querySelectorAll("details[open]")) menu.open = false;
  if (url.href !== location.href) go(url.pathname + url.search + url.hash);
});
addEventListener("popstate", () => showAddress({ isBack: true }));

// -- the stream, and how it is -------------------------------------------------------------------------------------

const live = new Live({
  rows: (told) => isFollowed() && current.part?.rows?.(told.rows, told),
  tick: (tick) => {
    state = { ...state, rows: tick.rows, newest: tick.newest, behind_s: tick.behind_s, ...("problem" in tick ? { problem: tick.problem } : {}) };
    connection();
    if (isFollowed()) current.part?.tick?.(tick);
  },
  alerts: (told) => {
    const { open } = told;
    if (openAlerts !== null && open.length > openAlerts) announce(`${format.plural(open.length, "alert")} open`);
    alertsOpen(open.length);
    current?.part?.alertsChanged?.(open);
  },
  state: (next) => {
    link = next;
    wasAway ||= next === "gone" || next === "away";
    attempts = next === "live" ? 0 : attempts + (next === "gone");
    if (next === "live" && wasAway) {
      wasAway = false;
      current?.part?.back?.();
      announce("Connected again");
    }
    if (next === "live" || next === "gone") look();
    connection();
  },
});

/** Whether what the stream tells is of what is shown: a view may open it later than it is there. */
const isFollowed = () => current !== null && live.isOf(current.followed);

async function look() {
  try {
    const first = state?.version === undefined;
    state = await ask("/api/state");
    refusal = null;
    if (first) current?.part?.stated?.();
  } catch (error) {
    refusal = error;
  }
  connection();
}

let refusal = null; // why there is no state

function alertsOpen(many) {
  openAlerts = many;
  const { view, params } = read();
  navigation(view, params);
}

function connection() {
  const isStale = link === "live" && state?.behind_s > STALE_S;
  const [kind, words] = link === "live" ? (state?.problem ? ["broken", "Problem"] : isStale ? ["stale", "Behind"] : ["live", "Live"])
    : link === "away" ? ["connecting", "Asleep"] : attempts > 0 && refusal ? ["gone", "Disconnected"] : attempts >= MANY ? ["stale", "Not live"] : ["connecting", "Connecting"];
  const element = place("link-state");
  if (element.dataset.state !== kind) {
    element.dataset.state = kind;
    if (kind === "gone") announce("Disconnected");
  }
  place("link-words").textContent = words;
  element.title = state?.newest ? `Newest event ${format.ago(state.newest)}` : "";
  banners(isStale);
  fill(place("foot"), state && [h("span", {}, state.kind === "topic" ? "Topic " : state.kind === "store" ? "Store " : "Log ", h("bdi", {}, state.source)),
    h("span", {}, format.plural(state.rows ?? 0, "event")), state.newest && h("span", {}, `newest ${format.ago(state.newest)}`), state.tenant && h("span", {}, "tenant ", h("bdi", {}, state.tenant), " only"), h("span", {}, `Times of ${format.ZONE}`), h("span", {}, `otel-feedback ${state.version}`)]);
}

let shownBanner = "";

function banners(isStale) {
  const shown = refusal && link !== "live" ? ["gone", refusal.message, refusal.remedy]
    : attempts >= MANY ? ["stale", "What is new does not come by itself: its stream cannot be opened.", "Perhaps something between here and the program keeps streams back; its output says more. Load the page again to see what is new."]
    : state?.problem ? ["broken", state.problem, "What is shown is what was read before. The page goes on by itself when that is mended."]
      : isStale ? ["stale", `What is shown is ${format.duration(state.behind_s * 1e3)} behind.`, "The store reads more slowly than agents write, or stands still: Pipeline says which."] : null;
  const text = shown ? shown.join("\n") : "";
  if (text === shownBanner) return;
  shownBanner = text;
  fill(place("banners"), shown && notice(shown[1], shown[2], { kind: `banner notice-${shown[0]}` }));
}

// -- the rest ------------------------------------------------------------------------------------------------------

function theme() {
  place("theme").textContent = themeSign();
  place("theme").title = themeWords();
  place("theme").setAttribute("aria-label", themeWords());
  redraw();
}

const turn = () => {
  turnTheme();
  theme();
  announce(themeWords());
};
place("theme").addEventListener("click", turn);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
listen({
  search: () => filters.focus(), clear: () => filters.clear(), theme: turn, close: () => filters.close(),
  view: (number) => VIEWS[number - 1] && go(viewPath(VIEWS[number - 1][0], read().params)),
});
addEventListener("unhandledrejection", (event) => {
  if (event.reason?.name === "AbortError") return event.preventDefault();
  if (event.reason?.remedy) fill(place("banners"), trouble(event.reason));
  return undefined;
});
setInterval(connection, 10_000); // "3 min ago" grows older
setInterval(() => {
  const isRead = main !== document.activeElement && main.contains(document.activeElement); // nothing moves under a reader's hands
  if (link === "live" && !document.hidden && !isRead) current?.part?.again?.();
}, AGAIN_MS);
theme();
showAddress();
ask("/api/alerts").then(({ open }) => alertsOpen(open.length), () => null);
