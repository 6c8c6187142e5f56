// A before/after slider: one picture over another, cut off at a range input. The whole picture reacts to pointers,
// because some phones move only the thumb of a range.

import { el } from "./dom.js";

export function beforeAfter({ before, after, labels }) {
  const range = el("input", { type: "range", min: 0, max: 100, step: 0.5, value: 50, "aria-label": "Share of the photo shown" });
  const node = el(
    "div",
    { class: "canvas before-after" },
    el("img", { src: after, alt: labels.after, draggable: "false" }),
    el("img", { src: before, alt: labels.before, class: "before", draggable: "false" }),
    range,
    el("span", { class: "handle", "aria-hidden": "true" }),
  );
  const update = () => {
    node.style.setProperty("--at", `${range.value}%`);
    range.setAttribute("aria-valuetext", `${Math.round(range.value)} %`);
  };
  const moveTo = (event) => {
    const box = node.getBoundingClientRect();
    range.value = (100 * (event.clientX - box.left)) / box.width;
    update();
  };
  node.addEventListener("pointerdown", (event) => {
    if (event.button || !event.isPrimary) return;
    event.preventDefault();
    node.setPointerCapture(event.pointerId);
    range.focus({ preventScroll: true, focusVisible: false });
    moveTo(event);
  });
  node.addEventListener("pointermove", (event) => node.hasPointerCapture(event.pointerId) && moveTo(event));
  range.addEventListener("input", update);
  update();
  return node;
}
