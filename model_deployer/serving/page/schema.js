/** A JSON Schema as nested lists. */

import { code, details, element, prose } from "./element.js";
import { exact } from "./number.js";
import { visibleJson } from "./request_body.js";

/** The number of values of an enumeration that are listed. */
const LISTED_VALUES = 20;

const CONSTRAINTS = [
  ["minimum", "at least"],
  ["maximum", "at most"],
  ["minLength", "characters at least"],
  ["maxLength", "characters at most"],
  ["minItems", "items at least"],
  ["maxItems", "items at most"],
];

/**
 * Return a schema as a list. Parts that are objects, lists or alternatives can be opened.
 *
 * @param {any} schema The schema; it may refer to others.
 * @param {Object<string, any>} schemas The schemas of the document by name.
 */
export function schemaView(schema, schemas) {
  const resolved = resolve(schema, schemas);
  return element(
    "div",
    { class: "schema" },
    element("p", {}, ...phrase(resolved, schemas)),
    ...children(resolved, schemas),
  );
}

/** Return the type of a schema in words. */
export function typeName(schema, schemas) {
  const resolved = resolve(schema, schemas);
  const types = [resolved.type ?? []].flat();
  if (types.includes("array")) {
    return `list of ${typeName(resolved.items ?? {}, schemas)}`;
  }
  if (types.length > 0) {
    return types.join(" or ");
  }
  return alternatives(resolved) ? "one of several" : "any value";
}

function resolve(schema, schemas) {
  const name = /^#\/components\/schemas\/(.*)$/.exec(schema?.$ref ?? "")?.[1];
  return name === undefined ? (schema ?? {}) : (schemas[name] ?? {});
}

function alternatives(schema) {
  return schema.anyOf ?? schema.oneOf;
}

/** Return the type, the constraints and the description. */
function phrase(schema, schemas) {
  const constraints = CONSTRAINTS.filter(([key]) => schema[key] !== undefined).map(
    ([key, text]) => `, ${text} ${exact(schema[key])}`,
  );
  return [
    element("em", {}, typeName(schema, schemas)),
    ...constraints,
    ...enumeration(schema),
    schema.description && ". ",
    schema.description && prose(schema.description),
  ].filter(Boolean);
}

function enumeration(schema) {
  const values = "const" in schema ? [schema.const] : (schema.enum ?? []);
  const listed = values.slice(0, LISTED_VALUES).flatMap((value) => [" ", code(visibleJson(value))]);
  const rest = values.length - LISTED_VALUES;
  return values.length ? [":", ...listed, ...(rest > 0 ? [` and ${rest} more`] : [])] : [];
}

function children(schema, schemas) {
  const items = [schema.type ?? []].flat().includes("array") ? nested("Items", schema.items ?? {}, schemas) : [];
  const choices = (alternatives(schema) ?? []).flatMap((choice, index) => nested(`Alternative ${index + 1}`, choice, schemas));
  return [...properties(schema, schemas), ...items, ...choices];
}

function properties(schema, schemas) {
  const entries = Object.entries(schema.properties ?? {});
  const required = schema.required ?? [];
  const rows = entries.map(([name, property]) => {
    const resolved = resolve(property, schemas);
    return element(
      "li",
      {},
      code(name),
      element("small", {}, required.includes(name) ? " required " : " "),
      ...phrase(resolved, schemas),
      ...(hasChildren(resolved, schemas) ? [details("Content", () => children(resolved, schemas))] : []),
    );
  });
  return rows.length ? [element("ul", { class: "plain" }, ...rows)] : [];
}

/** Return a part of a schema in the place of its title if it has no parts itself, else as details. */
function nested(title, schema, schemas) {
  const resolved = resolve(schema, schemas);
  if (!hasChildren(resolved, schemas)) {
    return title === "Items" ? [] : [element("p", {}, `${title}: `, ...phrase(resolved, schemas))];
  }
  return [details(element("span", {}, `${title}: `, ...phrase(resolved, schemas)), () => children(resolved, schemas))];
}

function hasChildren(schema, schemas) {
  const isArray = [schema.type ?? []].flat().includes("array");
  return Boolean(
    Object.keys(schema.properties ?? {}).length ||
      alternatives(schema) ||
      (isArray && hasChildren(resolve(schema.items, schemas), schemas)),
  );
}
