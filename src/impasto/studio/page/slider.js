// Before and after: one picture over another, as far as a range input says.

import { el } from "./dom.js";

export function beforeAfter({ before, after, words }) {
  const range = el("input", { type: "range", min: 0, max: 100, step: 0.5, value: 50, "aria-label": "How much of the photo shows" });
  const node = el(
    "div",
    { class: "canvas slide" },
    el("img", { src: after, alt: words.after, draggable: "false" }),
    el("img", { src: before, alt: words.before, class: "before", draggable: "false" }),
    range,
    el("span", { class: "handle", "aria-hidden": "true" }),
  );
  const show = () => node.style.setProperty("--at", `${range.value}%`);
  range.addEventListener("input", show);
  show();
  return node;
}
