// The upload of a color profile, below the list of built-in ones.

import { uploadProfile } from "./api.js";
import { announce, el } from "./dom.js";

export class ProfileUpload {
  /** Uploaded profiles are added to `select` by their hash, and chosen. */
  constructor(select) {
    Object.assign(this, { select, profiles: new Map() });
    this.problem = el("p", { class: "problem", role: "alert" });
    this.input = el("input", { type: "file", accept: ".icc,.icm", class: "visually-hidden", id: "file-profile", "aria-label": "Choose a color profile" });
    this.input.addEventListener("change", () => this.upload(this.input.files[0]));
    const label = el("label", { for: "file-profile", class: "add" }, "Choose an .icc file…");
    this.node = el("div", { class: "upload" }, this.input, label, this.problem);
  }

  /** The chosen profile as a part of a request; nothing for a built-in one. */
  toRequest() {
    const profile = this.profiles.get(this.select.value);
    return profile ? { profile } : {};
  }

  /** Choose a profile that is stored here, and add it to the list. */
  choose({ sha256, name }, label = name) {
    if (!this.profiles.has(sha256)) this.select.append(el("option", { value: sha256 }, label));
    this.profiles.set(sha256, { sha256, name });
    this.select.value = sha256;
  }

  async upload(file) {
    if (!file) return;
    this.problem.textContent = "";
    try {
      const { sha256, name, space } = await uploadProfile(file);
      this.choose({ sha256, name }, `${name} (${space.toUpperCase()})`);
      announce(`${name} is the color profile`);
    } catch (error) {
      this.problem.textContent = error.message;
    }
    this.input.value = "";
  }
}
