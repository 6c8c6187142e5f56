// The control of α: a logarithmic slider with labels, and a number field.

import { el, formatNumber } from "./dom.js";

const [BELOW, ABOVE] = [25, 40];
const STEPS = 300;

/** Build the control. `onInput` receives every value, `onChange` the one where the slider is released. */
export function alphaControl({ id, label, usual, onInput = () => {}, onChange = () => {} }) {
  let middle = usual;
  const labelsId = `${id}-labels`;
  const range = el("input", { type: "range", id, min: 0, max: STEPS, step: 1, "aria-describedby": labelsId });
  const number = el("input", {
    type: "number",
    id: `${id}-number`,
    class: "number",
    min: 0,
    step: "any",
    required: true,
    "aria-label": `${label}, as a number`,
  });
  const toPosition = (value) => Math.round((STEPS * Math.log((BELOW * value) / middle)) / Math.log(BELOW * ABOVE));
  const toValue = (position) => Number(formatNumber((middle / BELOW) * (BELOW * ABOVE) ** (position / STEPS), 2));
  const show = (value) => {
    range.value = value > 0 ? toPosition(value) : 0;
    range.setAttribute("aria-valuetext", formatNumber(value));
  };
  range.addEventListener("input", () => {
    number.value = toValue(range.value);
    range.setAttribute("aria-valuetext", number.value);
    onInput(Number(number.value));
  });
  number.addEventListener("input", () => {
    if (!number.checkValidity()) return;
    show(Number(number.value));
    onInput(Number(number.value));
  });
  for (const input of [range, number]) {
    input.addEventListener("change", () => number.checkValidity() && onChange(Number(number.value)));
  }
  const node = el(
    "div",
    { class: "alpha" },
    el("div", { class: "row" }, el("label", { for: id }, label), number),
    range,
    el("p", { class: "scale", id: labelsId }, ...["photo", "painting", "abstract"].map((text) => el("span", {}, text))),
  );
  return {
    node,
    get value() {
      return Number(number.value);
    },
    /** Set the value; `around` becomes the middle of the slider. */
    set(value, around = middle) {
      middle = around > 0 ? around : usual;
      number.value = formatNumber(value, 6);
      show(value);
    },
  };
}

/** The middle of the slider. In absolute units, typical values of α depend on the picture. */
export const middleOf = (config, usual) => (config.units === "absolute" ? config.alpha : usual);
