/**
 * The inputs of a value, by the kind of the feature.
 *
 * @typedef {object} Input
 * @property {HTMLElement} control The element that has the focus and the label.
 * @property {Node[]} elements All elements of the input, in their order.
 * @property {() => any} read Returns the value; undefined if it is empty.
 * @property {() => boolean} isIncomplete Whether something was entered that the browser cannot read.
 */

import { element, uniqueId } from "./element.js";

/** What an input that the browser cannot read should have, by the kind of the feature. */
export const EXPECTED = {
  numeric: "expected a number",
  integer: "expected a whole number",
  datetime: "expected a date and a time",
  vector: "expected a list of numbers, such as [0.5, -1, 2]",
  sequence: "expected a list of numbers, such as [0.5, -1, 2]",
  tensor: "expected nested lists of numbers, such as [[0.5, -1], [2, 3]]",
};

/**
 * Return the input of a feature, with its example.
 *
 * @param {any} feature A feature of the contract.
 * @returns {Input}
 */
export function createInput(feature) {
  switch (feature.kind) {
    case "numeric":
    case "integer":
      return numberInput(feature);
    case "boolean":
      return feature.nullable ? booleanSelect(feature) : checkbox(feature);
    case "categorical":
      return feature.categories?.length ? categorySelect(feature) : textInput(feature.example ?? "");
    case "datetime":
      return feature.zoned ? zonedTimeInput(feature) : timeInput(feature.example ?? "");
    case "image":
      return imageInput(feature);
    case "vector":
    case "sequence":
      return listInput(feature, 1);
    case "tensor":
      return listInput(feature, feature.shape.length);
    default:
      return textArea(feature.example ?? "");
  }
}

function input(control, read, others = []) {
  const isIncomplete = () => control.validity?.badInput ?? false;
  return { control, elements: [control, ...others], read, isIncomplete };
}

function numberInput({ kind, minimum, maximum, example }) {
  const control = element("input", {
    id: uniqueId(),
    type: "number",
    inputmode: keyboard(kind, minimum),
    step: kind === "integer" ? "1" : "any",
    min: minimum,
    max: maximum,
    value: example,
  });
  return input(control, () => (control.value === "" ? undefined : Number(control.value)));
}

/** Return the keyboard of a telephone; those of whole and decimal numbers have no minus. */
function keyboard(kind, minimum) {
  const isNegative = (minimum ?? -1) < 0;
  return isNegative ? null : kind === "integer" ? "numeric" : "decimal";
}

function checkbox({ example }) {
  const control = element("input", { id: uniqueId(), type: "checkbox", checked: example === true });
  return input(control, () => control.checked);
}

function booleanSelect({ example }) {
  const choices = [true, false];
  const control = select(choices.map(String), choices.indexOf(example), ["missing"]);
  return input(control, () => choices[control.selectedIndex]);
}

/** Return a list of the categories. The last choices are another value, and no value, if the contract allows them. */
function categorySelect({ categories, unknown, nullable, example }) {
  const isListed = categories.includes(example);
  const hasOther = unknown === "accept";
  const hasNone = nullable || example === null;
  const extras = [...(hasOther ? ["another value"] : []), ...(hasNone ? [nullable ? "missing" : "choose a value"] : [])];
  const isOther = hasOther && example !== null && !isListed;
  const selected = isListed ? categories.indexOf(example) : categories.length + (isOther || !hasOther ? 0 : 1);
  const control = select(categories, selected, extras);
  const other = textInput(isOther ? example : "");
  other.control.setAttribute("aria-label", "another value");
  const isOtherChosen = () => hasOther && control.selectedIndex === categories.length;
  const showOther = () => {
    other.control.hidden = !isOtherChosen();
  };
  control.addEventListener("input", showOther);
  showOther();
  const read = () => (isOtherChosen() ? other.read() : categories[control.selectedIndex]);
  return { ...input(control, read, hasOther ? other.elements : []), afterReset: showOther };
}

