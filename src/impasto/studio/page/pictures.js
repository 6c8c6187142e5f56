// The pictures of the form: photo, paintings with their shares, start picture, and mask.

import { get, upload, uploadClip } from "./api.js";
import { CLIP_TYPES, isClipFile } from "./clip-files.js";
import { ClipPanel, describeClip } from "./clip-panel.js";
import { announce, button, byId, el } from "./dom.js";
import { acceptFiles } from "./drop-zones.js";
import { inputsOfKind, shortName } from "./labels.js";
import { editMask } from "./mask-editor.js";
import { fits, hintAtUnusedMask, namePictures } from "./mask-pictures.js";
import { isSamePicture, SMALL_PX, thumbnailUrl, toReference } from "./picture-refs.js";

const FILE_TYPES = "image/jpeg,image/png,image/webp,image/avif,image/tiff,image/gif,.tif,.tiff,.avif,.psd,.exr";
const MAX_SHARE = 5; // a painting weighs from 1/5 to 5
const ROLES = { content: "photo", style: "painting", start: "start picture" };

export class Pictures {
  /** `onChange` is called after every change, `onUseSettings` with a picture that has a recipe, `onClip` with a new clip. */
  constructor(samples, { onChange, onUseSettings, onClip, onShots }) {
    Object.assign(this, { onChange, onUseSettings, onClip, styles: [], start: null, mask: null, unusedMask: null, uploads: 0 });
    this.samples = samples.map(({ name, credit, kind }) => ({ sample: name, name, credit, kind }));
    const firstSample = (kind) => this.samples.find((sample) => sample.kind === kind);
    this.content = firstSample("photo");
    this.styles = [{ picture: firstSample("painting"), share: 1 }];
    this.clip = null; // then `content` is the frame to try
    this.clipPanel = new ClipPanel({
      onFrame: (picture) => this.useFrame(picture),
      onPreview: (url) => (this.sections.content.list.querySelector(".thumb").src = url),
      onShots,
    });
    this.frames = new Set(); // hashes of all frames that were chosen
    this.build();
    acceptFiles((files, role) => this.uploadAll(files, role));
    this.render();
  }

  build() {
    this.blend = el("input", { type: "checkbox", id: "blend", onchange: () => this.onBlendChange() });
    this.sections = {};
    for (const [role, host] of [["content", byId("photo")], ["style", byId("paintings")]]) {
      const kind = role === "content" ? "photo" : "painting";
      const section = this.createSection();
      section.samples = this.samples.filter((sample) => sample.kind === kind).map((sample) => this.createSample(sample, role));
      host.append(
        section.list,
        section.problem,
        el("div", { class: "samples" }, this.createFileInput(role), el("label", { for: `file-${role}`, class: "add" }, "Choose…"), ...section.samples),
        ...(role === "content" ? [this.clipPanel.node] : []),
      );
      this.sections[role] = section;
    }
    byId("paintings").append(el("p", { class: "check" }, this.blend, el("label", { for: "blend" }, "Blend several")));
    const start = this.createSection();
    const label = el("label", { for: "file-start", class: "add" }, "Choose a start picture");
    this.startNode = el("div", { class: "start", hidden: true }, start.list, start.problem, this.createFileInput("start"), label);
    this.sections.start = start;
  }

  createSection() {
    return { list: el("ul", { class: "rows" }), problem: el("p", { class: "problem", role: "alert" }) };
  }

  createFileInput(role) {
    const input = el("input", { type: "file", accept: role === "content" ? `${FILE_TYPES},${CLIP_TYPES}` : FILE_TYPES, multiple: role === "style", class: "visually-hidden", id: `file-${role}`, "aria-label": `Choose a ${ROLES[role]}` });
    input.addEventListener("change", async () => {
      await this.uploadAll([...input.files], role);
      input.value = "";
    });
    return input;
  }

  createSample(sample, role) {
    const node = button("", () => this.use(sample, role, true), { class: "sample", title: sample.credit, "aria-label": `Sample ${ROLES[role]}: ${sample.name}` });
    node.append(el("img", { src: thumbnailUrl(sample, SMALL_PX), alt: "", width: 44, height: 44 }));
    node.sample = sample;
    return node;
  }

  /** Upload files and use them in a role. */
  async uploadAll(files, role) {
    const section = this.sections[role];
    section.problem.textContent = "";
    if (role !== "style") files = files.slice(0, 1);
    if (files.length > 1) this.blend.checked = true;
    this.uploads += 1;
    this.allowPainting(false);
    for (const file of files) {
      const bar = el("progress", { max: 1, value: 0, "aria-label": `Uploading ${file.name}` });
      const row = el("li", { class: "chosen" }, el("span", { class: "name" }, file.name), bar);
      section.list.append(row);
      try {
        await this.uploadFile(file, role, (share) => (bar.value = share));
      } catch (error) {
        section.problem.textContent = error.message.includes(file.name) ? error.message : `${file.name}: ${error.message}`;
      }
      row.remove();
    }
    this.uploads -= 1;
    this.allowPainting(this.uploads === 0);
  }

