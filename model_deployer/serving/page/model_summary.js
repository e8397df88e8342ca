/** What the model is: its name, purpose, figures and limits. */

import { element, isolated, section } from "./element.js";
import { figures } from "./figures.js";
import { bytes, number } from "./number.js";
import { made, parts } from "./origin.js";

/**
 * Return the first part of the page.
 *
 * @param {any} model The content of GET /model.
 */
export function modelSummary(model) {
  return [
    element("h1", { tabindex: "-1" }, isolated(model.name), " ", element("small", {}, isolated(model.version))),
    model.description && element("p", { class: "lead" }, isolated(model.description)),
    model.business_context && element("p", {}, isolated(model.business_context)),
    facts(model),
    section("Quality", ...figures(model.evaluation, model.contract.output)),
  ].filter(Boolean);
}

function facts(model) {
  const limits = model.contract.limits;
  const entries = [
    ["Predicts", target(model.contract.output)],
    [made(model.evaluation), created(model.created)],
    ["Source", model.evaluation?.adoption && isolated(model.evaluation.adoption.source)],
    ["Rows", parts(model.evaluation)],
    ["Owner", model.owner && isolated(model.owner)],
    ["Licence", model.license && isolated(model.license)],
    [
      "Limits of a request",
      `${number(limits.rows)} rows, ${bytes(limits.body_bytes)}, ${number(limits.timeout_seconds)} seconds`,
    ],
  ];
  const items = entries.filter(([, content]) => content);
  return element(
    "dl",
    { class: "facts" },
    ...items.map(([name, content]) => element("div", {}, element("dt", {}, name), element("dd", {}, content))),
  );
}

function target(output) {
  return element("span", {}, isolated(output.target), ...(output.unit ? [" in ", isolated(output.unit)] : []));
}

function created(time) {
  const date = new Date(time);
  return Number.isNaN(date.getTime())
    ? isolated(time)
    : element("time", { datetime: time }, `${date.toISOString().slice(0, 16).replace("T", " ")} UTC`);
}
