// The mask editor: a brush over the photo that marks what is protected, and where each painting goes. Strokes are kept
// as lines, so that undo can draw them again.

import { ApiError, upload } from "./api.js";
import { button, el, openDialog } from "./dom.js";
import { loadImage, MaskLayers } from "./mask-layers.js";

const KEEP = "keep";
const ERASE = "erase";

const COLORS = ["#e2574c", "#3f7fe0", "#2fa36b", "#c79a1b", "#9a5fd0"];
const TINT = 0.55;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * Open the editor. Resolves with `{protect, contentMasks, strokes, base}`, with null if nothing is marked, and with
 * undefined if it is cancelled. `previous` is an earlier result.
 */
export async function editMask(photoUrl, styleNames, previous) {
  const editor = new MaskEditor(await loadImage(photoUrl), styleNames);
  await editor.load(previous);
  return new Promise((resolve) => editor.open(resolve));
}

class MaskEditor {
  constructor(photo, styleNames) {
    this.photo = photo;
    [this.width, this.height] = [photo.naturalWidth, photo.naturalHeight];
    this.firstStyle = styleNames[0];
    // The first painting covers what no other has, so regions are those of the second and later ones.
    this.regions = styleNames.slice(1).map((name, index) => ({ label: index + 2, text: `${index + 2}: ${name}` }));
    this.labels = [KEEP, ...this.regions.map(({ label }) => label)];
    this.colors = new Map(this.labels.map((label, index) => [label, COLORS[index % COLORS.length]]));
    this.layers = new MaskLayers(this.width, this.height, this.labels);
    this.label = KEEP;
    this.stroke = null;
    this.cursor = { at: [this.width / 2, this.height / 2], visible: false, down: false };
    this.problem = el("p", { class: "problem", role: "alert" });
    // A dialog hides the page's own announcements from screen readers.
    this.announcement = el("p", { class: "visually-hidden", role: "status" });
    this.brushSize = el("input", { type: "range", id: "brush-size", min: 2, max: 40, value: 12 });
    this.createCanvas();
  }

  /** Continue an earlier mask: its strokes, or the uploaded masks of a job or picture as the base below new strokes. */
  async load(previous) {
    this.hadSingleRegion = !this.regions.length && previous?.contentMasks.length === 1;
    this.strokes = (previous?.strokes ?? []).filter(({ label }) => label === ERASE || this.labels.includes(label));
    this.base = previous?.base ?? new Map();
    if (previous && !previous.base && !previous.strokes.length) await this.loadBase(previous);
  }

  async loadBase({ protect, contentMasks }) {
    // Everything outside of all regions is protected too.
    const parts = [protect && (await this.layers.loadMasks([protect])), contentMasks.length && (await this.layers.loadMasks(contentMasks, true))].filter(Boolean);
    if (parts.length) {
      const layer = this.layers.createLayer();
      for (const part of parts) layer.drawImage(part, 0, 0);
      this.base.set(KEEP, layer.canvas);
    }
    for (const { label } of this.regions) {
      const part = contentMasks[label - 1] && (await this.layers.loadMasks([contentMasks[label - 1]]));
      if (part) this.base.set(label, part);
    }
  }

