export const byId = (id) => document.getElementById(id);

/** Returns a new element; text in it is never read as HTML. */
export function make(tag, attributes = {}, ...content) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) element.setAttribute(name, value);
  }
  element.append(...content);
  return element;
}

export function makeShape(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

export const plural = (count, word) => `${count} ${word}${count === 1 ? "" : word.endsWith("s") ? "es" : "s"}`;

/** Returns a name in parts between which a line may break. */
export const breakable = (name) => name.split(/(?<=[_./-])/).flatMap((part) => [part, make("wbr")]);
