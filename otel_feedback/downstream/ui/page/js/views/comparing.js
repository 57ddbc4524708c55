// What is compared: an experiment of the list, or two values of something, chosen in a form.

import { ask } from "../api.js";
import { fill, h } from "../dom.js";

const EXPERIMENT = "an experiment";
const OTHER = "metadata…";
const BY = ["agent", "model", "metadata.version", "tag", "service", "tenant", "tool", "workflow"];
const LISTED = ["agent", "model", "tag", "service", "tenant"]; // of which the server knows the values

/** @param compared of the address; @param go told of what is compared next, as pairs of a query */
export function comparisonForm(compared, go) {
  const chosen = compared.get("compare");
  const isKnown = chosen === null || BY.includes(chosen);
  const [first = "", second = ""] = compared.getAll("value");
  const what = h("select", {}, [EXPERIMENT, ...BY, OTHER].map((name) => h("option", { value: name, selected: name === (isKnown ? chosen ?? EXPERIMENT : OTHER) }, name.replace("metadata.", ""))));
  const key = h("input", { type: "text", required: true, maxlength: 100, value: isKnown ? "" : chosen.replace("metadata.", ""), placeholder: "key", "aria-label": "Key of metadata" });
  const list = h("datalist", { id: "compared-values" });
  const value = (text, label) => h("input", { type: "text", required: true, maxlength: 400, list: "compared-values", autocomplete: "off", value: text, "aria-label": label, placeholder: label, on: { focus: () => look() } });
  const [one, other] = [value(first, "one"), value(second, "the other")];
  const rest = h("span", { class: "compared" });
  const form = h("form", { class: "choice comparison-form", on: { submit: (event) => {
    event.preventDefault();
    other.setCustomValidity(one.value === other.value ? "Name two that differ." : "");
    if (!form.reportValidity()) return;
    const by = what.value === OTHER ? `metadata.${key.value}` : what.value;
    go([["compare", by], ["value", one.value], ["value", other.value]]);
  } } }, h("label", { class: "choice" }, h("span", {}, "Compare"), what), rest, list);
  const look = async () => {
    if (!LISTED.includes(what.value)) return fill(list);
    try {
      const { values } = await ask("/api/values", new URLSearchParams({ field: what.value }));
      fill(list, values.slice(0, 50).map((each) => h("option", { value: each })));
    } catch {
      fill(list); // it can be typed all the same
    }
  };
  const shown = () => fill(rest, what.value === OTHER && key, what.value !== EXPERIMENT && [one, h("span", {}, "with"), other, h("button", { type: "submit" }, "Compare")]);
  what.addEventListener("change", () => {
    if (what.value === EXPERIMENT) {
      if (chosen !== null) go([]);
      return shown();
    }
    one.value = other.value = "";
    shown();
    return rest.querySelector("input").focus();
  });
  for (const input of [one, other]) input.addEventListener("input", () => other.setCustomValidity(""));
  shown();
  return form;
}