/** Return a list of choices; the extra choices at its end are not values. */
function select(choices, selected, extras) {
  const options = [...choices, ...extras].map((text, index) =>
    element(
      "option",
      { value: index, selected: index === selected || (selected < 0 && index === choices.length) },
      index < choices.length ? text : `(${text})`,
    ),
  );
  return element("select", { id: uniqueId() }, ...options);
}

function textInput(example) {
  const control = element("input", { id: uniqueId(), type: "text", autocomplete: "off", value: example });
  // An input of one line removes line breaks.
  return control.value === example ? textual(control) : textArea(example);
}

function textArea(example) {
  return textual(element("textarea", { id: uniqueId(), rows: "2", autocomplete: "off" }, example));
}

function textual(control) {
  control.setAttribute("autocapitalize", "off");
  control.setAttribute("spellcheck", "false");
  return input(control, () => (control.value === "" ? undefined : control.value));
}

/** Return an input of a file, which is sent in base64; the example until one is chosen. */
function imageInput({ example }) {
  let value = example ?? undefined;
  const control = element("input", { id: uniqueId(), type: "file", accept: "image/png,image/jpeg" });
  const source = element("small", {}, example ? " The example, until you choose a file." : "");
  const reset = () => {
    value = example ?? undefined;
    source.hidden = false;
  };
  control.addEventListener("change", async () => {
    const [file] = control.files;
    if (!file) {
      reset();
      return;
    }
    value = base64(new Uint8Array(await file.arrayBuffer()));
    source.hidden = true;
    control.dispatchEvent(new Event("input", { bubbles: true }));
  });
  return { ...input(control, () => value, [source]), afterReset: reset };
}

function base64(bytes) {
  let text = "";
  for (let start = 0; start < bytes.length; start += 8192) {
    text += String.fromCharCode(...bytes.subarray(start, start + 8192));
  }
  return btoa(text);
}

/** Return a text area with a list of numbers, or with lists in lists of this depth, as in JSON. */
function listInput({ example }, depth) {
  const text = textArea(example ? JSON.stringify(example).replaceAll(",", ", ") : "");
  const isIncomplete = () => text.read() !== undefined && !hasNumbers(text.read(), depth);
  const read = () => (text.read() === undefined || isIncomplete() ? undefined : JSON.parse(text.read()));
  return { ...text, read, isIncomplete };
}

function hasNumbers(text, depth) {
  try {
    return isNested(JSON.parse(text), depth);
  } catch {
    return false;
  }
}

/** Return whether a value is lists in lists of this depth, with numbers in the last ones. */
function isNested(value, depth) {
  return depth === 0 ? typeof value === "number" : Array.isArray(value) && value.every((item) => isNested(item, depth - 1));
}

function timeInput(example) {
  const [seconds, fraction = ""] = example.replace(/[t ]/, "T").split(".");
  const value = fraction ? `${seconds}.${fraction.slice(0, 3)}` : seconds;
  const control = element("input", { id: uniqueId(), type: "datetime-local", step: fraction ? "0.001" : "1", value });
  if (example && control.value === "") {
    return textInput(example);
  }
  return input(control, () => withSeconds(control.value));
}

/** Browsers leave out seconds that are zero; the contract requires them. */
function withSeconds(time) {
  if (time === "") {
    return undefined;
  }
  return time.length === "2020-01-01T00:00".length ? `${time}:00` : time;
}

function zonedTimeInput({ example }) {
  const [, time, offset] = /^(.*?)([Zz]|[+-]\d\d:\d\d)$/.exec(example ?? "") ?? ["", example ?? "", "Z"];
  const local = timeInput(time);
  const zone = element("input", {
    type: "text",
    class: "offset",
    "aria-label": "UTC offset, such as Z or +02:00",
    autocomplete: "off",
    value: offset,
  });
  const read = () => {
    const value = local.read();
    return value === undefined ? undefined : value + zone.value.trim();
  };
  return { ...local, elements: [...local.elements, zone], read };
}
