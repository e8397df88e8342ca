/** The form of one row, made from the contract. */

import { code, element } from "./element.js";
import { Field } from "./field.js";

/** The form of one row. */
export class RowForm {
  #fields;

  /**
   * @param {any} contract The contract of the model.
   * @param {() => void} changed Called when a value changes.
   * @param {() => void} submitted Called when the user sends the row and every value is readable.
   */
  constructor(contract, changed, submitted) {
    this.#fields = contract.features.map((feature) => new Field(feature));
    const submit = (event) => {
      event.preventDefault();
      if (this.showProblems(this.#ownProblems())) {
        submitted();
      }
    };
    const reset = () =>
      setTimeout(() => {
        this.#fields.forEach((field) => field.afterReset());
        changed();
      });
    this.element = element(
      "form",
      { novalidate: true, autocomplete: "off", submit, reset, input: changed },
      absence(contract.features),
      element("div", { class: "fields" }, ...this.#fields.map((field) => field.element)),
      element(
        "div",
        { class: "buttons" },
        element("button", {}, "Predict"),
        element("button", { type: "reset", class: "secondary" }, "Example values"),
      ),
    );
  }

  /** The row as it is sent. */
  row() {
    return Object.fromEntries(this.#fields.flatMap((field) => field.entries()));
  }

  /**
   * Show problems at their fields, remove all others, and move the focus to the first one.
   *
   * @param {Map<string, string>} messages The messages by the name of the field.
   * @returns {boolean} Whether no field has a problem.
   */
  showProblems(messages) {
    this.#fields.forEach((field) => field.showProblem(messages.get(field.name) ?? ""));
    const first = this.#fields.find((field) => messages.has(field.name));
    first?.focus();
    return first === undefined;
  }

  /**
   * Return a sentence that names the fields with problems, and the problems of no field.
   *
   * @param {Map<string|null, string>} messages The messages by the name of the field.
   */
  summary(messages) {
    const names = this.#fields.map(({ name }) => name).filter((name) => messages.has(name));
    const listed = names.flatMap((name, index) => [index ? ", " : "", code(name)]);
    const others = [...messages].filter(([name]) => !names.includes(name));
    return [
      ...(names.length ? [element("p", {}, "See the fields ", ...listed, ".")] : []),
      ...others.map(([, message]) => element("p", {}, message)),
    ];
  }

  #ownProblems() {
    const problems = this.#fields.map((field) => [field.name, field.ownProblem()]);
    return new Map(problems.filter(([, message]) => message));
  }
}

/** Return a sentence about missing values, if the contract accepts any. */
function absence(features) {
  if (!features.some(({ nullable }) => nullable)) {
    return null;
  }
  const isNullSent = features.some(({ nullable, required }) => nullable && required);
  const effect = isNullSent ? "It is then left out, or sent as null if every row must have it." : "It is then left out.";
  return element("p", { class: "hint" }, `A field that may be missing can stay empty. ${effect}`);
}
