/** DOM elements. Text is inserted as text, never as HTML. */

let count = 0;

/** Return an id that no other element has. */
export function uniqueId() {
  count += 1;
  return `id-${count}`;
}

/**
 * Create an element.
 *
 * @param {string} name The name of the tag.
 * @param {Object<string, unknown>} attributes The attributes. Functions listen to the event of their name; null,
 *   undefined and false are left out.
 * @param {...(Node|string|null|undefined)} children Elements and texts; null and undefined are left out.
 */
export function element(name, attributes = {}, ...children) {
  const created = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") {
      created.addEventListener(key, value);
    } else if (value !== null && value !== undefined && value !== false) {
      created.setAttribute(key, value === true ? "" : String(value));
    }
  }
  created.append(...children.filter((child) => child !== null && child !== undefined));
  return created;
}

/** Return a name or value of the model. Its direction of writing has no effect on the text around it. */
export function isolated(text) {
  return element("bdi", {}, String(text));
}

/** Return a name or value of the model in a fixed-width font. */
export function code(text) {
  return element("code", {}, isolated(text));
}

/** Return a text of the service, in which backticks mark code. */
export function prose(text) {
  const parts = text.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
  return element("bdi", {}, ...parts);
}

/** Return a section with a heading. */
export function section(title, ...children) {
  const id = uniqueId();
  return element("section", { "aria-labelledby": id }, element("h2", { id }, title), ...children);
}

/** Return a table that scrolls within its own box. */
export function table(caption, headings, rows) {
  return element(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    element(
      "table",
      {},
      element("caption", { class: "hidden" }, caption),
      element("thead", {}, element("tr", {}, ...headings.map((text) => element("th", { scope: "col" }, text)))),
      element(
        "tbody",
        {},
        ...rows.map(([first, ...others]) =>
          element(
            "tr",
            {},
            element("th", { scope: "row" }, first),
            ...others.map((content) => element("td", {}, content)),
          ),
        ),
      ),
    ),
  );
}

/**
 * Return details that are created when they are opened for the first time.
 *
 * @param {Node|string} summary The text that opens them.
 * @param {() => (Node|string|null)[]} create Returns the content.
 * @param {boolean} open Whether they are open at first.
 */
export function details(summary, create, open = false) {
  const created = element("details", {}, element("summary", {}, summary));
  const fill = () => {
    created.removeEventListener("toggle", fill);
    created.append(...create().filter((child) => child !== null && child !== undefined));
  };
  if (open) {
    fill();
    created.open = true;
  } else {
    created.addEventListener("toggle", fill);
  }
  return created;
}
