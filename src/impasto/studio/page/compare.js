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
    pane.addEventListener("wheel", (event) => {
      event.preventDefault();
      const box = pane.getBoundingClientRect();
      zoom(Math.exp(-event.deltaY / 300), shares(event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2));
    }, { passive: false });
    pane.addEventListener("pointerdown", (event) => pane.setPointerCapture(event.pointerId));
    pane.addEventListener("pointermove", (event) => {
      if (pane.hasPointerCapture(event.pointerId)) move(...shares(event.movementX, event.movementY));
    });
  }
  const tools = el("div", { class: "row middle" }, button("Closer", () => zoom(1.4)), button("Farther", () => zoom(1 / 1.4)), button("Fit", fit));
  return el("div", { class: "comparison" }, both, tools);
}
