// The pictures that a new one is painted from: chosen, dropped or pasted, with their shares and masks.

import { upload } from "./api.js";
import { paintMasks } from "./brush.js";
import { button, byId, dialog, el, say } from "./dom.js";
import { joined, ofKind, shortName } from "./words.js";

const KINDS = "image/jpeg,image/png,image/webp,image/avif,image/tiff,image/gif,.tif,.tiff,.avif";
const MOST_SHARE = 5;
const ROLES = { content: "photo", style: "painting", start: "picture to start from" };

/** Where a picture is seen; `side` is its longest at most. */
export const look = (picture, side) =>
  picture.sample ? `/api/samples/${picture.sample}/thumbnail?side=${side}` : `/api/files/${picture.sha256}/thumbnail?side=${side}`;

/** A picture as the API names it. */
const reference = (picture) => (picture.sample ? { sample: picture.sample } : { sha256: picture.sha256, name: picture.name });

const same = (one, other) => Boolean(one && other) && look(one, 16) === look(other, 16);

export class Pictures {
  /** `changed` is called after every change, `recall` with a picture that has a recipe. */
  constructor(samples, { changed, recall }) {
    Object.assign(this, { changed, recall, styles: [], start: null, masks: null, aside: null, uploads: 0 });
    this.samples = samples.map(({ name, credit, kind }) => ({ sample: name, name, credit, kind }));
    const first = (kind) => this.samples.find((sample) => sample.kind === kind);
    this.content = first("photo");
    this.styles = [{ picture: first("painting"), share: 1 }];
    this.build();
    this.listen();
    this.render();
  }

  get several() {
    return this.blend.checked;
  }

  build() {
    this.blend = el("input", { type: "checkbox", id: "blend", onchange: () => this.keepOne() });
    this.parts = {};
    for (const [role, host] of [["content", byId("photo")], ["style", byId("paintings")]]) {
      const part = { rows: el("ul", { class: "rows" }), problem: el("p", { class: "problem", role: "alert" }) };
      const kind = role === "content" ? "photo" : "painting";
      part.shelf = this.samples.filter((sample) => sample.kind === kind).map((sample) => this.sampleButton(sample, role));
      host.append(
        part.rows,
        part.problem,
        el("div", { class: "shelf" }, this.fileInput(role), el("label", { for: `file-${role}`, class: "add" }, "Choose…"), ...part.shelf),
      );
      this.parts[role] = part;
    }
    byId("paintings").append(el("p", { class: "check" }, this.blend, el("label", { for: "blend" }, "Blend several")));
    const start = { rows: el("ul", { class: "rows" }), problem: el("p", { class: "problem", role: "alert" }) };
    const label = el("label", { for: "file-start", class: "add" }, "Choose where it starts");
    this.startNode = el("div", { class: "start", hidden: true }, start.rows, start.problem, this.fileInput("start"), label);
    this.parts.start = start;
  }

  fileInput(role) {
    const input = el("input", { type: "file", accept: KINDS, multiple: role === "style", class: "unseen", id: `file-${role}`, "aria-label": `Choose a ${ROLES[role]}` });
    input.addEventListener("change", async () => {
      await this.take([...input.files], role);
      input.value = "";
    });
    return input;
  }

  sampleButton(sample, role) {
    const node = button("", () => this.place(sample, role, true), { class: "sample", title: sample.credit, "aria-label": `Sample ${ROLES[role]}: ${sample.name}` });
    node.append(el("img", { src: look(sample, 96), alt: "", width: 44, height: 44, loading: "lazy" }));
    node.sample = sample;
    return node;
  }

