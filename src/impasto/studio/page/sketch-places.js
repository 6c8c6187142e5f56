// The places of sketches in the form: one beside the button Paint, and one for each preset, if that list is open.

import { byId } from "./dom.js";
import { joinNames, shortName } from "./labels.js";

const FIXED = new Set(["size", "iterations", "effort"]); // a sketch has its own

const NOTES = {
  started: "Sketching…",
  busy: "The sketch waits until the queue is empty.",
  done: "A quick sketch. Paint for finer strokes.",
};

/** Return the places in the order in which they are painted. `isBusy` returns true while jobs are painted or wait. */
export function sketchPlaces(form, pictures, isBusy) {
  const title = () => `${shortName(pictures.content.name)} as ${joinNames(pictures.styles.map(({ picture }) => shortName(picture.name)))}`;
  return [formPlace(form, pictures, isBusy, title), ...form.presetButtons.map((node) => presetPlace(node, form, pictures, title))];
}

function formPlace(form, pictures, isBusy, title) {
  const [image, note] = [byId("sketch"), byId("sketch-note")];
  return {
    request() {
      const values = form.values(form.fields);
      const needsStart = values.init === "image" && !pictures.start;
      if (needsStart || !form.isReady({ config: values }) || byId("request").querySelector(":invalid:not(fieldset)")) return null;
      const { preset, config } = form.toRequest(pictures.weights);
      const changed = Object.entries(config).filter(([name]) => !FIXED.has(name));
      return { preset, config: Object.fromEntries(changed), ...pictures.toRequest(values) };
    },
    show({ url, problem, isLate }) {
      image.classList.toggle("stale", !url);
      image.hidden = Boolean(problem) || (image.hidden && !url);
      note.title = problem ?? "";
      note.textContent = problem ? `No sketch: ${problem}` : NOTES[url ? "done" : isLate && isBusy() ? "busy" : "started"];
      if (!url) return;
      image.src = url;
      image.alt = `Sketch: ${title()}`;
    },
  };
}

function presetPlace(node, form, pictures, title) {
  const preset = form.options.presets.find(({ name }) => name === node.value);
  const image = node.querySelector("img");
  return {
    request() {
      if (!form.presetPictures.open || !form.isReady(preset)) return null;
      const config = pictures.weights ? { style_weights: pictures.weights } : {};
      return { preset: preset.name, config, ...pictures.toRequest({}) };
    },
    show({ url }) {
      image.hidden = !url; // without, it shows another pair
      image.alt = url ? `${title()}:` : "";
      if (url) image.src = url;
    },
  };
}
