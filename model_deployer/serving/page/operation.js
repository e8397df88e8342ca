/** One operation of the API: its parameters, its request and its responses. */

import { code, details, element, isolated, prose } from "./element.js";
import { visibleJson } from "./request_body.js";
import { schemaView, typeName } from "./schema.js";

/**
 * Return the content of an operation.
 *
 * @param {any} operation The operation object.
 * @param {any} documentation The OpenAPI document, which has the schemas.
 */
export function operationContent(operation, documentation) {
  const schemas = documentation.components?.schemas ?? {};
  const isPublic = documentation.security?.length > 0 && operation.security?.length === 0;
  return [
    operation.description && element("p", {}, prose(operation.description)),
    isPublic ? element("p", {}, "No API key is required.") : null,
    ...parameters(operation.parameters ?? [], schemas),
    ...request(operation.requestBody, schemas),
    ...responses(operation.responses ?? {}, schemas),
  ];
}

function parameters(list, schemas) {
  const items = list.map((parameter) =>
    element(
      "li",
      {},
      code(parameter.name),
      element("small", {}, ` ${parameter.in}${parameter.required ? ", required" : ""} `),
      element("em", {}, typeName(parameter.schema ?? {}, schemas)),
      ...(parameter.description ? [". ", prose(parameter.description)] : []),
    ),
  );
  return items.length ? [element("h3", {}, "Parameters"), element("ul", { class: "plain" }, ...items)] : [];
}

function request(body, schemas) {
  return body ? [element("h3", {}, "Request"), ...contents(body.content, schemas)] : [];
}

/** Return the responses. Content that several statuses have, such as that of errors, is described once. */
function responses(byStatus, schemas) {
  const described = new Set();
  const items = Object.entries(byStatus).map(([status, { description, content = {} }]) => {
    const key = JSON.stringify(content);
    const isNew = !described.has(key);
    described.add(key);
    return element(
      "li",
      {},
      element("strong", {}, status),
      " ",
      prose(description ?? ""),
      ...(isNew ? contents(content, schemas) : []),
    );
  });
  return [element("h3", {}, "Responses"), element("ul", { class: "plain" }, ...items)];
}

/** Return the media types: those with a schema or examples can be opened, the others are listed. */
function contents(byMediaType, schemas) {
  const entries = Object.entries(byMediaType);
  const isDescribed = ([, { schema, example, examples }]) =>
    Object.keys(schema ?? {}).length > 0 || example !== undefined || examples !== undefined;
  const others = entries.filter((entry) => !isDescribed(entry)).map(([mediaType]) => mediaType);
  return [
    ...entries.filter(isDescribed).map(([mediaType, content]) => mediaTypeDetails(mediaType, content, schemas)),
    ...(others.length ? [element("p", { class: "hint" }, `Also: ${others.join(", ")}`)] : []),
  ];
}

function mediaTypeDetails(mediaType, { schema, example, examples }, schemas) {
  const named = Object.values(examples ?? {}).map(({ summary, value }) => [summary ?? "Example", value]);
  const all = example === undefined ? named : [["Example", example], ...named];
  const create = () => [
    ...all.map(([summary, value], index) => exampleDetails(summary, value, index === 0)),
    schema ? details("Schema", () => [schemaView(schema, schemas)], all.length === 0) : null,
  ];
  return details(code(mediaType), create, all.length > 0);
}

function exampleDetails(summary, value, open) {
  const text = typeof value === "string" ? value : visibleJson(value, 2);
  return details(isolated(summary), () => [element("pre", { tabindex: "0" }, text)], open);
}
