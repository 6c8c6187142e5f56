// Two results side by side; zoom and place are those of both.

import { button, el } from "./dom.js";

const MOST = 12;
const KEYS = { "+": 1.4, "=": 1.4, "-": 1 / 1.4 };
const WAYS = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

/** `pictures` are {src, alt, words, width, height}. */
export function sideBySide(pictures) {
  const view = { scale: 1, x: 0, y: 0 };
  const images = pictures.map(({ src, alt }) => el("img", { src, alt, draggable: "false" }));
  const panes = pictures.map(({ words, width, height }, at) => {
    const pane = el("div", { class: "canvas pane" }, images[at]);
    pane.style.setProperty("--aspect", width / height);
    return el("figure", {}, pane, el("figcaption", {}, words));
  });
  const both = el("div", { class: "panes", tabindex: 0, role: "group", "aria-label": "Two pictures. Plus and minus zoom, arrow keys move, 0 fits." }, ...panes);

  function show() {
    view.scale = Math.min(Math.max(view.scale, 1), MOST);
    const most = (1 - 1 / view.scale) / 2;
    for (const way of ["x", "y"]) view[way] = Math.min(Math.max(view[way], -most), most);
    both.classList.toggle("closer", view.scale > 1);
    for (const image of images) {
      image.style.setProperty("transform", `scale(${view.scale}) translate(${100 * view.x}%, ${100 * view.y}%)`);
    }
  }
  /** Zoom around a place, which is told from the middle, in widths and heights. */
  function zoom(factor, [x, y] = [0, 0]) {
    const before = view.scale;
    view.scale = Math.min(Math.max(before * factor, 1), MOST);
    view.x += x / view.scale - x / before;
    view.y += y / view.scale - y / before;
    show();
  }
  function move(x, y) {
    view.x += x / view.scale;
    view.y += y / view.scale;
    show();
  }
  const fit = () => {
    Object.assign(view, { scale: 1, x: 0, y: 0 });
    show();
  };
  both.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey) return;
    if (KEYS[event.key]) zoom(KEYS[event.key]);
    else if (WAYS[event.key]) move(...WAYS[event.key].map((way) => way * 0.1));
    else if (event.key === "0") fit();
    else return;
    event.preventDefault();
  });
  for (const image of images) {
    const pane = image.parentNode;
    const shares = (x, y) => {
      const box = pane.getBoundingClientRect();
      return [x / box.width, y / box.height];
    };
    const fromMiddle = (x, y) => {
      const box = pane.getBoundingClientRect();
      return shares(x - box.left - box.width / 2, y - box.top - box.height / 2);
    };
    pane.addEventListener("wheel", (event) => {
      event.preventDefault();
      zoom(Math.exp(-event.deltaY / 300), fromMiddle(event.clientX, event.clientY));
    }, { passive: false });
    const fingers = new Map();
    pane.addEventListener("pointerdown", (event) => {
      pane.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, [event.clientX, event.clientY]);
    });
    pane.addEventListener("pointermove", (event) => {
      const before = fingers.get(event.pointerId);
      if (!before) return;
      const now = [event.clientX, event.clientY];
      const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
      fingers.set(event.pointerId, now);
      if (!other) {
        move(...shares(now[0] - before[0], now[1] - before[1]));
        return;
      }
      const apart = ([x, y]) => Math.max(Math.hypot(x - other[0], y - other[1]), 1);
      zoom(apart(now) / apart(before), fromMiddle((now[0] + other[0]) / 2, (now[1] + other[1]) / 2));
    });
    for (const kind of ["pointerup", "pointercancel"]) pane.addEventListener(kind, (event) => fingers.delete(event.pointerId));
  }
  const tools = el("div", { class: "row middle" }, button("Closer", () => zoom(1.4)), button("Farther", () => zoom(1 / 1.4)), button("Fit", fit));
  return el("div", { class: "comparison" }, both, tools);
}
