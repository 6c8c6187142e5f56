// The settings, generated from the options that the server describes: the most important ones first, the rest folded.

import { alphaControl, middleOf } from "./alpha.js";
import { button, byId, el } from "./dom.js";
import { choiceLabel } from "./labels.js";
import { ProfileUpload } from "./profile-upload.js";

const SIZES = [256, 384, 512, 768, 1024, 2048];
const BY_PICTURES = "style_weights";
const CLIP_TIMES = ["start", "end", "cuts"];

export class Form {
  constructor(options, startNode) {
    this.options = options;
    this.defaults = Object.fromEntries([...options.fields, ...options.run, ...options.video].map((field) => [field.name, field.default]));
    this.fields = options.fields.filter((field) => field.name !== BY_PICTURES);
    this.controls = new Map();
    this.startNode = startNode;
    this.preset = el("select", { id: "preset", onchange: () => this.choosePreset(this.preset.value) });
    this.preset.append(...options.presets.map(({ name }) => el("option", { value: name }, name)));
    this.presetButtons = options.presets.map((preset) => this.presetButton(preset));
    this.presetPictures = el("details", { class: "presets" }, el("summary", {}, "See every preset"), el("div", {}, ...this.presetButtons));
    this.help = el("p", { class: "help", id: "preset-help" });
    this.preset.setAttribute("aria-describedby", this.help.id);
    const front = this.fields.filter((field) => field.order !== null).sort((a, b) => a.order - b.order);
    byId("settings").append(
      el("div", { class: "field" }, el("label", { for: "preset" }, "Preset"), this.preset),
      this.help,
      this.presetPictures,
      ...front.filter((field) => field.name === "alpha").map((field) => this.alpha(field)),
      el("div", { class: "front" }, ...front.filter((field) => field.name !== "alpha").map((field) => this.field(field, false))),
      startNode,
      el("details", {}, el("summary", {}, "Help for these options"), el("dl", {}, ...front.flatMap(({ label, help }) => [el("dt", {}, label), el("dd", {}, help)]))),
      el("details", {}, el("summary", {}, "All options"), ...this.groups([...this.fields, ...options.run].filter((field) => field.order === null))),
    );
    this.clipNode = el("details", { hidden: true }, el("summary", {}, "Clip options"), ...this.groups(options.video));
    this.showVideo({});
    this.choosePreset(options.presets[0].name);
  }

  /** A button that chooses a preset, with a place for a picture of it. */
  presetButton({ name, help, config }) {
    const choose = () => {
      this.preset.value = name;
      this.preset.dispatchEvent(new Event("change", { bubbles: true }));
    };
    return button("", choose, { class: "preset", title: help, value: name }, el("span", { class: "sketch" }, el("img", { alt: "", hidden: true })), el("span", {}, name), el("small", { hidden: this.isReady({ config }) }, "to be downloaded"));
  }

  /** True if a preset paints without a download. */
  isReady({ config }) {
    return this.options.networks[config.network ?? this.defaults.network];
  }

  alpha(field) {
    const control = alphaControl({ id: "alpha", label: field.label, usual: field.default });
    control.node.title = field.help;
    this.controls.set("alpha", { get: () => control.value, set: (value, config) => control.set(value, middleOf(config, field.default)) });
    return control.node;
  }

  groups(all) {
    const titles = [...new Set(all.map((field) => field.group))];
    return titles.map((title) => {
      const fields = all.filter((field) => field.group === title).map((field) => this.field(field, true));
      return el("fieldset", { class: "group" }, el("legend", {}, title), ...fields);
    });
  }

  field(field, showHelp) {
    const id = `option-${field.name}`;
    const help = showHelp && el("p", { class: "help", id: `${id}-help` }, field.help);
    const input = this.input(field, id);
    if (help) input.setAttribute("aria-describedby", help.id);
    else input.title = field.help;
    const isFlag = field.kind === "boolean";
    const label = el("label", { for: id }, field.label);
    this.controls.set(field.name, {
      get: () => (isFlag ? input.checked : this.read(field, input)),
      set: (value) => (isFlag ? (input.checked = value) : (input.value = value ?? (field.kind === "choice" ? "auto" : ""))),
    });
    return el("div", { class: isFlag ? "field check" : "field" }, ...(isFlag ? [input, label] : [label, input]), this.upload(field, input), help);
  }

