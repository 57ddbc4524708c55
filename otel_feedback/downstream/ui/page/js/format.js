// Numbers and moments as people read them. Unknown is "–" and never 0; moments are in the reader's zone.

export const UNKNOWN = "–";
const is = (value) => typeof value === "number" && Number.isFinite(value);

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dayClock = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const full = new Intl.DateTimeFormat("en-GB", {
  year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
  timeZoneName: "short",
});

export const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;

export const count = (value) => (!is(value) ? UNKNOWN : Math.abs(value) < 10_000 ? whole.format(value) : compact.format(value));
export const exact = (value) => (is(value) ? whole.format(value) : UNKNOWN);

export function share(value) {
  if (!is(value)) return UNKNOWN;
  const percent = value * 100;
  if (percent > 0 && percent < 0.1) return "< 0.1 %";
  if (percent > 99.9 && percent < 100) return "> 99.9 %";
  return `${percent === 0 || percent >= 99.95 || percent <= -10 ? Math.round(percent) : percent.toFixed(1)} %`;
}

export const score = (value) => (is(value) ? value.toFixed(2) : UNKNOWN);

export function money(value) {
  if (!is(value)) return UNKNOWN;
  if (value === 0) return "$0";
  if (Math.abs(value) < 0.0001) return "< $0.0001";
  if (Math.abs(value) < 0.1) return `$${value.toFixed(Math.abs(value) < 0.01 ? 4 : 3)}`;
  return Math.abs(value) < 10_000 ? `$${value.toFixed(2)}` : `$${compact.format(value)}`;
}

export function duration(ms) {
  if (!is(ms)) return UNKNOWN;
  if (ms === 0) return "0 ms";
  if (ms < 1) return "< 1 ms";
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950 && ms % 1_000 === 0) return `${ms / 1e3} s`;
  if (ms < 59_950) return `${(ms / 1e3).toFixed(ms < 9_995 ? 2 : 1)} s`;
  const seconds = Math.round(ms / 1e3);
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 2_880 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${Math.floor(minutes / 1440)} d ${Math.floor(minutes / 60) % 24} h`;
}

/** A step of a picture, in words: "minute", "5 minutes", "hour". */
export function step(seconds) {
  if (!is(seconds)) return "step";
  for (const [name, size] of [["day", 86_400], ["hour", 3_600], ["minute", 60]]) {
    if (seconds >= size) {
      const many = Math.round(seconds / size);
      return many === 1 ? name : `${many} ${name}s`;
    }
  }
  return `${Math.round(seconds)} s`;
}

export const bytes = (value) =>
  !is(value) ? UNKNOWN : value < 1e3 ? `${whole.format(value)} B` : value < 1e6 ? `${(value / 1e3).toFixed(0)} kB`
    : value < 1e9 ? `${(value / 1e6).toFixed(1)} MB` : `${(value / 1e9).toFixed(1)} GB`;

const isToday = (ms) => new Date(ms).toDateString() === new Date().toDateString();
export const time = (ms) => (!is(ms) ? UNKNOWN : isToday(ms) ? clock.format(ms) : dayClock.format(ms));
export const moment = (ms) => (is(ms) ? full.format(ms) : UNKNOWN);

export function ago(ms, now = Date.now()) {
  if (!is(ms)) return UNKNOWN;
  const seconds = Math.max(0, (now - ms) / 1e3);
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ago`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3_600)} h ago` : `${Math.floor(seconds / 86_400)} days ago`;
}

/** A name as it stands in a legend. */
export const short = (name, most = 28) => (name.length > most ? `${name.slice(0, most - 1)}…` : name);

export const plural = (n, one, many = `${one}s`) => `${exact(n)} ${n === 1 ? one : many}`;
