// The widget: the picture with its progress beside the controls and the loss curves. It is drawn in a shadow root, so that
// its style and the notebook's do not mix. `CSS` is the style sheet, which page.py adds.

import { alphaControl } from "../studio/page/alpha.js";
import { button, el, formatNumber } from "../studio/page/dom.js";
import { formatDuration, joinNames, shortName } from "../studio/page/labels.js";
import { LossChart } from "../studio/page/loss-chart.js";

const STATES = { ready: "Ready", painting: "Painting", stopping: "Stopping", done: "Finished", stopped: "Stopped", failed: "Failed" };

/** Return true if the notebook has a dark theme: JupyterLab, VS Code and marimo mark the page's body. */
function isDark() {
  const { dataset, classList } = document.body;
  if (dataset.jpThemeLight) return dataset.jpThemeLight === "false";
  if (dataset.vscodeThemeKind) return !dataset.vscodeThemeKind.includes("light");
  if (classList.contains("dark") || classList.contains("light")) return classList.contains("dark");
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

/** Add the style sheet to a shadow root, in the colors of the notebook's theme. Returns a function that ends this. */
function addStyle(root) {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(CSS.replaceAll(":root", ":host").replace(/^html /m, ":host "));
  root.adoptedStyleSheets = [sheet];
  const darkRules = [...sheet.cssRules].filter(({ media }) => media?.mediaText.includes("prefers-color-scheme"));
  const follow = () => {
    root.host.style.colorScheme = isDark() ? "dark" : "light";
    for (const { media } of darkRules) media.mediaText = isDark() ? "all" : "not all";
  };
  follow();
  const observer = new MutationObserver(follow);
  observer.observe(document.body, { attributes: true });
  return () => observer.disconnect();
}

class View {
  constructor(model) {
    this.model = model;
    this.form = model.get("form");
    const [content, ...styles] = this.form.names.map(shortName);
    const title = `${content} as ${joinNames(styles)}`;
    this.image = el("img", { alt: title });
    this.canvas = el("div", { class: "canvas" }, this.image);
    this.state = el("p", { class: "state", role: "status" });
    this.bar = el("progress", { max: 1, "aria-label": "Progress" });
    this.progressText = el("p", { class: "progress-text" });
    this.problem = el("p", { class: "problem", role: "alert" });
    this.startButton = button("Start", () => model.send({ type: "start" }), { class: "main" });
    this.stopButton = button("Stop", () => model.send({ type: "stop" }));
    this.saveButton = button("Download", () => this.requestFile());
    this.alpha = alphaControl({ id: "alpha", label: this.form.labels.alpha, usual: this.form.alpha_middle, onChange: (value) => this.set("alpha", value) });
    this.alphaStatus = el("p", { class: "help", role: "status" });
    this.fields = this.buildFields();
    this.chart = new LossChart();
    const header = el("header", { class: "row" }, el("h2", {}, title), this.state);
    const actions = el("div", { class: "row" }, this.startButton, this.stopButton, this.saveButton);
    const fields = el("div", { class: "fields" }, ...this.fields.map(({ name, input }) => this.labeled(name, input)));
    this.node = el(
      "div",
      { class: "widget" },
      el("div", { class: "left" }, header, this.canvas, this.bar, this.progressText, this.problem, actions),
      el("div", { class: "right" }, this.alpha.node, this.alphaStatus, fields, this.chart.node),
    );
  }

  buildFields() {
    const number = (attributes) => el("input", { type: "number", min: 1, step: 1, ...attributes });
    const select = (options) => el("select", {}, ...options.map(([value, title]) => el("option", { value, title }, value)));
    const fields = [
      { name: "preset", input: select(Object.entries(this.form.presets)) },
      { name: "size", input: number({ required: true }), isNumber: true },
      { name: "effort", input: select(this.form.efforts.map((value) => [value])) },
      { name: "iterations", input: number({ placeholder: "auto" }), isNumber: true },
    ].filter(({ name }) => name !== "size" || this.form.has_size);
    for (const { name, input, isNumber } of fields) {
      input.addEventListener("change", () => {
        if (input.checkValidity()) this.set(name, !isNumber ? input.value : input.value === "" ? null : Number(input.value));
      });
    }
    return fields;
  }

  labeled(name, input) {
    input.id = name;
    return el("div", { class: "field" }, el("label", { for: name }, this.form.labels[name] ?? "Preset"), input);
  }

  set(name, value) {
    this.model.set(name, value);
    this.model.save_changes();
  }

  /** Show all traits, then follow their changes. Returns a function that ends this. */
  follow() {
    const handlers = {
      "change:picture": () => this.showPicture(),
      "change:state": () => this.showState(),
      "change:progress": () => this.showProgress(),
      "change:losses": () => this.showLosses(),
      "change:error": () => (this.problem.textContent = this.model.get("error")),
      "change:alpha": () => this.showAlpha(),
      "change:form": () => this.showAlpha(),
      ...Object.fromEntries(this.fields.map((field) => [`change:${field.name}`, () => this.showField(field)])),
    };
    for (const [event, handler] of Object.entries(handlers)) {
      handler();
      this.model.on(event, handler);
    }
    const receive = (message, buffers) => this.receiveFile(message, buffers);
    this.model.on("msg:custom", receive);
    return () => {
      for (const [event, handler] of Object.entries(handlers)) this.model.off(event, handler);
      this.model.off("msg:custom", receive);
      URL.revokeObjectURL(this.image.src);
    };
  }

  /** Show the picture once it is decoded. The frame keeps its width: at coarse sizes the picture is small. */
  async showPicture() {
    const url = URL.createObjectURL(new Blob([this.model.get("picture")], { type: "image/jpeg" }));
    this.latestUrl = url;
    const image = new Image();
    image.src = url;
    await image.decode().catch(() => {});
    if (this.latestUrl !== url) return URL.revokeObjectURL(url); // a later one was faster
    URL.revokeObjectURL(this.image.src);
    this.image.src = url;
    this.canvas.style.setProperty("--aspect", image.naturalWidth / image.naturalHeight);
  }

  showState() {
    const state = this.model.get("state");
    const isActive = state === "painting" || state === "stopping";
    this.isActive = isActive;
    this.state.textContent = STATES[state];
    this.startButton.disabled = isActive;
    this.stopButton.disabled = state !== "painting";
    this.saveButton.disabled = state !== "done" && state !== "stopped";
    this.bar.hidden = !isActive;
    this.showProgress();
    this.showLosses();
  }

  showProgress() {
    const { step, steps, scale, scales, fraction, remaining_s: remaining, alpha } = this.model.get("progress");
    this.canvas.classList.toggle("no-preview", !step);
    this.bar.value = fraction ?? 0;
    if (!step) {
      this.progressText.textContent = this.isActive ? "Getting ready…" : "";
    } else {
      const [height, width] = scales[scale - 1];
      const sizes = scales.length > 1 ? ` (size ${scale} of ${scales.length})` : "";
      const parts = [`Step ${step} of ${steps}`, `${width} × ${height} px${sizes}`];
      if (this.isActive) parts.push(`${formatDuration(remaining)}\u00a0left`);
      this.progressText.textContent = parts.join(" · ");
    }
    const wanted = this.model.get("alpha");
    const isPending = this.isActive && step && alpha !== wanted;
    this.alphaStatus.textContent = isPending ? `α = ${formatNumber(wanted)} after the current step. Now: ${formatNumber(alpha)}.` : "";
  }

  showLosses() {
    const { step = [], ...curves } = this.model.get("losses");
    if (!step.length) this.chart.svg.replaceChildren();
    this.chart.setScales(this.model.get("progress").scales ?? [], this.isActive);
    this.chart.add(step.map((number, index) => ({ step: number, total: curves.total[index], content: curves.content[index], style: curves.style[index] })), true);
  }

  showAlpha() {
    this.alpha.set(this.model.get("alpha"), this.model.get("form").alpha_middle);
    this.showProgress();
  }

  showField({ name, input }) {
    input.value = this.model.get(name) ?? "";
  }

  requestFile() {
    this.request = crypto.randomUUID?.() ?? String(Math.random());
    this.model.send({ type: "save", id: this.request });
  }

  receiveFile({ type, id, name }, [data]) {
    if (type !== "file" || id !== this.request) return; // another view of this widget asked
    const url = URL.createObjectURL(new Blob([data]));
    el("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  }
}

function render({ model, el: host }) {
  const box = el("div", { "data-lm-suppress-shortcuts": "true" }); // JupyterLab's keys, such as D D, are not for this
  host.append(box);
  const root = box.attachShadow({ mode: "open" });
  const endStyle = addStyle(root);
  const view = new View(model);
  root.append(view.node);
  const endFollow = view.follow();
  return () => {
    endStyle();
    endFollow();
  };
}

export default { render };
