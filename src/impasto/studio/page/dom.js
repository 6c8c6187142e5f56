// Helpers to build elements. Text is always set as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child != null && child !== false));
  return node;
}

/** Create an HTML element. Attributes that start with `on` are event listeners. */
export const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);

/** Create an SVG element. */
export const svgEl = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

export const button = (text, onclick, attributes = {}, ...children) => el("button", { type: "button", onclick, ...attributes }, text, ...children);

export const byId = (id) => document.getElementById(id);

/** Announce a text to screen readers, without interrupting. */
export function announce(text) {
  const region = byId("announcements");
  region.textContent = region.textContent === text ? `${text}\u00a0` : text; // an identical text would not be read again
}

/** Open a modal dialog. It is removed from the page once it is closed. */
export function openDialog(title, attributes, ...children) {
  const heading = el("h2", { id: "dialog-title" }, title);
  const dialog = el("dialog", { "aria-labelledby": "dialog-title", ...attributes }, heading, ...children);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Format a number with at most `digits` significant digits. */
export const formatNumber = (value, digits = 3) => String(Number(Number(value).toPrecision(digits)));
