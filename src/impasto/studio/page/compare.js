// Two results side by side, with the same zoom and position.

import { button, el } from "./dom.js";

const MAX_ZOOM = 12;
const ZOOM_STEP = 1.4;
const ZOOM_KEYS = { "+": ZOOM_STEP, "=": ZOOM_STEP, "-": 1 / ZOOM_STEP };
const MOVE_KEYS = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const MOVE_STEP = 0.1;

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** Build the comparison. `pictures` are `{src, alt, caption, width, height}`. */
export function sideBySide(pictures) {
  const images = pictures.map(({ src, alt }) => el("img", { src, alt, draggable: "false" }));
  const figures = pictures.map(({ caption, width, height }, index) => {
    const pane = el("div", { class: "canvas pane" }, images[index]);
    pane.style.setProperty("--aspect", width / height);
    return el("figure", {}, pane, el("figcaption", {}, caption));
  });
  const panes = el("div", { class: "panes", tabindex: 0, role: "group", "aria-label": "Two pictures. Plus and minus zoom, arrow keys move, 0 fits." }, ...figures);
  const view = new SharedView(images, panes);
  panes.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey) return;
    if (ZOOM_KEYS[event.key]) view.zoom(ZOOM_KEYS[event.key]);
    else if (MOVE_KEYS[event.key]) view.move(...MOVE_KEYS[event.key].map((direction) => direction * MOVE_STEP));
    else if (event.key === "0") view.reset();
    else return;
    event.preventDefault();
  });
  for (const image of images) addGestures(image.parentNode, view);
  const tools = el(
    "div",
    { class: "row middle" },
    button("Zoom in", () => view.zoom(ZOOM_STEP)),
    button("Zoom out", () => view.zoom(1 / ZOOM_STEP)),
    button("Fit", () => view.reset()),
  );
  return el("div", { class: "comparison" }, panes, tools);
}

class SharedView {
  constructor(images, panes) {
    Object.assign(this, { images, panes, scale: 1, x: 0, y: 0 });
  }

  update() {
    this.scale = clamp(this.scale, 1, MAX_ZOOM);
    const limit = (1 - 1 / this.scale) / 2;
    this.x = clamp(this.x, -limit, limit);
    this.y = clamp(this.y, -limit, limit);
    this.panes.classList.toggle("zoomed", this.scale > 1);
    for (const image of this.images) {
      image.style.setProperty("transform", `scale(${this.scale}) translate(${100 * this.x}%, ${100 * this.y}%)`);
    }
  }

  /** Zoom around a point, given from the center in widths and heights. */
  zoom(factor, [x, y] = [0, 0]) {
    const before = this.scale;
    this.scale = clamp(before * factor, 1, MAX_ZOOM);
    this.x += x / this.scale - x / before;
    this.y += y / this.scale - y / before;
    this.update();
  }

  move(x, y) {
    this.x += x / this.scale;
    this.y += y / this.scale;
    this.update();
  }

  reset() {
    Object.assign(this, { scale: 1, x: 0, y: 0 });
    this.update();
  }
}

/** Zoom with wheel or two fingers, move with one pointer. */
function addGestures(pane, view) {
  const pointers = new Map();
  /** Convert a distance in pixels to shares of the pane. */
  const toShares = (x, y) => {
    const box = pane.getBoundingClientRect();
    return [x / box.width, y / box.height];
  };
  const fromCenter = (x, y) => {
    const box = pane.getBoundingClientRect();
    return toShares(x - box.left - box.width / 2, y - box.top - box.height / 2);
  };
  pane.addEventListener("wheel", (event) => {
    event.preventDefault();
    view.zoom(Math.exp(-event.deltaY / 300), fromCenter(event.clientX, event.clientY));
  }, { passive: false });
  pane.addEventListener("pointerdown", (event) => {
    pane.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
  });
  pane.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const now = [event.clientX, event.clientY];
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    pointers.set(event.pointerId, now);
    if (!other) {
      view.move(...toShares(now[0] - before[0], now[1] - before[1]));
      return;
    }
    const distance = ([x, y]) => Math.max(Math.hypot(x - other[0], y - other[1]), 1);
    view.zoom(distance(now) / distance(before), fromCenter((now[0] + other[0]) / 2, (now[1] + other[1]) / 2));
  });
  for (const kind of ["pointerup", "pointercancel"]) pane.addEventListener(kind, (event) => pointers.delete(event.pointerId));
}
