// Before and after: one picture over another, as far as a range input says. A finger or a mouse may touch it anywhere:
// of a range alone, some phones move only the thumb.

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
  const show = () => {
    node.style.setProperty("--at", `${range.value}%`);
    range.setAttribute("aria-valuetext", `${Math.round(range.value)} %`);
  };
  const follow = (event) => {
    const box = node.getBoundingClientRect();
    range.value = (100 * (event.clientX - box.left)) / box.width;
    show();
  };
  node.addEventListener("pointerdown", (event) => {
    if (event.button || !event.isPrimary) return;
    event.preventDefault();
    node.setPointerCapture(event.pointerId);
    range.focus({ preventScroll: true, focusVisible: false });
    follow(event);
  });
  node.addEventListener("pointermove", (event) => node.hasPointerCapture(event.pointerId) && follow(event));
  range.addEventListener("input", show);
  show();
  return node;
}