  listen() {
    const zones = el("div", { class: "zones", hidden: true });
    for (const role of ["content", "style"]) {
      const zone = el("div", { class: "zone", "data-role": role }, role === "content" ? "Photo" : "Painting");
      zone.addEventListener("dragenter", () => zone.classList.add("over"));
      zone.addEventListener("dragleave", () => zone.classList.remove("over"));
      zones.append(zone);
    }
    document.body.append(zones);
    const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
    const end = () => {
      zones.hidden = true;
      for (const zone of zones.children) zone.classList.remove("over");
    };
    document.addEventListener("dragover", (event) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      zones.hidden = Boolean(document.querySelector("dialog[open]"));
    });
    document.addEventListener("dragleave", (event) => event.relatedTarget === null && end());
    document.addEventListener("drop", (event) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      const files = [...event.dataTransfer.files];
      const zone = event.target.closest?.(".zone");
      end();
      if (zone) this.take(files, zone.dataset.role);
      else this.askWhere(files);
    });
    document.addEventListener("paste", (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (!files.length || document.querySelector("dialog[open]")) return;
      event.preventDefault();
      this.askWhere(files);
    });
  }

  askWhere(files) {
    if (!files.length) return;
    const use = (role) => () => {
      box.close();
      this.take(files, role);
    };
    const box = dialog(
      "Use this picture as",
      { class: "small" },
      el("div", { class: "row" }, button("The photo", use("content"), { class: "main" }), button("A painting", use("style"), { class: "main" }), button("Cancel", () => box.close())),
    );
  }

  /** Upload files, and use them as `role`. */
  async take(files, role) {
    const part = this.parts[role];
    part.problem.textContent = "";
    if (role !== "style") files = files.slice(0, 1);
    if (files.length > 1) this.blend.checked = true;
    this.uploads += 1;
    byId("paint").disabled = true;
    for (const file of files) {
      const bar = el("progress", { max: 1, value: 0, "aria-label": `Uploading ${file.name}` });
      const row = el("li", { class: "chosen" }, el("span", { class: "name" }, file.name), bar);
      part.rows.append(row);
      try {
        this.place(await upload(file, file.name || "pasted", (share) => (bar.value = share)), role);
      } catch (error) {
        part.problem.textContent = error.message.includes(file.name) ? error.message : `${file.name}: ${error.message}`;
      }
      row.remove();
    }
    this.uploads -= 1;
    byId("paint").disabled = this.uploads > 0;
  }

  /** Use a picture; a sample that is used already is put back where others stay. */
  place(picture, role, toggle = false) {
    if (role === "content") {
      this.content = picture;
    } else if (role === "start") {
      this.start = picture;
    } else {
      const at = this.styles.findIndex((style) => same(style.picture, picture));
      if (at >= 0) {
        if (toggle && this.styles.length > 1) this.drop(at);
      } else if (this.several) {
        this.styles.push({ picture, share: 1 });
      } else {
        this.styles = [{ picture, share: 1 }];
      }
    }
    say(`${shortName(picture.name)} is the ${ROLES[role]}`);
    this.render();
  }

  drop(at) {
    this.styles.splice(at, 1);
    this.render();
    byId("blend").focus();
  }

  keepOne() {
    if (!this.several) this.styles.length = 1;
    this.render();
  }

  /** Take the pictures of a job or a recipe; those that are not here are left as they are, and named. */
  use(inputs, here, shares) {
    const there = (kind) => ofKind(inputs, kind).filter((input) => here.includes(input.role));
    const [content] = there("content");
    const styles = there("style");
    if (content) this.content = content;
    if (styles.length) this.styles = styles.map((picture, at) => ({ picture, share: shares[at] ?? 1 }));
    this.blend.checked = this.styles.length > 1;
    this.start = there("init")[0] ?? null;
    const masks = there("content_mask");
    const [protect] = there("protect");
    this.aside = null;
    this.masks = null;
    if (masks.length || protect) {
      const all = (kind) => ofKind(inputs, kind);
      const of = { photo: all("content")[0], paintings: masks.length ? all("style") : [] };
      this.masks = { contentMasks: masks, protect: protect ?? null, styleMasks: there("style_mask"), strokes: [], of };
    }
    this.render();
    return inputs.filter((input) => input.role !== "weights" && !here.includes(input.role));
  }

  /** What a request has of all this. */
  asked(config) {
    const body = { content: reference(this.content), styles: this.styles.map(({ picture }) => reference(picture)) };
    if (config.init === "image" && this.start) body.init = reference(this.start);
    if (this.masks?.protect) body.protect = reference(this.masks.protect);
    if (this.masks?.contentMasks.length) {
      body.content_masks = this.masks.contentMasks.map(reference);
      if (this.masks.styleMasks.length) body.style_masks = this.masks.styleMasks.map(reference);
    }
    return body;
  }

  /** Shares as `style_weights` has them; empty where all are equal. */
  get weights() {
    const shares = this.styles.map(({ share }) => share);
    return new Set(shares).size > 1 ? shares.join(",") : "";
  }

  render() {
    const { content, style, start } = this.parts;
    this.settle();
    const mask = button(this.masks ? "Edit the mask" : "Mask…", () => this.mask(), { class: "quiet mask" });
    const unmask = (this.masks || this.aside) && button("Remove the mask", () => {
      this.masks = this.aside = null;
      this.render();
      this.parts.content.rows.querySelector(".mask").focus();
    }, { class: "quiet" });
    const waits = this.aside && el("p", { class: "help" }, `The mask waits for ${this.owners(this.aside)}: it is used again with what it was painted for.`);
    content.rows.replaceChildren(this.row(this.content, mask, unmask), ...(waits ? [waits] : []));
    style.rows.replaceChildren(...this.styles.map((entry, at) => this.styleRow(entry, at)));
    start.rows.replaceChildren(...(this.start ? [this.row(this.start)] : []));
    for (const node of [...content.shelf, ...style.shelf]) {
      const used = [this.content, ...this.styles.map(({ picture }) => picture)].some((picture) => same(picture, node.sample));
      node.setAttribute("aria-pressed", used);
    }
    this.changed();
  }

  /** Lay a mask aside where its pictures are no longer those that are chosen, and take it up again where they are. */
  settle() {
    const fits = ({ of }) =>
      same(of.photo, this.content) && (!of.paintings.length || (of.paintings.length === this.styles.length && of.paintings.every((picture, at) => same(picture, this.styles[at].picture))));
    if (this.masks && !fits(this.masks)) {
      this.aside = this.masks;
      this.masks = null;
      say(`The mask waits for ${this.owners(this.aside)}`);
    } else if (!this.masks && this.aside && fits(this.aside)) {
      this.masks = this.aside;
      this.aside = null;
      say("The mask is used again");
    }
  }

  owners({ of }) {
    const names = ({ length }) => (length ? ` with ${joined(of.paintings.map(({ name }) => shortName(name)))}` : "");
    return shortName(of.photo.name) + names(of.paintings);
  }

  row(picture, ...more) {
    const size = picture.width ? `${picture.width} × ${picture.height}` : picture.sample ? "sample" : "";
    const recipe = picture.recipe && button("Use its settings", () => this.recall(picture), { class: "quiet", title: "Impasto painted this picture" });
    const name = el("span", { class: "name", title: shortName(picture.name) }, shortName(picture.name), el("small", {}, size));
    const about = el("div", { class: "about" }, name, el("span", { class: "row" }, recipe, ...more));
    return el("li", { class: "chosen" }, el("img", { src: look(picture, 256), alt: "", class: "thumb" }), about);
  }

  styleRow(entry, at) {
    const several = this.styles.length > 1;
    const name = shortName(entry.picture.name);
    const row = this.row(entry.picture, several && button("×", () => this.drop(at), { class: "quiet away", "aria-label": `Remove ${name}`, title: "Remove" }));
    if (!several) return row;
    const share = el("span");
    const range = el("input", { type: "range", min: -10, max: 10, step: 1, value: 10 * Math.log(entry.share) / Math.log(MOST_SHARE), "aria-label": `Share of ${name}` });
    const show = () => {
      const sum = this.styles.reduce((total, style) => total + style.share, 0);
      share.textContent = `${Math.round((100 * entry.share) / sum)} %`;
      range.setAttribute("aria-valuetext", share.textContent);
    };
    entry.show = show;
    range.addEventListener("input", () => {
      entry.share = Number((MOST_SHARE ** (range.value / 10)).toPrecision(3));
      for (const style of this.styles) style.show();
    });
    row.lastChild.append(el("span", { class: "share" }, range, share));
    show();
    return row;
  }

  async mask() {
    const paintings = this.styles.map(({ picture }) => picture);
    // A mask that labels regions by color is one for all paintings: it can be replaced only.
    const editable = [undefined, 0, paintings.length].includes(this.masks?.contentMasks.length);
    const made = await paintMasks(look(this.content, 1024), paintings.map(({ name }) => shortName(name)), editable ? this.masks : null);
    if (made === undefined) return;
    // A part of a painting belongs to the region at its number, as long as there is one.
    const styleMasks = made?.contentMasks.length === this.masks?.contentMasks.length ? (this.masks?.styleMasks ?? []) : [];
    this.aside = null;
    this.masks = made && { ...made, styleMasks, of: { photo: this.content, paintings: made.contentMasks.length ? paintings : [] } };
    this.render();
    this.parts.content.rows.querySelector(".mask").focus();
    say(made ? "The mask is kept" : "There is no mask");
  }
}
