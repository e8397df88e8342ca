/** The reference of the API, made from the OpenAPI document. */

import { code, details, element, isolated, prose, section } from "./element.js";
import { operationContent } from "./operation.js";

/** The tags of the service's own operations. */
const OWN_TAGS = ["Predictions", "Operation"];

const FIRST_PATH = "/predict";

/**
 * Return the reference: predictions first, then the other paths of the service, then the protocols of other servers.
 *
 * @param {any} documentation The OpenAPI document.
 */
export function apiReference(documentation) {
  const operations = Object.entries(documentation.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );
  const groups = new Map();
  for (const entry of operations) {
    const tag = entry.operation.tags?.[0] ?? "";
    groups.set(tag, [...(groups.get(tag) ?? []), entry]);
  }
  const view = (entry) => operationDetails(entry, documentation);
  const own = OWN_TAGS.flatMap((tag) => groups.get(tag) ?? []);
  const others = [...groups].filter(([tag]) => !OWN_TAGS.includes(tag));
  return section(
    "API reference",
    element("p", {}, "This is the OpenAPI document of the service, ", code("docs.json"), "."),
    ...own.map(view),
    ...(others.length ? [element("h3", {}, "Protocols of other servers")] : []),
    ...others.map(([tag, entries]) =>
      details(element("span", {}, isolated(tag), ` (${entries.length})`), () => entries.map(view)),
    ),
  );
}

function operationDetails({ path, method, operation }, documentation) {
  const summary = element(
    "span",
    {},
    element("strong", { class: "method" }, method.toUpperCase()),
    " ",
    code(path),
    " ",
    prose(operation.summary ?? ""),
  );
  const created = details(summary, () => operationContent(operation, documentation), path === FIRST_PATH);
  created.classList.add("operation");
  return created;
}
