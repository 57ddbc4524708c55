// Questions to the server, and the stream of what is new. What goes wrong is a Trouble, which says what to do next.

/** Something that did not come: `kind` is "gone" (nobody answers), "refused" (400, 401, 403), "missing" (404) or "broken". */
export class Trouble extends Error {
  constructor(kind, message, remedy) {
    super(message);
    this.kind = kind;
    this.remedy = remedy;
  }
}

const GONE = new Trouble("gone", "The program behind this page does not answer.",
  "Is `otel-feedback ui` still running? Start it again with the same address: this page connects by itself.");

/** Ask for JSON. */
export async function ask(path, params = null, signal = undefined) {
  const text = params ? params.toString() : "";
  let response;
  try {
    response = await fetch(text ? `${path}?${text}` : path, { signal, headers: { accept: "application/json" } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw GONE;
  }
  let body = null;
  try {
    body = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
  }
  if (response.ok && body !== null) return body;
  const kind = { 400: "refused", 401: "refused", 403: "refused", 404: "missing" }[response.status] ?? "broken";
  throw new Trouble(kind, body?.error ?? `The server answered ${response.status} without saying why.`,
    body?.remedy ?? "Its own output, in the terminal where it was started, says more.");
}

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 20_000;
const HIDDEN_MS = 30_000; // a tab that nobody looks at for so long lets go of its stream

/** The stream of one set of filters: `open(params)` again where they change; it connects anew by itself. */
export class Live {
  #source = null;
  #params = "";
  #pause = FIRST_PAUSE_MS;
  #timer = null;
  #hidden = null;
  #isAway = false;

  /** @param {{rows, tick, alerts, state}} told what to call; `state` with "live", "connecting", "gone" or "away" */
  constructor(told) {
    this.told = told;
    document.addEventListener("visibilitychange", () => this.#look());
  }

  /** Whether it is the stream of these. */
  isOf(params) {
    return params !== null && params.toString() === this.#params;
  }

  /** @param after of /api/feed: what came since then is wanted, too */
  open(params, after = null) {
    const text = params.toString();
    if (this.#source && !this.#isAway && text === this.#params) return;
    this.#isAway = false;
    this.#params = text;
    this.#connect(after);
  }

  #connect(after = null) {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.told.state("connecting");
    const asked = new URLSearchParams(this.#params);
    if (after !== null) asked.set("after", after);
    const source = new EventSource(`/api/live?${asked}`);
    this.#source = source;
    const of = (kind) => source.addEventListener(kind, (event) => this.told[kind](JSON.parse(event.data)));
    ["rows", "tick", "alerts"].forEach(of);
    source.addEventListener("open", () => {
      this.#pause = FIRST_PAUSE_MS;
      this.told.state("live");
    });
    source.addEventListener("error", () => {
      source.close(); // the browser's own attempts end for good at the first answer that is no stream
      this.told.state("gone");
      this.#timer = setTimeout(() => this.#connect(), this.#pause);
      this.#pause = Math.min(LONGEST_PAUSE_MS, this.#pause * 1.6);
    });
  }

  #look() {
    clearTimeout(this.#hidden);
    if (document.hidden) {
      this.#hidden = setTimeout(() => {
        clearTimeout(this.#timer);
        this.#source?.close();
        this.#isAway = true;
        this.told.state("away");
      }, HIDDEN_MS);
    } else if (this.#isAway) {
      this.#isAway = false;
      this.#connect();
    }
  }
}
