/** Answers that are not predictions, in words. */

import { element, isolated, prose } from "./element.js";

/**
 * Return the reason for which there is no answer.
 *
 * @param {import("./service.js").Answer} answer An answer whose status is not 200.
 */
export function reason({ status, content, requestId }) {
  if (status === 0) {
    return element("p", {}, "There was no answer. Check the connection to the service, and send the request again.");
  }
  if (typeof content?.title !== "string") {
    return element("p", {}, `The answer has the status ${status} and did not come from the model service.`);
  }
  return element(
    "p",
    {},
    element("strong", {}, `${status}: `, isolated(content.title)),
    ". ",
    prose(content.detail ?? ""),
    content.retry ? ". The same request may succeed later." : ".",
    requestId && element("small", { class: "block" }, "Request id: ", isolated(requestId)),
  );
}

/**
 * Return the messages of a refusal by the name of the field; problems of the whole row have the name null.
 *
 * @param {import("./service.js").Answer} answer An answer whose status is not 200.
 * @returns {Map<string|null, string>}
 */
export function messagesByField({ content }) {
  const problems = Array.isArray(content?.errors) ? content.errors : [];
  return new Map(problems.map(({ field, message }) => [field, message]));
}
