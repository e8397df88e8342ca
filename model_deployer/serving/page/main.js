/** The start of the page: read the model, with an API key if the service requires one, and show it. */

import { element } from "./element.js";
import { keyForm } from "./key_form.js";
import { modelSummary } from "./model_summary.js";
import { reason } from "./problem.js";
import { apiReference } from "./api_reference.js";
import { Service } from "./service.js";
import { trial } from "./trial.js";

const page = document.getElementById("page");
const service = new Service();

/** Show the page, or the form for a key if the service refuses the request. */
async function start() {
  const [model, documentation] = await Promise.all([service.get("model"), service.get("docs.json")]);
  if (model.status === 401) {
    askForKey(service.hasKey);
  } else if (model.status === 200 && documentation.status === 200) {
    show(model.content, documentation.content);
  } else {
    showFailure(model.status === 200 ? documentation : model, documentation);
  }
}

function askForKey(isRefused) {
  const form = keyForm(isRefused, (key) => {
    service.useKey(key);
    start();
  });
  page.replaceChildren(form);
  form.querySelector("input").focus();
}

function show(model, documentation) {
  document.title = `${model.name} ${model.version}`;
  const needsKey = (documentation.security ?? []).length > 0;
  const attempt = trial(model, service, needsKey, () => askForKey(true));
  page.replaceChildren(
    ...modelSummary(model),
    element("div", { class: "columns" }, element("div", {}, ...attempt), apiReference(documentation)),
  );
  if (service.hasKey) {
    // The form with the key had the focus, and is gone.
    page.querySelector("h1").focus();
  }
}

function showFailure(failure, documentation) {
  page.replaceChildren(
    element("div", { class: "notice", role: "alert" }, element("h1", {}, "Model service"), reason(failure)),
    element("button", { type: "button", click: start }, "Load again"),
    ...(documentation.status === 200 ? [apiReference(documentation.content)] : []),
  );
}

start();
