// The slider of α: logarithmic, with words, and its number beside it.

import { el, short } from "./dom.js";

const USUAL = 5;
const [BELOW, ABOVE] = [25, 40];
const STEPS = 300;

/** `changed` is told of each value; `settled` of the one that was let go of. */
export function alphaControl({ id, label, changed = () => {}, settled = () => {} }) {
  let middle = USUAL;
  const words = `${id}-words`;
  const range = el("input", { type: "range", id, min: 0, max: STEPS, step: 1, "aria-describedby": words });
  const number = el("input", {
    type: "number",
    id: `${id}-number`,
    class: "number",
    min: 0,
    step: "any",
    required: true,
    "aria-label": `${label}, as a number`,
  });
  const place = (value) => Math.round((STEPS * Math.log((BELOW * value) / middle)) / Math.log(BELOW * ABOVE));
  const valueAt = (at) => Number(short((middle / BELOW) * (BELOW * ABOVE) ** (at / STEPS), 2));
  const show = (value) => {
    range.value = value > 0 ? place(value) : 0;
    range.setAttribute("aria-valuetext", short(value));
  };
  range.addEventListener("input", () => {
    number.value = valueAt(range.value);
    range.setAttribute("aria-valuetext", number.value);
    changed(Number(number.value));
  });
  number.addEventListener("input", () => {
    if (!number.checkValidity()) return;
    show(Number(number.value));
    changed(Number(number.value));
  });
  for (const input of [range, number]) {
    input.addEventListener("change", () => number.checkValidity() && settled(Number(number.value)));
  }
  const node = el(
    "div",
    { class: "alpha" },
    el("div", { class: "row" }, el("label", { for: id }, label), number),
    range,
    el("p", { class: "scale", id: words }, ...["photo", "painting", "abstract"].map((word) => el("span", {}, word))),
  );
  return {
    node,
    get value() {
      return Number(number.value);
    },
    /** Another value; `around` is what lies in the middle of the slider. */
    set(value, around = middle) {
      middle = around > 0 ? around : USUAL;
      number.value = short(value, 6);
      show(value);
    },
  };
}

/** What lies in the middle of the slider: α of relative units means the same everywhere, that of absolute ones does not. */
export const middleOf = (config) => (config.units === "absolute" ? config.alpha : USUAL);