  open(resolve) {
    let result;
    const done = button("Use the mask", async () => {
      done.disabled = true;
      try {
        result = await this.save();
        dialog.close();
      } catch (error) {
        this.problem.textContent = error.message;
        done.disabled = false;
      }
    }, { class: "main" });
    const help = this.regions.length
      ? `Paint over areas to keep, and over areas for each painting. Everything else is painted as 1: ${this.firstStyle}.`
      : "Paint over areas to keep unchanged.";
    const dialog = openDialog(
      "Mask",
      { class: "mask-editor" },
      el("p", { id: "brush-help" }, help),
      this.createTools(),
      el("div", { class: "mask-canvas" }, this.canvas),
      this.announcement,
      el("div", { class: "foot" }, this.problem, el("div", { class: "row end" }, button("Cancel", () => dialog.close()), done)),
    );
    dialog.addEventListener("keydown", (event) => {
      if (event.key !== "z" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      this.undo();
    });
    dialog.addEventListener("close", () => resolve(result));
    this.redraw();
  }

  createTools() {
    const kinds = [{ label: KEEP, text: "Keep unchanged" }, ...this.regions, { label: ERASE, text: "Erase" }];
    const choices = kinds.map(({ label, text }, index) => {
      const input = el("input", { type: "radio", name: "brush", id: `brush-${label}`, checked: index === 0, onchange: () => (this.label = label) });
      const dot = el("span", { class: "dot", hidden: !this.colors.has(label) });
      dot.style.setProperty("--dot", this.colors.get(label));
      return el("label", { class: "pick", for: input.id }, input, dot, text);
    });
    return el(
      "div",
      { class: "tools" },
      el("div", { class: "row", role: "radiogroup", "aria-label": "Brush" }, ...choices),
      el("span", { class: "row" }, el("label", { for: "brush-size" }, "Brush size"), this.brushSize),
      el("span", { class: "row" }, button("Undo", () => this.undo()), button("Clear", () => this.clear())),
    );
  }

  createCanvas() {
    const { width, height } = this;
    this.canvas = el("canvas", { width, height, tabindex: 0, role: "application", "aria-label": "The photo. Arrow keys move the brush, Space puts it down and lifts it.", "aria-describedby": "brush-help" });
    this.canvas.style.setProperty("--aspect", width / height);
    this.canvas.addEventListener("pointerdown", (event) => {
      if (event.button || !event.isPrimary) return; // a second finger does not draw
      this.canvas.setPointerCapture(event.pointerId);
      this.cursor.at = this.position(event);
      this.beginStroke(this.cursor.at);
    });
    this.canvas.addEventListener("pointermove", (event) => this.onPointerMove(event));
    for (const kind of ["pointerup", "pointercancel"]) this.canvas.addEventListener(kind, ({ isPrimary }) => isPrimary && (this.stroke = null));
    this.canvas.addEventListener("pointerleave", () => {
      this.cursor.visible = false;
      this.show();
    });
    this.canvas.addEventListener("keydown", (event) => this.onKeyDown(event));
  }

  onPointerMove(event) {
    if (!event.isPrimary) return;
    this.cursor.at = this.position(event);
    this.cursor.visible = true;
    if (this.stroke && !this.cursor.down) {
      for (const part of event.getCoalescedEvents?.() ?? [event]) this.extendStroke(this.position(part));
    }
    this.show();
  }

  onKeyDown(event) {
    const direction = ARROWS[event.key];
    if (!direction && event.key !== " ") return;
    event.preventDefault();
    const { cursor } = this;
    cursor.visible = true;
    if (direction) {
      const step = this.brushWidth() / 3;
      const clamp = (value, max) => Math.min(Math.max(value, 0), max);
      cursor.at = [clamp(cursor.at[0] + direction[0] * step, this.width), clamp(cursor.at[1] + direction[1] * step, this.height)];
      if (cursor.down) this.extendStroke(cursor.at);
    } else {
      cursor.down = !cursor.down;
      if (cursor.down) this.beginStroke(cursor.at);
      else this.stroke = null;
      this.announcement.textContent = cursor.down ? "The brush is down" : "The brush is up";
    }
    this.show();
  }

  position(event) {
    const box = this.canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * this.width, ((event.clientY - box.top) / box.height) * this.height];
  }

  brushWidth() {
    return (Number(this.brushSize.value) / 100) * Math.max(this.width, this.height);
  }

  beginStroke(point) {
    this.problem.textContent = "";
    this.stroke = { label: this.label, width: this.brushWidth(), points: [point] };
    this.strokes.push(this.stroke);
    this.layers.drawStroke(this.stroke, [point]);
    this.show();
  }

  extendStroke(point) {
    this.layers.drawStroke(this.stroke, [this.stroke.points.at(-1), point]);
    this.stroke.points.push(point);
  }

  undo() {
    this.strokes.pop();
    this.redraw();
  }

  clear() {
    this.strokes = [];
    this.base = new Map();
    this.redraw();
  }

  redraw() {
    this.layers.reset(this.base);
    for (const stroke of this.strokes) this.layers.drawStroke(stroke, stroke.points);
    this.show();
  }

  /** Show the photo, the tinted layers, and the outline of the brush. */
  show() {
    const context = this.canvas.getContext("2d");
    context.drawImage(this.photo, 0, 0, this.width, this.height);
    context.globalAlpha = TINT;
    for (const label of this.labels) context.drawImage(this.layers.tinted(label, this.colors.get(label)), 0, 0);
    context.globalAlpha = 1;
    if (!this.cursor.visible) return;
    for (const [color, lineWidth] of [["#000", 4], ["#fff", 2]]) {
      context.beginPath();
      context.arc(...this.cursor.at, this.brushWidth() / 2, 0, 7);
      context.strokeStyle = color;
      context.lineWidth = (lineWidth * this.width) / (this.canvas.clientWidth || this.width) / 1.5;
      context.stroke();
    }
  }

  /** Upload the mask. Throws `ApiError` if it leaves nothing to paint, or nothing for one of the paintings. */
  async save() {
    const { layers, regions } = this;
    if (layers.coverEverything()) {
      throw new ApiError(`Nothing is left to paint${regions.length ? ` as 1: ${this.firstStyle}` : ""}. Erase a part of the mask.`);
    }
    const used = new Set([...this.strokes.map(({ label }) => label), ...this.base.keys()]);
    const send = async (labels, name, inverted) => upload(await layers.toPng(labels, inverted), name);
    // A mask of a single region stays one: it covers everything that is not kept.
    const protect = used.has(KEEP) && !this.hadSingleRegion ? await send([KEEP], "keep.png") : null;
    const contentMasks = this.hadSingleRegion && used.has(KEEP) ? [await send([KEEP], "region-1.png", true)] : [];
    if (regions.some(({ label }) => used.has(label))) {
      const empty = regions.find(({ label }) => layers.isEmpty(label));
      if (empty) throw new ApiError(`No area is marked for ${empty.text}. Paint over one, or remove that painting.`);
      contentMasks.push(await send(regions.map(({ label }) => label), "region-1.png", true));
      for (const { label } of regions) contentMasks.push(await send([label], `region-${label}.png`));
    }
    return protect || contentMasks.length ? { protect, contentMasks, strokes: this.strokes, base: this.base } : null;
  }
}
