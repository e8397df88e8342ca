/** A prediction in words. */

import { code, details, element, isolated } from "./element.js";
import { number, percent } from "./number.js";
import { fromThreshold } from "./origin.js";
import { visibleJson } from "./request_body.js";
import { WARNING_CODES } from "./warning_codes.js";

/** The number of labels whose probability is visible at first. */
const VISIBLE_LABELS = 10;

/** The number of numbers of an embedding that are visible. */
const VISIBLE_NUMBERS = 8;

/**
 * Return the answer to one row.
 *
 * @param {import("./service.js").Answer} answer An answer with the status 200.
 * @param {any} model The content of GET /model.
 */
export function predictionInWords({ content, requestId }, model) {
  const [prediction] = content.predictions;
  const output = model.contract.output;
  return [
    ...sentences(prediction, output, model.evaluation),
    ...content.warnings.map(warningSentence),
    element(
      "small",
      { class: "block" },
      "Answered by ",
      isolated(`${content.model.name} ${content.model.version}`),
      ". Request id: ",
      isolated(requestId),
    ),
    details("The answer as JSON", () => [element("pre", {}, visibleJson(content, 2))]),
  ];
}

function sentences(prediction, output, evaluation) {
  switch (output.kind) {
    case "classification":
      return classification(prediction, output, evaluation);
    case "vector":
      return output.names ? quantities(prediction.values, output) : [embedding(prediction.values, output)];
    default:
      return quantity(prediction, output);
  }
}

function warningSentence({ field, code: reason }) {
  const meaning = WARNING_CODES[reason] ?? "is unlike the reference rows";
  return element("p", { class: "warning" }, "The value of ", code(field), ` ${meaning}, so the prediction may be unreliable.`);
}

function classification(prediction, output, evaluation) {
  const probabilities = new Map(Object.entries(prediction.probabilities));
  const decision = prediction.decision;
  return [
    element(
      "p",
      { class: "result" },
      isolated(output.target),
      ": ",
      element("strong", {}, isolated(decision)),
      `, with a probability of ${percent(probabilities.get(decision))}`,
    ),
    rule(output, evaluation),
    ...probabilityLists(probabilities, output),
    prediction.set ? setSentence(prediction.set, output) : null,
  ].filter(Boolean);
}

function rule({ positive, threshold, labels }, evaluation) {
  if (positive === null || positive === undefined) {
    return element("p", {}, "The decision is the most likely label.");
  }
  return element(
    "p",
    {},
    "The decision is ",
    isolated(positive),
    ` if its probability is ${fromThreshold(percent(threshold), evaluation)}, else `,
    isolated(labels[0]),
    ".",
  );
}

function probabilityLists(probabilities, { labels }) {
  const sorted = labels.length > 2 ? [...labels].sort((a, b) => probabilities.get(b) - probabilities.get(a)) : labels;
  const others = sorted.slice(VISIBLE_LABELS);
  return [
    probabilityList(sorted.slice(0, VISIBLE_LABELS), probabilities),
    others.length ? details(`${others.length} more labels`, () => [probabilityList(others, probabilities)]) : null,
  ];
}

function probabilityList(labels, probabilities) {
  const items = labels.map((label) =>
    element(
      "li",
      {},
      isolated(label),
      element("meter", { min: "0", max: "1", value: probabilities.get(label), "aria-hidden": "true" }),
      element("span", {}, percent(probabilities.get(label))),
    ),
  );
  return element("ul", { class: "probabilities", "aria-label": "Probabilities" }, ...items);
}

function setSentence(set, { coverage }) {
  const labels = set.flatMap((label, index) => [index ? ", " : "", element("strong", {}, isolated(label))]);
  return element("p", {}, `A set like this is made to contain the true label in ${percent(coverage)} of cases: `, ...labels, ".");
}

function quantity({ value, lower, upper }, output) {
  const unit = () => (output.unit ? [" ", isolated(output.unit)] : []);
  const interval = lower !== undefined && element(
    "p",
    {},
    `In ${percent(output.coverage)} of cases the truth is between ${number(lower)} and ${number(upper)}`,
    ...unit(),
    ".",
  );
  const result = element("p", { class: "result" }, isolated(output.target), ": ", element("strong", {}, number(value), ...unit()));
  return [result, meaning(output), interval].filter(Boolean);
}

function quantities(values, { names, units }) {
  return names.map((name, index) =>
    element(
      "p",
      { class: "result" },
      isolated(name),
      ": ",
      element("strong", {}, number(values[name]), ...(units[index] ? [" ", isolated(units[index])] : [])),
    ),
  );
}

function embedding(values, { target }) {
  const shown = values.slice(0, VISIBLE_NUMBERS).map(number).join(", ");
  const more = values.length > VISIBLE_NUMBERS ? ` and ${values.length - VISIBLE_NUMBERS} more numbers` : "";
  return element("p", { class: "result" }, isolated(target), ": ", element("strong", {}, `${shown}${more}`));
}

function meaning({ quantile, count }) {
  if (quantile !== null && quantile !== undefined) {
    return element("p", {}, `The truth is at or below this value in ${percent(quantile)} of cases.`);
  }
  return count ? element("p", {}, "This is the expected count.") : null;
}
