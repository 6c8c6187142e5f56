// The pictures that a mask was made for.

import { el } from "./dom.js";
import { joinNames, shortName } from "./labels.js";
import { isSamePicture } from "./picture-refs.js";

/** Return true if a mask was made for this photo, and for these styles if it names any. */
export function fits({ madeFor: { photo, paintings } }, source, styles) {
  if (!isSamePicture(photo, source)) return false;
  if (!paintings.length) return true;
  return paintings.length === styles.length && paintings.every((picture, index) => isSamePicture(picture, styles[index].picture));
}

/** Return the names of the pictures that a mask was made for. */
export function namePictures({ madeFor: { photo, paintings } }) {
  const names = paintings.map(({ name }) => shortName(name));
  return shortName(photo.name) + (names.length ? ` with ${joinNames(names)}` : "");
}

/** Return a paragraph that says how to use a mask again, if there is one. */
export function hintAtUnusedMask(mask) {
  return mask ? [el("p", { class: "help" }, `The mask was made for ${namePictures(mask)}. Choose them again to use it.`)] : [];
}
