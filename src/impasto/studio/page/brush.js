// A brush over the photo: what stays as it is, and where each painting goes. Strokes are kept as lines, and drawn again.

import { Refused, upload } from "./api.js";
import { button, dialog, el } from "./dom.js";
import { Layers, loaded } from "./layers.js";

const KEEP = "keep";
const ERASE = "erase";

const COLORS = ["#e2574c", "#3f7fe0", "#2fa36b", "#c79a1b", "#9a5fd0"];

/** By label, what a mask of elsewhere covers: what no region has stays as it is. */
async function groundOf({ protect, contentMasks }, layers, regions) {
  const ground = new Map();
  const kept = [protect && (await layers.covered([protect])), contentMasks.length && (await layers.covered(contentMasks, true))].filter(Boolean);
  if (kept.length) {
    const sheet = layers.sheet();
    for (const part of kept) sheet.drawImage(part, 0, 0);
    ground.set(KEEP, sheet.canvas);
  }
  for (const region of regions) {
    const part = contentMasks[region - 1] && (await layers.covered([contentMasks[region - 1]]));
    if (part) ground.set(region, part);
  }
  return ground;
}

/** Ask where; `{protect, contentMasks, strokes, ground}`, null if nothing is painted, undefined if it was cancelled. */
export async function paintMasks(photo, styles, before) {
  const image = await loaded(photo);
  const [width, height] = [image.naturalWidth, image.naturalHeight];
  const zones = styles.length > 1 ? styles.slice(1).map((name, at) => ({ label: at + 2, words: `${at + 2}: ${name}` })) : [];
  const regions = zones.map((zone) => zone.label);
  const labels = [KEEP, ...regions];
  const colors = new Map(labels.map((label, at) => [label, COLORS[at % COLORS.length]]));
  const layers = new Layers(width, height, labels);
  let strokes = (before?.strokes ?? []).filter(({ label }) => label === ERASE || labels.includes(label));
  // What a brush of this page made is in its strokes; what came with a picture or a job is the ground of them.
  let ground = before?.ground ?? (before && !before.strokes.length ? await groundOf(before, layers, regions) : new Map());

  const canvas = el("canvas", { width, height, tabindex: 0, role: "application", "aria-label": "The photo. Arrow keys move the brush, Space puts it down and lifts it.", "aria-describedby": "brush-help" });
  canvas.style.setProperty("--aspect", width / height);
  const context = canvas.getContext("2d");
  const size = el("input", { type: "range", id: "brush-size", min: 2, max: 40, value: 12 });
  const cursor = { at: [width / 2, height / 2], shown: false, down: false };
  let label = KEEP;
  let stroke = null;

  const brushWidth = () => (Number(size.value) / 100) * Math.max(width, height);
  function show() {
    context.drawImage(image, 0, 0, width, height);
    context.globalAlpha = 0.55;
    for (const name of labels) context.drawImage(layers.tinted(name, colors.get(name)), 0, 0);
    context.globalAlpha = 1;
    if (!cursor.shown) return;
    for (const [color, line] of [["#000", 4], ["#fff", 2]]) {
      context.beginPath();
      context.arc(...cursor.at, brushWidth() / 2, 0, 7);
      context.strokeStyle = color;
      context.lineWidth = (line * width) / (canvas.clientWidth || width) / 1.5;
      context.stroke();
    }
  }
  function begin(point) {
    problem.textContent = "";
    stroke = { label, width: brushWidth(), points: [point] };
    strokes.push(stroke);
    layers.line(stroke, [point]);
    show();
  }
  function go(point) {
    layers.line(stroke, [stroke.points.at(-1), point]);
    stroke.points.push(point);
  }
  function again() {
    layers.clear(ground);
    for (const each of strokes) layers.line(each, each.points);
    show();
  }
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button || !event.isPrimary) return; // a second finger draws nothing
    canvas.setPointerCapture(event.pointerId);
    cursor.at = place(event);
    begin(cursor.at);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!event.isPrimary) return;
    cursor.at = place(event);
    cursor.shown = true;
    if (stroke && !cursor.down) for (const part of event.getCoalescedEvents?.() ?? [event]) go(place(part));
    show();
  });
  for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, ({ isPrimary }) => isPrimary && (stroke = null));
  canvas.addEventListener("pointerleave", () => {
    cursor.shown = false;
    show();
  });
  canvas.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way && event.key !== " ") return;
    event.preventDefault();
    cursor.shown = true;
    if (event.key === " ") {
      cursor.down = !cursor.down;
      if (cursor.down) begin(cursor.at);
      else stroke = null;
      told.textContent = cursor.down ? "The brush is down" : "The brush is lifted";
    } else {
      const step = brushWidth() / 3;
      const inside = (value, most) => Math.min(Math.max(value, 0), most);
      cursor.at = [inside(cursor.at[0] + way[0] * step, width), inside(cursor.at[1] + way[1] * step, height)];
      if (cursor.down) go(cursor.at);
    }
    show();
  });
  const undo = () => {
    strokes.pop();
    again();
  };

  const kinds = [{ label: KEEP, words: "Keep as it is" }, ...zones, { label: ERASE, words: "Erase" }].map(({ label: value, words }, at) => {
    const input = el("input", { type: "radio", name: "brush", id: `brush-${value}`, checked: at === 0, onchange: () => (label = value) });
    const dot = el("span", { class: "dot", hidden: !colors.has(value) });
    dot.style.setProperty("--dot", colors.get(value));
    return el("label", { class: "pick", for: input.id }, input, dot, words);
  });
  // What is said elsewhere on the page is not heard while a dialog is open.
  const told = el("p", { class: "unseen", role: "status" });
  const problem = el("p", { class: "problem", role: "alert" });
  const help = zones.length
    ? `Paint over what stays as it is, and over where a painting goes. All else is painted as 1: ${styles[0]}.`
    : "Paint over what stays as it is.";
  return new Promise((resolve) => {
    let answer;
    const done = button("Use the mask", async () => {
      done.disabled = true;
      try {
        answer = await kept();
        box.close();
      } catch (error) {
        problem.textContent = error.message;
        done.disabled = false;
      }
    }, { class: "main" });
    async function kept() {
      if (layers.full()) throw new Refused(`Nothing is left to be painted${zones.length ? ` as 1: ${styles[0]}` : ""}. Erase some of it.`);
      const used = new Set([...strokes.map((each) => each.label), ...ground.keys()]);
      const send = async (labelsOf, name, but) => upload(await layers.png(labelsOf, but), name);
      // One painting with a region of its own has it still: everywhere but there.
      const one = !regions.length && before?.contentMasks.length === 1;
      const protect = used.has(KEEP) && !one ? await send([KEEP], "keep.png") : null;
      const contentMasks = one && used.has(KEEP) ? [await send([KEEP], "region-1.png", true)] : [];
      if (regions.some((region) => used.has(region))) {
        const bare = zones.find((zone) => layers.bare(zone.label));
        if (bare) throw new Refused(`Nothing is painted as ${bare.words} yet. Paint over where it goes, or take it from the paintings.`);
        contentMasks.push(await send(regions, "region-1.png", true));
        for (const region of regions) contentMasks.push(await send([region], `region-${region}.png`));
      }
      return protect || contentMasks.length ? { protect, contentMasks, strokes, ground } : null;
    }
    const box = dialog(
      "Mask",
      { class: "brush" },
      el("p", { id: "brush-help" }, help),
      el(
        "div",
        { class: "tools" },
        el("div", { class: "row", role: "radiogroup", "aria-label": "What the brush does" }, ...kinds),
        el("span", { class: "row" }, el("label", { for: "brush-size" }, "Brush"), size),
        el("span", { class: "row" }, button("Undo", undo), button("Clear", () => {
          strokes = [];
          ground = new Map();
          again();
        })),
      ),
      el("div", { class: "easel" }, canvas),
      told,
      el("div", { class: "foot" }, problem, el("div", { class: "row end" }, button("Cancel", () => box.close()), done)),
    );
    box.addEventListener("keydown", (event) => {
      if (event.key !== "z" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      undo();
    });
    box.addEventListener("close", () => resolve(answer));
    again();
  });
}
