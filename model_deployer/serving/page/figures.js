/** The figures of the model on the test rows, next to the baselines. */

import { code, details, element, table } from "./element.js";
import { HIGHER_IS_BETTER, LOWER_IS_BETTER, MEANING } from "./metric_catalog.js";
import { figure } from "./number.js";
import { testRows } from "./origin.js";

const BASELINES = new Map([
  ["linear", "Linear model"],
  ["trivial", "Same answer for every row"],
]);

/** The number of metrics that are visible at first. */
const MAIN = 4;

/**
 * Return the tables of metrics.
 *
 * @param {any} evaluation The evaluation of the model.
 * @param {any} output The output in the contract.
 */
export function figures(evaluation, output) {
  const metrics = Object.entries(evaluation?.metrics?.model ?? {});
  if (metrics.length === 0) {
    return [element("p", {}, "The quality of this model was not measured.")];
  }
  const baselines = [...BASELINES.keys()].filter((name) => evaluation.metrics[name]);
  const headings = ["Metric", "Model", "95 % interval", ...baselines.map((name) => BASELINES.get(name))];
  const rows = metrics.map(([name, metric]) => [
    element("span", {}, words(name), element("small", { class: "block" }, meaning(name))),
    figure(metric.value),
    `${figure(metric.low)} to ${figure(metric.high)}`,
    ...baselines.map((baseline) => value(evaluation.metrics[baseline][name])),
  ]);
  return [
    element("p", {}, `Measured on ${testRows(evaluation)}.`, ...ofClass(output)),
    table("Main metrics", headings, rows.slice(0, MAIN)),
    rows.length > MAIN ? details("More metrics", () => [table("More metrics", headings, rows.slice(MAIN))]) : null,
  ].filter(Boolean);
}

function ofClass(output) {
  return output.positive ? [" Metrics of a class refer to ", code(output.positive), "."] : [];
}

function value(metric) {
  return metric ? figure(metric.value) : "";
}

function meaning(name) {
  const better = HIGHER_IS_BETTER.includes(name)
    ? "higher is better"
    : LOWER_IS_BETTER.includes(name)
      ? "lower is better"
      : "";
  return [MEANING[name], better].filter(Boolean).join("; ");
}

function words(name) {
  return name.replaceAll("_", " ");
}
