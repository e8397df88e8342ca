/** A request with one row: the form, the answer, and the same request as code. */

import { element, section } from "./element.js";
import { predictionInWords } from "./prediction.js";
import { messagesByField, reason } from "./problem.js";
import { requestCode } from "./request_code.js";
import { requestBody } from "./request_body.js";
import { RowForm } from "./row_form.js";

/**
 * Return the sections.
 *
 * @param {any} model The content of GET /model.
 * @param {import("./service.js").Service} service
 * @param {boolean} needsKey Whether the service requires an API key.
 * @param {() => void} keyRefused Called if the service no longer accepts the key.
 */
export function trial(model, service, needsKey, keyRefused) {
  const answer = element("div", { role: "status", "aria-live": "polite", class: "answer" });
  const staleness = element("p", { class: "hint", hidden: true }, "The values have changed since this answer.");
  const form = new RowForm(model.contract, changed, submitted);
  const code = requestCode(needsKey);

  function changed() {
    staleness.hidden = answer.childElementCount === 0;
    code.update(form.row());
  }

  async function submitted() {
    if (answer.getAttribute("aria-busy") === "true") {
      return;
    }
    answer.setAttribute("aria-busy", "true");
    const result = await service.predict(requestBody(form.row()));
    answer.setAttribute("aria-busy", "false");
    staleness.hidden = true;
    if (result.status === 401) {
      keyRefused();
    } else if (result.status === 200) {
      form.showProblems(new Map());
      answer.replaceChildren(...predictionInWords(result, model));
      answer.scrollIntoView({ block: "nearest" });
    } else {
      const messages = messagesByField(result);
      answer.replaceChildren(reason(result), ...form.summary(messages));
      form.showProblems(messages);
    }
  }

  code.update(form.row());
  return [section("Try it", form.element, answer, staleness), section("The same request as code", code.element)];
}
