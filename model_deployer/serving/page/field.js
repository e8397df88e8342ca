/** A field of the form: the label, the input, what the contract says of the values, and the problem with the value. */

import { element, isolated, uniqueId } from "./element.js";
import { createInput, EXPECTED } from "./input.js";
import { exact } from "./number.js";

/** A field of a row. */
export class Field {
  #feature;
  #input;
  #problem;

  /** @param {any} feature A feature of the contract. */
  constructor(feature) {
    this.#feature = feature;
    this.#input = createInput(feature);
    const { control, elements } = this.#input;
    const hint = element("p", { id: uniqueId(), class: "hint" }, ...hints(feature));
    this.#problem = element("p", { id: uniqueId(), class: "problem" });
    control.setAttribute("aria-describedby", `${hint.id} ${this.#problem.id}`);
    control.setAttribute("aria-required", String(isRequired(feature)));
    const label = element(
      "label",
      { for: control.id },
      isolated(feature.name),
      element("small", {}, isRequired(feature) ? " required" : " may be missing"),
    );
    const inputs = element("div", { class: "inputs" }, ...elements);
    this.element = element("div", { class: "field" }, label, inputs, this.#problem, hint);
  }

  /** The name of the field. */
  get name() {
    return this.#feature.name;
  }

  /**
   * The entry of the row: no entry if the value is left out.
   *
   * @returns {[string, any][]}
   */
  entries() {
    const value = this.#input.read();
    if (value !== undefined) {
      return [[this.name, value]];
    }
    if (this.#feature.kind === "text" && !this.#feature.nullable) {
      return [[this.name, ""]];
    }
    return this.#feature.nullable && this.#feature.required ? [[this.name, null]] : [];
  }

  /** What is wrong with an input that the browser cannot read; an empty string if nothing is. */
  ownProblem() {
    return this.#input.isIncomplete() ? EXPECTED[this.#feature.kind] : "";
  }

  /** Show a problem with the value; an empty string removes it. */
  showProblem(message) {
    this.#problem.textContent = message;
    if (message) {
      this.#input.control.setAttribute("aria-invalid", "true");
    } else {
      this.#input.control.removeAttribute("aria-invalid");
    }
  }

  /** Move the focus to the input. */
  focus() {
    this.#input.control.focus();
  }

  /** Show the parts that belong to the values of the example. */
  afterReset() {
    this.#input.afterReset?.();
    this.showProblem("");
  }
}

function isRequired(feature) {
  return feature.required && !feature.nullable;
}

function hints(feature) {
  const sentences = [range(feature), form(feature)].filter(Boolean).join(" ");
  return [
    feature.description && isolated(feature.description),
    feature.unit && element("span", {}, " Unit: ", isolated(feature.unit), "."),
    sentences && ` ${sentences}`,
  ].filter(Boolean);
}

function range({ kind, minimum, maximum, out_of_range: policy }) {
  if (kind !== "numeric" && kind !== "integer") {
    return "";
  }
  const [low, high] = [minimum ?? null, maximum ?? null];
  if (low === null && high === null) {
    return "";
  }
  return `${interval(low, high)}${policy === "reject" ? "." : "; other values are clamped."}`;
}

function bounds(minimum, maximum) {
  const [low, high] = [minimum ?? null, maximum ?? null];
  return low === null && high === null ? "" : `, each ${interval(low, high).toLowerCase()}`;
}

function interval(low, high) {
  if (low === null) {
    return `At most ${exact(high)}`;
  }
  return high === null ? `At least ${exact(low)}` : `From ${exact(low)} to ${exact(high)}`;
}

function form(feature) {
  const { kind, categories, unknown, zoned, shortest, longest, length, integers, minimum, maximum, width, height } = feature;
  switch (kind) {
    case "image":
      return `A PNG or JPEG file ${feature.resize ? "that is resized to" : "of"} ${width} x ${height} pixels.`;
    case "vector":
    case "sequence":
      return `A list of ${length ?? `${shortest} to ${longest}`} ${integers ? "whole " : ""}numbers${bounds(minimum, maximum)}.`;
    case "tensor": {
      const sizes = feature.shape.map((size) => (Array.isArray(size) ? size.join(" to ") : size)).join(", ");
      return `Nested lists of ${integers ? "whole " : ""}numbers of the shape [${sizes}]${bounds(minimum, maximum)}.`;
    }
    case "categorical":
      return categories?.length && unknown === "accept" ? "Other values count as unknown." : "";
    case "datetime":
      return zoned ? "A time with its UTC offset." : "A local time, without a UTC offset.";
    case "text":
      return `At most ${longest} characters.`;
    default:
      return "";
  }
}
