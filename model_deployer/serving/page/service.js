/** The service that sent this page. */

/** The address of the service, with a slash at the end. */
export const ADDRESS = document.baseURI;

/**
 * An answer of the service.
 *
 * @typedef {object} Answer
 * @property {number} status The HTTP status; 0 if there was no answer.
 * @property {any} content The JSON of the body; null if the body is not JSON.
 * @property {string} requestId The id of the request in the log of the service.
 */

/** Sends requests. The API key is only in the memory of this page. */
export class Service {
  #key = "";

  /** Use this API key from now on. */
  useKey(key) {
    this.#key = key;
  }

  /** Whether the page has an API key. */
  get hasKey() {
    return this.#key !== "";
  }

  /**
   * Return the answer to GET.
   *
   * @param {string} path A path relative to the address of the service.
   * @returns {Promise<Answer>}
   */
  get(path) {
    return this.#send(path, {});
  }

  /**
   * Return the answer to one row, with warnings about its values.
   *
   * @param {string} body The request, as JSON.
   * @returns {Promise<Answer>}
   */
  predict(body) {
    return this.#send("predict?warnings=true", { method: "POST", body, headers: { "Content-Type": "application/json" } });
  }

  async #send(path, options) {
    const headers = { Accept: "application/json", ...options.headers };
    if (this.hasKey) {
      headers["X-API-Key"] = this.#key;
    }
    try {
      const response = await fetch(ADDRESS + path, {
        ...options,
        headers,
        credentials: "same-origin",
        referrerPolicy: "no-referrer",
      });
      const text = await response.text();
      return { status: response.status, content: parse(text), requestId: response.headers.get("X-Request-ID") ?? "" };
    } catch {
      return { status: 0, content: null, requestId: "" };
    }
  }
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
