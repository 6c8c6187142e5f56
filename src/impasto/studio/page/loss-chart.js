// A chart of losses over steps on a logarithmic axis, drawn while they arrive.

import { el, formatNumber, svgEl } from "./dom.js";

const [LEFT, RIGHT, TOP, BOTTOM] = [40, 8, 8, 24];
const LOSSES = ["total", "content", "style"];
const MAX_POINTS = 500;
const MIN_DECADE_PX = 45; // below this height of a power of ten, only powers of ten are labeled
const LETTER_PX = 8;

export class LossChart {
  constructor() {
    this.rows = [];
    this.scales = [];
    this.isActive = false;
    this.selectedRow = null;
    this.values = LOSSES.map(() => el("b"));
    this.svg = svgEl("svg", { role: "img", class: "chart" });
    const keys = LOSSES.map((name, index) => el("li", { class: `key-${name}` }, `${name} `, this.values[index]));
    this.node = el("figure", { class: "losses", hidden: true }, el("figcaption", {}, "Losses"), el("ul", { class: "keys" }, ...keys), this.svg);
    this.width = this.height = 0;
    new ResizeObserver(() => this.scheduleDraw()).observe(this.svg);
    this.svg.addEventListener("pointermove", (event) => this.selectRow(event));
    this.svg.addEventListener("pointerleave", () => {
      this.selectedRow = null;
      this.scheduleDraw();
    });
  }

  /** Add rows. Steps that are repeated after a restart replace the earlier ones; with `reset` all are replaced. */
  add(rows, reset) {
    const earlier = reset ? [] : this.rows.filter((row) => row.step < rows[0].step);
    this.rows = earlier.concat(rows);
    this.scheduleDraw();
  }

  /** Set the sizes of the run, and whether it is active, which reserves space before the first step. */
  setScales(scales, isActive) {
    if (String(scales) === String(this.scales) && isActive === this.isActive) return;
    Object.assign(this, { scales, isActive });
    this.scheduleDraw();
  }

  scheduleDraw() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.draw();
    });
  }

  x(step) {
    return LEFT + ((this.width - LEFT - RIGHT) * (step - 1)) / Math.max(this.lastStep - 1, 1);
  }

  y(value) {
    return TOP + ((this.height - TOP - BOTTOM) * (this.high - Math.log10(value))) / (this.high - this.low);
  }

  draw() {
    const { rows, svg } = this;
    const values = rows.flatMap((row) => LOSSES.map((name) => row[name])).filter((value) => value > 0);
    this.node.hidden = !values.length && !this.isActive;
    if (!values.length) return;
    [this.width, this.height] = [svg.clientWidth, svg.clientHeight];
    this.setRanges(values);
    svg.replaceChildren(...this.drawGrid(), ...this.drawSizeMarks(), ...LOSSES.map((name) => this.drawCurve(name)));
    const last = rows.at(-1);
    const row = this.selectedRow ?? last;
    if (this.selectedRow) svg.append(svgEl("line", { class: "cursor", x1: this.x(row.step), x2: this.x(row.step), y1: TOP, y2: this.height - BOTTOM }));
    LOSSES.forEach((name, index) => (this.values[index].textContent = formatNumber(row[name])));
    svg.setAttribute("aria-label", `Losses up to step ${last.step}: ${LOSSES.map((name) => `${name} ${formatNumber(last[name])}`).join(", ")}`);
  }

  setRanges(values) {
    const plannedSteps = this.scales.reduce((sum, [, , steps]) => sum + steps, 0);
    this.lastStep = Math.max(plannedSteps, this.rows.at(-1).step);
    const low = Math.log10(values.reduce((a, b) => Math.min(a, b)));
    const high = Math.log10(values.reduce((a, b) => Math.max(a, b)));
    const margin = Math.max((high - low) * 0.05, 0.02);
    Object.assign(this, { low: low - margin, high: high + margin });
  }

  drawGrid() {
    const decadeHeight = (this.height - TOP - BOTTOM) / (this.high - this.low);
    const factors = decadeHeight < MIN_DECADE_PX ? [1] : [1, 2, 5];
    const ticks = [];
    for (let power = Math.floor(this.low); power <= Math.ceil(this.high); power++) {
      ticks.push(...factors.map((factor) => Number(`${factor}e${power}`)));
    }
    return ticks
      .filter((tick) => Math.log10(tick) >= this.low && Math.log10(tick) <= this.high)
      .flatMap((tick) => [
        svgEl("line", { class: "grid", x1: LEFT, x2: this.width - RIGHT, y1: this.y(tick), y2: this.y(tick) }),
        svgEl("text", { class: "tick", x: LEFT - 6, y: this.y(tick) + 4, "text-anchor": "end" }, formatNumber(tick)),
      ]);
  }

  /** Mark the first step of each size. */
  drawSizeMarks() {
    let [step, freeX] = [1, 0];
    return this.scales.flatMap(([height, width, steps], index) => {
      const x = this.x(step);
      step += steps;
      const line = index > 0 && svgEl("line", { class: "mark", x1: x, x2: x, y1: TOP, y2: this.height - BOTTOM });
      const label = x >= freeX && `${Math.max(height, width)}${index === this.scales.length - 1 ? " px" : ""}`;
      if (label) freeX = x + LETTER_PX * label.length;
      return [line, label && svgEl("text", { class: "tick", x: x + (index ? 4 : 0), y: this.height - 8 }, label)].filter(Boolean);
    });
  }

  drawCurve(name) {
    const interval = Math.ceil(this.rows.length / MAX_POINTS);
    const points = this.rows
      .filter((row, index) => row[name] > 0 && (index % interval === 0 || index === this.rows.length - 1))
      .map((row) => `${this.x(row.step).toFixed(1)},${this.y(row[name]).toFixed(1)}`);
    return svgEl("polyline", { class: `curve curve-${name}`, points: points.join(" ") });
  }

  /** Select the row under the pointer. */
  selectRow(event) {
    if (!this.rows.length) return;
    const box = this.svg.getBoundingClientRect();
    const step = 1 + ((event.clientX - box.left - LEFT) / (this.width - LEFT - RIGHT)) * (this.lastStep - 1);
    this.selectedRow = this.rows.findLast((row) => row.step <= step) ?? this.rows[0];
    this.scheduleDraw();
  }
}
