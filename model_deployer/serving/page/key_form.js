/** The form that asks for an API key. */

import { element, uniqueId } from "./element.js";

/**
 * Return the form.
 *
 * @param {boolean} isRefused Whether the service refused the last key.
 * @param {(key: string) => void} useKey Called with the key.
 */
export function keyForm(isRefused, useKey) {
  const input = element("input", {
    id: uniqueId(),
    type: "password",
    autocomplete: "off",
    spellcheck: "false",
    required: true,
    "aria-invalid": isRefused && "true",
  });
  const message = isRefused ? "The service refused this key. Check it, and enter it again." : "";
  const status = element("p", { role: "alert", class: "problem", id: uniqueId() }, message);
  input.setAttribute("aria-describedby", status.id);
  const submit = (event) => {
    event.preventDefault();
    useKey(input.value.trim());
  };
  return element(
    "form",
    { class: "key", submit },
    element("h1", {}, "API key"),
    element(
      "p",
      {},
      "This service requires an API key. The key stays in the memory of this page until you close or reload it.",
    ),
    element("label", { for: input.id }, "Key"),
    input,
    status,
    element("button", {}, "Continue"),
  );
}