  upload(field, input) {
    if (field.name !== "profile") return null;
    this.profile = new ProfileUpload(input);
    return this.profile.node;
  }

  input(field, id) {
    if (field.kind === "boolean") return el("input", { type: "checkbox", id });
    if (field.kind === "choice") {
      const choices = field.default === null ? ["auto", ...field.choices] : field.choices;
      const select = el("select", { id }, ...choices.map((choice) => el("option", { value: choice }, this.choiceText(field, choice))));
      if (field.name === "init") select.addEventListener("change", () => this.showStart());
      return select;
    }
    if (field.kind === "text") {
      return el("input", { type: "text", id, spellcheck: "false", autocomplete: "off", placeholder: field.default === null ? "auto" : "" });
    }
    const input = el("input", { type: "number", id, min: field.minimum, max: field.maximum, step: field.kind === "integer" ? 1 : "any" });
    if (field.default === null) input.placeholder = "auto";
    if (field.name !== "size") return input;
    input.setAttribute("list", "sizes");
    byId("settings").append(el("datalist", { id: "sizes" }, ...SIZES.map((size) => el("option", { value: size }))));
    return input;
  }

  choiceText(field, choice) {
    const missing = field.name === "network" && !this.options.networks[choice];
    return missing ? `${choice} (will be downloaded)` : choiceLabel(field.name, choice);
  }

  read(field, input) {
    if (field.kind === "text") return input.value.trim() || field.default;
    if (field.kind === "choice") return field.choices.find((choice) => String(choice) === input.value) ?? field.default;
    return input.value === "" ? field.default : Number(input.value);
  }

  /** The selected preset, with the options that it sets. */
  get base() {
    return this.options.presets.find(({ name }) => name === this.preset.value);
  }

  choosePreset(name) {
    this.preset.value = name;
    this.help.textContent = this.base.help;
    for (const node of this.presetButtons) node.setAttribute("aria-pressed", node.value === name);
    this.show(this.base.config);
  }

  show(overrides) {
    const config = { ...this.defaults, ...overrides };
    for (const { name } of [...this.fields, ...this.options.run]) this.controls.get(name).set(config[name], config);
    this.showStart();
  }

  showStart() {
    this.startNode.hidden = this.controls.get("init").get() !== "image";
  }

  /** Show options of a clip; those that are missing get their defaults. */
  showVideo(video) {
    for (const { name } of this.options.video) this.controls.get(name).set(String(video[name] ?? "") === "" ? this.defaults[name] : video[name]);
  }

  /** Show the options of clips or hide them. Another clip has other times. */
  showClip(clip) {
    this.clipNode.hidden = clip === null;
    for (const name of CLIP_TIMES) this.controls.get(name).set(this.defaults[name]);
  }

  /** The options of a clip that differ from their defaults. */
  toVideo() {
    return Object.fromEntries(Object.entries(this.values(this.options.video)).filter(([name, value]) => String(value) !== String(this.defaults[name])));
  }

  /** Show the settings of a job or a recipe, and an uploaded color profile. */
  showSettings(overrides, profile) {
    this.choosePreset(this.options.presets[0].name);
    this.show(overrides);
    if (profile) this.profile.choose(profile);
  }

  values(fields) {
    return Object.fromEntries(fields.map((field) => [field.name, this.controls.get(field.name).get()]));
  }

  /** The settings as a part of a request: only those that differ from the preset. */
  toRequest(weights) {
    const config = { ...this.values(this.fields), [BY_PICTURES]: weights };
    const changed = Object.entries(config).filter(([name, value]) => String(value) !== String(this.base.config[name] ?? this.defaults[name]));
    const run = this.options.run.filter((field) => this.controls.get(field.name).get() !== field.default);
    return { preset: this.preset.value, config: Object.fromEntries(changed), run: this.values(run), ...this.profile.toRequest() };
  }
}
