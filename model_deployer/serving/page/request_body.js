/** The JSON of a request. */

/** Characters that are invisible, or that change the direction of the text around them. */
const INVISIBLE = /[\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

/**
 * Return JSON in which every character is visible.
 *
 * @param {any} value A JSON value.
 * @param {number} indent The spaces per level; 0 for one line.
 */
export function visibleJson(value, indent = 0) {
  return JSON.stringify(value, null, indent).replace(
    INVISIBLE,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Return the body of a request with one row. */
export function requestBody(row, indent = 0) {
  return visibleJson({ rows: [row] }, indent);
}
