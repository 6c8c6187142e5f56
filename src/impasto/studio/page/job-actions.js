// The buttons below a job: download, use its settings, compare, pause, resume, cancel, retry, remove.

import { post, remove } from "./api.js";
import { button, el, openDialog } from "./dom.js";
import { fullTitle } from "./labels.js";

const FORMATS = { png: /^\.png$/, jpeg: /^\.jpe?g$/, webp: /^\.webp$/, tiff: /^\.tiff?$/, exr: /^\.exr$/ };

const ACTIONS = {
  queued: ["pause", "cancel"],
  running: ["pause", "cancel"],
  pausing: ["resume", "cancel"],
  paused: ["resume", "cancel"],
  cancelling: [],
  failed: ["retry", "remove"],
  cancelled: ["retry", "remove"],
  done: ["remove"],
};

const LABELS = { pause: "Pause", resume: "Resume", cancel: "Cancel", retry: "Retry", remove: "Remove" };

export class JobActions {
  /**
   * `formats` says of each format whether the studio writes it. `run` receives the promise of each request,
   * `onUseSettings` the job, `onCompare` the number of another job or null.
   */
  constructor({ formats, run, onUseSettings, onCompare }) {
    Object.assign(this, { formats, run, onUseSettings, onCompare, shown: null });
    this.node = el("div", { class: "row actions" });
  }

  /** Show the buttons of a job. `results` are other finished jobs, `other` the one it is compared with. */
  show(job, other, results) {
    const key = [job.id, job.state, other?.id, ...results.map(({ id }) => id)].join();
    if (key === this.shown) return;
    this.shown = key;
    const hadFocus = this.node.contains(document.activeElement);
    const isDone = job.state === "done";
    const actions = ACTIONS[job.state].map((name) => button(LABELS[name], () => this.perform(name, job), { class: name === "remove" ? "quiet" : "" }));
    const useSettings = button("Use these settings", () => this.onUseSettings(job), { class: isDone ? "" : "quiet" });
    const download = job.result && (job.video ? this.createClipDownload(job) : this.createDownload(job));
    if (isDone) this.node.replaceChildren(download, useSettings, ...this.createComparison(other, results), ...actions);
    else this.node.replaceChildren(...actions, ...(download ? [download] : []), useSettings);
    if (hadFocus) this.node.querySelector("a, button")?.focus();
  }

  perform(name, job) {
    if (name !== "remove") this.run(post(`/api/jobs/${job.id}/${name}`));
    else if (job.state === "done") this.confirmRemoval(job);
    else this.run(remove(`/api/jobs/${job.id}`));
  }

  confirmRemoval(job) {
    const dialog = openDialog(
      job.video ? "Remove this clip?" : "Remove this picture?",
      { class: "small" },
      el("p", {}, "It is deleted from the studio. Files that you downloaded stay."),
      el("div", { class: "row end" }, button("Keep", () => dialog.close()), button("Remove", () => {
        dialog.close();
        this.run(remove(`/api/jobs/${job.id}`));
      }, { class: "main" })),
    );
  }

  createDownload(job) {
    const link = el("a", { class: "button main", download: true }, "Download");
    const format = el("select", { "aria-label": "Format" }, ...Object.keys(FORMATS).map((name) => this.createFormat(name)));
    const update = () => (link.href = `/api/jobs/${job.id}/result?format=${format.value}`);
    const [stored = "png"] = Object.keys(FORMATS).filter((name) => FORMATS[name].test(job.result.suffix));
    format.value = stored; // in it nothing is converted, such as CMYK to RGB
    format.addEventListener("change", update);
    update();
    return el("span", { class: "button-group" }, link, format);
  }

  /** A format to choose. One that needs software which is missing says so, and cannot be chosen. */
  createFormat(name) {
    const isMissing = !this.formats[name];
    return el("option", { value: name, disabled: isMissing }, isMissing ? `${name.toUpperCase()} (needs impasto[${name}])` : name.toUpperCase());
  }

  /** A link to a clip, also to the frames before an error. */
  createClipDownload(job) {
    const text = job.state === "done" ? "Download" : `Download ${job.result.frames} frames`;
    return el("a", { class: "button main", download: true, href: `/api/jobs/${job.id}/result` }, text);
  }

  createComparison(other, results) {
    if (!results.length) return [];
    const select = el("select", { "aria-label": "Compare with", onchange: () => this.onCompare(Number(select.value) || null) });
    select.append(el("option", { value: "" }, other ? "Stop comparing" : "Compare with…"));
    for (const result of results) select.append(el("option", { value: result.id }, fullTitle(result)));
    select.value = other?.id ?? "";
    return [select];
  }
}
