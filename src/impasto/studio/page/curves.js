// Losses over steps on a logarithmic axis, drawn as they come.

import { drawn, el, short } from "./dom.js";

const [LEFT, RIGHT, TOP, BOTTOM] = [40, 8, 8, 24];
const CURVES = ["total", "content", "style"];
const MOST_POINTS = 500;

export class Curves {
  constructor() {
    this.rows = [];
    this.scales = [];
    this.coming = false;
    this.values = CURVES.map(() => el("b"));
    this.svg = drawn("svg", { role: "img", class: "chart" });
    const keys = CURVES.map((name, at) => el("li", { class: `key-${name}` }, `${name} `, this.values[at]));
    this.node = el("figure", { class: "curves", hidden: true }, el("figcaption", {}, "Losses"), el("ul", { class: "keys" }, ...keys), this.svg);
    this.width = this.height = 0;
    new ResizeObserver(() => this.draw()).observe(this.svg);
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => {
      this.at = null;
      this.draw();
    });
  }

  /** More rows; those of steps that are painted again take the place of the ones before. */
  add(rows, anew) {
    const kept = anew ? [] : this.rows.filter((row) => row.step < rows[0].step);
    this.rows = kept.concat(rows);
    this.draw();
  }

  /** How many steps there will be, and at which sizes. While any are coming, there is room for them. */
  expect(scales, coming) {
    if (String(scales) === String(this.scales) && coming === this.coming) return;
    Object.assign(this, { scales, coming });
    this.draw();
  }

  draw() {
    this.drawing ??= requestAnimationFrame(() => {
      this.drawing = null;
      this.drawNow();
    });
  }

  x(step) {
    return LEFT + ((this.width - LEFT - RIGHT) * (step - 1)) / Math.max(this.last - 1, 1);
  }

  y(value) {
    return TOP + ((this.height - TOP - BOTTOM) * (this.high - Math.log10(value))) / (this.high - this.low);
  }

  drawNow() {
    const { rows, svg } = this;
    const values = rows.flatMap((row) => CURVES.map((name) => row[name])).filter((value) => value > 0);
    this.node.hidden = !values.length && !this.coming;
    if (!values.length) return;
    [this.width, this.height] = [svg.clientWidth, svg.clientHeight];
    const total = this.scales.reduce((sum, [, , steps]) => sum + steps, 0);
    this.last = Math.max(total, rows.at(-1).step);
    this.low = Math.log10(values.reduce((a, b) => Math.min(a, b)));
    this.high = Math.log10(values.reduce((a, b) => Math.max(a, b)));
    const room = Math.max((this.high - this.low) * 0.05, 0.02);
    this.low -= room;
    this.high += room;
    svg.replaceChildren(...this.grid(), ...this.marks(), ...CURVES.map((name) => this.curve(name)));
    const row = this.at ?? rows.at(-1);
    if (this.at) svg.append(drawn("line", { class: "cursor", x1: this.x(row.step), x2: this.x(row.step), y1: TOP, y2: this.height - BOTTOM }));
    CURVES.forEach((name, at) => (this.values[at].textContent = short(row[name])));
    svg.setAttribute("aria-label", `Losses up to step ${rows.at(-1).step}: ${CURVES.map((name) => `${name} ${short(rows.at(-1)[name])}`).join(", ")}`);
  }

  grid() {
    const room = (this.height - TOP - BOTTOM) / (this.high - this.low);
    const factors = room < 45 ? [1] : [1, 2, 5];
    const ticks = [];
    for (let power = Math.floor(this.low); power <= Math.ceil(this.high); power++) {
      ticks.push(...factors.map((factor) => Number(`${factor}e${power}`)));
    }
    return ticks
      .filter((tick) => Math.log10(tick) >= this.low && Math.log10(tick) <= this.high)
      .flatMap((tick) => [
        drawn("line", { class: "grid", x1: LEFT, x2: this.width - RIGHT, y1: this.y(tick), y2: this.y(tick) }),
        drawn("text", { class: "tick", x: LEFT - 6, y: this.y(tick) + 4, "text-anchor": "end" }, short(tick)),
      ]);
  }

  /** Where the picture grows, and to which size. */
  marks() {
    let [step, free] = [1, 0];
    return this.scales.flatMap(([height, width, steps], at) => {
      const x = this.x(step);
      step += steps;
      const line = at > 0 && drawn("line", { class: "mark", x1: x, x2: x, y1: TOP, y2: this.height - BOTTOM });
      const word = x >= free && `${Math.max(height, width)}${at === this.scales.length - 1 ? " px" : ""}`;
      if (word) free = x + 8 * word.length;
      return [line, word && drawn("text", { class: "tick", x: x + (at ? 4 : 0), y: this.height - 8 }, word)].filter(Boolean);
    });
  }

  curve(name) {
    const every = Math.ceil(this.rows.length / MOST_POINTS);
    const points = this.rows
      .filter((row, at) => row[name] > 0 && (at % every === 0 || at === this.rows.length - 1))
      .map((row) => `${this.x(row.step).toFixed(1)},${this.y(row[name]).toFixed(1)}`);
    return drawn("polyline", { class: `curve curve-${name}`, points: points.join(" ") });
  }

  point(event) {
    if (!this.rows.length) return;
    const box = this.svg.getBoundingClientRect();
    const step = 1 + ((event.clientX - box.left - LEFT) / (this.width - LEFT - RIGHT)) * (this.last - 1);
    this.at = this.rows.findLast((row) => row.step <= step) ?? this.rows[0];
    this.draw();
  }
}