  allowPainting(isAllowed) {
    for (const id of ["paint", "try"]) byId(id).disabled = !isAllowed;
  }

  async uploadFile(file, role, onProgress) {
    if (!(await isClipFile(file))) {
      this.use(await upload(file, file.name || "pasted", onProgress), role);
    } else if (role === "content") {
      await this.useClip(await uploadClip(file, file.name, onProgress));
    } else {
      throw new Error(`${file.name} is a clip. Use it as the photo, and a picture as the ${ROLES[role]}.`);
    }
  }

  /** Use a clip as the content: its first frame is the picture that is tried. */
  async useClip(clip) {
    this.clip = { ...clip, isClip: true };
    this.onClip(this.clip);
    await this.clipPanel.show(this.clip);
    announce(`${shortName(clip.name)} is the clip to paint`);
  }

  useFrame(picture) {
    this.content = picture;
    this.frames.add(picture.sha256);
    this.render();
  }

  removeClip() {
    this.clip = null;
    this.onClip(null);
    this.clipPanel.show(null);
  }

  /** The photo, or the clip. */
  get source() {
    return this.clip ?? this.content;
  }

  /** Use a picture in a role. With `toggle`, a painting that is already used is removed if others remain. */
  use(picture, role, toggle = false) {
    if (role === "content") {
      this.removeClip();
      this.content = picture;
    } else if (role === "start") {
      this.start = picture;
    } else {
      const index = this.styles.findIndex((style) => isSamePicture(style.picture, picture));
      if (index >= 0) {
        if (toggle && this.styles.length > 1) this.removeStyle(index);
      } else if (this.blend.checked) {
        this.styles.push({ picture, share: 1 });
      } else {
        this.styles = [{ picture, share: 1 }];
      }
    }
    announce(`${shortName(picture.name)} is the ${ROLES[role]}`);
    this.render();
  }

  removeStyle(index) {
    this.styles.splice(index, 1);
    this.render();
    byId("blend").focus();
  }

  onBlendChange() {
    if (!this.blend.checked) this.styles.length = 1;
    this.render();
  }

  /** Use the inputs of a job or a recipe, of a clip if `isClip`, and return those that are not available. */
  async useInputs(inputs, availableRoles, shares, isClip) {
    const available = inputs.filter((input) => availableRoles.includes(input.role));
    const [content] = inputsOfKind(available, "content");
    const styles = inputsOfKind(available, "style");
    if (content && isClip) {
      await this.useClip(await get(`/api/clips/${content.sha256}?name=${encodeURIComponent(content.name)}`));
    } else if (content) {
      this.removeClip();
      this.content = content;
    }
    if (styles.length) this.styles = styles.map((picture, index) => ({ picture, share: shares[index] ?? 1 }));
    this.blend.checked = this.styles.length > 1;
    this.start = inputsOfKind(available, "init")[0] ?? null;
    const contentMasks = inputsOfKind(available, "content_mask");
    const [protect] = inputsOfKind(available, "protect");
    this.mask = this.unusedMask = null;
    if (contentMasks.length || protect) {
      const styleMasks = inputsOfKind(available, "style_mask");
      const madeFor = { photo: isClip ? this.clip : inputsOfKind(inputs, "content")[0], paintings: contentMasks.length ? inputsOfKind(inputs, "style") : [] };
      this.mask = { contentMasks, protect: protect ?? null, styleMasks, strokes: [], madeFor };
    }
    this.render();
    return inputs.filter((input) => input.role !== "weights" && !availableRoles.includes(input.role));
  }

  /** The pictures as a part of a request: for the clip if `isClip`, otherwise for the photo or the frame to try. */
  toRequest(config, isClip = false) {
    const body = { content: toReference(isClip ? this.clip : this.content), styles: this.styles.map(({ picture }) => toReference(picture)) };
    if (config.init === "image" && this.start) body.init = toReference(this.start);
    if (this.mask?.protect) body.protect = toReference(this.mask.protect);
    if (this.mask?.contentMasks.length) {
      body.content_masks = this.mask.contentMasks.map(toReference);
      if (this.mask.styleMasks.length) body.style_masks = this.mask.styleMasks.map(toReference);
    }
    return body;
  }

  /** Shares in the form of the option `style_weights`; null if all are equal. */
  get weights() {
    const shares = this.styles.map(({ share }) => share);
    return new Set(shares).size > 1 ? shares.join(",") : null;
  }

