/** The request of the form as code, in the language that the reader chooses. */

import { element, uniqueId } from "./element.js";
import { LANGUAGES } from "./languages.js";
import { ADDRESS } from "./service.js";

/**
 * Return the element with the code, and a function that shows another row.
 *
 * @param {boolean} needsKey Whether the service requires an API key.
 */
export function requestCode(needsKey) {
  let row = {};
  const names = [...LANGUAGES.keys()];
  const select = element(
    "select",
    { id: uniqueId(), input: show },
    ...names.map((name) => element("option", {}, name)),
  );
  const text = element("pre", { tabindex: "0", role: "region", "aria-label": "Code of the request" });
  const status = element("span", { role: "status" });
  const copyButton = element("button", { type: "button", class: "secondary", click: copy }, "Copy");

  function show() {
    text.textContent = LANGUAGES.get(select.value)({ address: ADDRESS, row, needsKey });
    status.textContent = "";
  }

  async function copy() {
    status.textContent = (await copyText(text)) ? "Copied" : "Select the code and copy it.";
  }

  const created = element(
    "div",
    {},
    element("div", { class: "buttons" }, element("label", { for: select.id }, "Language"), select, copyButton, status),
    text,
  );
  const update = (newRow) => {
    row = newRow;
    show();
  };
  return { element: created, update };
}

/** Copy the text of an element. Browsers have a clipboard only for pages from TLS or from this machine. */
async function copyText(source) {
  try {
    await navigator.clipboard.writeText(source.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(source);
    return document.execCommand("copy");
  }
}
