// The address is the state: the view in its path, the filters in its query. The same names as the server's.

export const FIELDS = ["service", "tenant", "agent", "action", "status", "model", "tag"];
/** Filters that only links set; they show as the others do. */
export const LINKED = ["tool", "user", "session", "workflow", "error_type", "run"];
/** As a filter's value: those that have none. */
export const NONE = "-";
const TIMES = ["since", "until"];
export const FILTERS = [...TIMES, ...FIELDS, ...LINKED, "text"];
export const RANGES = [
  ["15m", "15 minutes"], ["1h", "1 hour"], ["6h", "6 hours"], ["24h", "24 hours"], ["7d", "7 days"], ["30d", "30 days"],
];
export const DEFAULT_RANGE = "24h";

export const VIEWS = [
  ["now", "/", "Now"], ["failures", "/failures", "Failures"], ["cost", "/cost", "Cost"],
  ["experiments", "/experiments", "Experiments"], ["choices", "/choices", "Choices"], ["gaps", "/gaps", "Gaps"],
  ["objectives", "/objectives", "Objectives"], ["alerts", "/alerts", "Alerts"], ["pipeline", "/pipeline", "Pipeline"],
];

/** Return {view, run, params} of an address. */
export function read(url = new URL(location.href)) {
  const params = url.searchParams;
  const run = /^\/run\/(.+)$/.exec(url.pathname);
  if (run) return { view: "run", run: decoded(run[1]), params };
  const found = VIEWS.find(([, path]) => path === url.pathname);
  return { view: found ? found[0] : "unknown", run: null, params };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // not percent-encoded as it should be: the server will not know it, and says so
  }
}

/** Only the filters of a query, in a fixed order, so that equal filters are equal texts. */
export function filtersOf(params) {
  const kept = new URLSearchParams();
  for (const name of FILTERS) for (const value of params.getAll(name)) if (value) kept.append(name, value);
  return kept;
}

export const query = (params) => {
  const text = params.toString();
  return text ? `?${text}` : "";
};

/** The address of a view, with the filters of now. */
export const viewPath = (view, params) => VIEWS.find(([name]) => name === view)[1] + query(filtersOf(params));

export const runPath = (id, event) => `/run/${encodeURIComponent(id)}${event ? `#${encodeURIComponent(event)}` : ""}`;

export const COST_BY = ["tenant", "user", "session", "workflow", "agent", "model"];

/** What a query has costs told by. */
export const costBy = (params) => (COST_BY.includes(params.get("by")) ? params.get("by") : "agent");

const COMPARED = ["experiment", "compare", "value", "baseline"];

/** What a query has compared: an experiment, or two values of something. */
export const comparedOf = (params) => new URLSearchParams([...params].filter(([name]) => COMPARED.includes(name)));

/** The same filters, and this compared. */
export const comparing = (params, compared) => new URLSearchParams([...filtersOf(params), ...compared]);

/** A query with one value more, once. */
export function withFilter(params, field, value) {
  const changed = new URLSearchParams(params);
  if (field === "text" || TIMES.includes(field)) changed.set(field, value);
  else if (!changed.getAll(field).includes(value)) changed.append(field, value);
  return changed;
}

/** A query in which this has one value; none where it is empty. */
export function withOnly(params, name, value) {
  const changed = new URLSearchParams(params);
  if (value === "") changed.delete(name);
  else changed.set(name, value);
  return changed;
}

/** The same of this time alone, in seconds. */
export function between(params, from_s, to_s) {
  const iso = (seconds) => new Date(Math.round(seconds * 1e3)).toISOString();
  return withOnly(withOnly(params, "since", iso(from_s)), "until", iso(to_s));
}

export function withoutFilter(params, field, value) {
  const changed = new URLSearchParams();
  for (const [name, each] of params) if (!(name === field && (value === undefined || each === value))) changed.append(name, each);
  return changed;
}

/** How the range of time reads. */
export function rangeWords(params, moment) {
  const since = params.get("since") ?? DEFAULT_RANGE;
  const until = params.get("until");
  const known = RANGES.find(([value]) => value === since);
  if (known && !until) return `last ${known[1]}`;
  const shown = (text) => (Number.isNaN(Date.parse(text)) ? text : moment(Date.parse(text)));
  return until ? `${shown(since)} to ${shown(until)}` : `since ${shown(since)}`;
}
