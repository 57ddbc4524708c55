// Elements, made by hand. What others said goes into text nodes and attributes only, never into markup.

const SVG = "http://www.w3.org/2000/svg";

/** Make an element: `h("a", {class: "x", href, on: {click}, data: {stop: ""}}, "text", child, [more])`; null is left out. */
export function h(tag, props = {}, ...children) {
  return filled(document.createElement(tag), props, children);
}

/** Make an element of SVG, in the same way. */
export function svg(tag, props = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), props, children);
}

function filled(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [kind, listener] of Object.entries(value)) element.addEventListener(kind, listener);
    else if (name === "data") Object.assign(element.dataset, value);
    // by the object model: an attribute would be inline style, which the page's policy refuses
    else if (name === "style") for (const [key, text] of Object.entries(value)) element.style.setProperty(key, text);
    else if (name === "value" || name === "checked" || name === "selected") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  add(element, children);
  return element;
}

function add(element, children) {
  for (const child of children) {
    if (Array.isArray(child)) add(element, child);
    else if (child !== null && child !== undefined && child !== false) element.append(child);
  }
}

/** Put these in place of what is in an element. */
export function fill(element, ...children) {
  const made = document.createDocumentFragment();
  add(made, children);
  element.replaceChildren(made);
}

/** Text of others: it keeps its own direction, does not turn what stands beside it, and is told whole to who points at it. */
export function said(text, most = 300) {
  const whole = String(text);
  const shown = whole.length > most ? `${whole.slice(0, most)}…` : whole;
  return h("bdi", { title: whole.length > 24 ? whole.slice(0, 2000) : null }, shown);
}

export const unseen = (text) => h("span", { class: "unseen" }, text);

/** Say something to who listens instead of looking, when there is a pause. */
export function announce(text) {
  document.getElementById("said").textContent = text;
}