  render() {
    const { content, style, start } = this.sections;
    this.matchMask();
    const row = this.createRow(this.content, ...this.recipeButton(this.clip), ...this.maskButtons());
    if (this.clip) row.querySelector(".name").replaceChildren(shortName(this.clip.name), el("small", {}, describeClip(this.clip)));
    content.list.replaceChildren(row, ...hintAtUnusedMask(this.unusedMask));
    style.list.replaceChildren(...this.styles.map((entry, index) => this.createStyleRow(entry, index)));
    start.list.replaceChildren(...(this.start ? [this.createRow(this.start)] : []));
    for (const node of [...content.samples, ...style.samples]) {
      const isUsed = [this.content, ...this.styles.map(({ picture }) => picture)].some((picture) => isSamePicture(picture, node.sample));
      node.setAttribute("aria-pressed", isUsed);
    }
    this.onChange();
  }

  createRow(picture, ...buttons) {
    const size = picture.width ? `${picture.width} × ${picture.height}` : picture.sample ? "sample" : "";
    const name = el("span", { class: "name", title: shortName(picture.name) }, shortName(picture.name), el("small", {}, size));
    const about = el("div", { class: "about" }, name, el("span", { class: "row" }, ...this.recipeButton(picture), ...buttons));
    return el("li", { class: "chosen" }, el("img", { src: thumbnailUrl(picture, SMALL_PX), alt: "", class: "thumb" }), about);
  }

  recipeButton(painted) {
    return painted?.recipe ? [button("Use its settings", () => this.onUseSettings(painted), { class: "quiet", title: "Impasto painted it" })] : [];
  }

  createStyleRow(entry, index) {
    const name = shortName(entry.picture.name);
    if (this.styles.length < 2) return this.createRow(entry.picture);
    const row = this.createRow(entry.picture, button("×", () => this.removeStyle(index), { class: "quiet remove", "aria-label": `Remove ${name}`, title: "Remove" }));
    const share = el("span");
    const range = el("input", { type: "range", min: -10, max: 10, step: 1, value: 10 * Math.log(entry.share) / Math.log(MAX_SHARE), "aria-label": `Share of ${name}` });
    entry.showShare = () => {
      const sum = this.styles.reduce((total, style) => total + style.share, 0);
      share.textContent = `${Math.round((100 * entry.share) / sum)} %`;
      range.setAttribute("aria-valuetext", share.textContent);
    };
    range.addEventListener("input", () => {
      entry.share = Number((MAX_SHARE ** (range.value / 10)).toPrecision(3));
      for (const style of this.styles) style.showShare();
    });
    row.lastChild.append(el("span", { class: "share" }, range, share));
    entry.showShare();
    return row;
  }

  maskButtons() {
    const edit = button(this.mask ? "Edit the mask" : "Mask…", () => this.openMaskEditor(), { class: "quiet mask" });
    const remove = (this.mask || this.unusedMask) && button("Remove the mask", () => this.setMask(null), { class: "quiet" });
    return [edit, remove];
  }

  /** Set the mask aside while other pictures are chosen than those it was made for. */
  matchMask() {
    const isMadeFor = (mask) => fits(mask, this.source, this.styles);
    if (this.mask && !isMadeFor(this.mask)) {
      [this.mask, this.unusedMask] = [null, this.mask];
      announce(`The mask for ${namePictures(this.unusedMask)} is not used`);
    } else if (!this.mask && this.unusedMask && isMadeFor(this.unusedMask)) {
      [this.mask, this.unusedMask] = [this.unusedMask, null];
      announce("The mask is used again");
    }
  }

  setMask(mask) {
    this.mask = mask;
    this.unusedMask = null;
    this.render();
    this.sections.content.list.querySelector(".mask").focus();
  }

  async openMaskEditor() {
    const paintings = this.styles.map(({ picture }) => picture);
    // A single mask that labels regions by color cannot be edited, only replaced.
    const isEditable = [undefined, 0, paintings.length].includes(this.mask?.contentMasks.length);
    const edited = await editMask(thumbnailUrl(this.content, 1024), paintings.map(({ name }) => shortName(name)), isEditable ? this.mask : null);
    if (edited === undefined) return;
    // Masks of paintings belong to regions by their order, so they stay valid only for the same number of regions.
    const styleMasks = edited?.contentMasks.length === this.mask?.contentMasks.length ? (this.mask?.styleMasks ?? []) : [];
    const madeFor = { photo: this.source, paintings: edited?.contentMasks.length ? paintings : [] };
    this.setMask(edited && { ...edited, styleMasks, madeFor });
    announce(edited ? "The mask is saved" : "There is no mask");
  }
}
