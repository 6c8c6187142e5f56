// The view of one job: its preview, its result, or its result beside another one. Without a job, the pictures to start with.

import { alphaControl, middleOf } from "./alpha.js";
import { get, post } from "./api.js";
import { beforeAfter } from "./before-after.js";
import { clipPlayer } from "./clip-player.js";
import { sideBySide } from "./compare.js";
import { button, el, formatNumber } from "./dom.js";
import { JobActions } from "./job-actions.js";
import { formatClock, formatDuration, formatTime, fullTitle, inputsOfKind, jobTitle, optionLabel, shortName, stateLabel, withLabels } from "./labels.js";
import { LossChart } from "./loss-chart.js";
import { viewPanorama } from "./panorama.js";
import { frameUrl, SMALL_PX, thumbnailUrl } from "./picture-refs.js";

const ACTIVE = new Set(["queued", "running", "pausing", "paused", "cancelling"]);
const [NORMAL_PX, LARGE_PX, PANORAMA_PX, PREVIEW_PX] = [1024, 2048, 4096, 640];
const LARGE_FROM_PX = 1100; // a frame of more device pixels gets a large result

const WAITING_TEXTS = { queued: "It starts when the jobs before it are done.", running: "Getting ready…" };

/** The photo of a job, or its clip. */
const contentOf = (job) => ({ ...inputsOfKind(job.inputs, "content")[0], isClip: job.video !== null });

const resultUrl = (job, side) => `/api/jobs/${job.id}/thumbnail?side=${side}`;

/** An image that shows a small copy until the large one is loaded: a sample painting may still have to be drawn. */
function sharpeningImage(picture, alt) {
  const image = el("img", { src: thumbnailUrl(picture, SMALL_PX), alt });
  const large = el("img", { src: thumbnailUrl(picture, NORMAL_PX) });
  large.decode().then(() => (image.src = large.src), () => {});
  return image;
}

export class JobView {
  /** `formats` are those of a download, `onUseSettings` receives a job, `results` returns all finished jobs, `go(id, other)` shows a job, alone or beside another. */
  constructor(host, { formats, onUseSettings, results, go, usualAlpha }) {
    Object.assign(this, { host, results, usualAlpha, job: null, other: null });
    this.actions = new JobActions({
      formats,
      run: (request) => this.run(request),
      onUseSettings,
      onCompare: (other) => go(this.job.id, other),
    });
  }

  /** Show the pictures of the form, before anything is painted. */
  showStart(pictures) {
    if (this.job !== null) this.chart = null;
    this.job = null;
    this.host.classList.remove("active", "is-clip");
    const figure = (picture) => {
      const name = shortName(picture.name);
      return el("figure", {}, el("div", { class: "canvas" }, sharpeningImage(picture, name)), el("figcaption", {}, name));
    };
    const what = pictures.clip ? "clip will be painted, frame by frame," : "photo will be painted";
    const styles = pictures.styles.map(({ picture }) => figure(picture));
    this.host.replaceChildren(
      el("div", { class: "start-pictures" }, figure(pictures.content), el("div", { class: "styles", "data-count": styles.length }, ...styles)),
      el("p", { class: "hint" }, `The ${what} in the style of the painting${styles.length > 1 ? "s" : ""}. Drop or paste your own pictures, or a clip, anywhere.`),
    );
  }

  /** Show a job, alone or beside another one. */
  show(job, other) {
    if (this.job?.id !== job.id || !this.chart) {
      this.chart = new LossChart();
      this.previewUrl = null;
    }
    Object.assign(this, { job, other });
    this.state = el("p", { class: "state" });
    this.frame = el("div", { class: "frame" });
    this.bar = el("progress", { max: 1, "aria-label": "Progress" });
    this.progressText = el("p", { class: "progress-text" });
    this.problem = el("p", { class: "problem", role: "alert" });
    this.alphaNode = el("div", { class: "alpha-change" });
    this.settings = el("details", { class: "settings" }, el("summary", {}, "Settings"));
    const header = el("header", {}, el("h2", {}, jobTitle(job)), this.state);
    this.host.replaceChildren(
      el("div", { class: "picture" }, header, this.frame, this.bar, this.progressText, this.problem, this.actions.node),
      el("div", { class: "sidebar" }, this.alphaNode, job.video ? "" : this.chart.node, this.settings),
    );
    this.frameKey = this.actions.shown = null;
    this.update(job);
  }

  /** Show a new state of the same job. */
  update(job) {
    const before = this.job;
    this.job = job;
    const isActive = ACTIVE.has(job.state);
    this.state.textContent = stateLabel(job);
    this.bar.hidden = !isActive;
    this.bar.value = job.progress;
    this.progressText.textContent = this.describeProgress(job);
    if (job.state === "failed") this.problem.textContent = withLabels(job.error ?? "");
    else if (before.state !== job.state) this.problem.textContent = "";
    this.host.classList.toggle("active", isActive);
    this.host.classList.toggle("is-clip", job.video !== null);
    this.chart.setScales(job.scales, isActive);
    this.updateFrame(job);
    this.actions.show(job, this.other, job.state === "done" && !job.video ? this.results().filter(({ id, video }) => id !== job.id && !video) : []);
    this.updateAlpha(job);
    this.updateSettings(job);
  }

  describeProgress(job) {
    if (job.state === "done") {
      const { width, height, seconds, frames, duration_s: length } = job.result;
      const extent = frames ? `, ${frames} frames, ${formatClock(length)}, painted in` : ",";
      return `${width} × ${height} px${extent} ${formatDuration(seconds)}`;
    }
    if (job.frames) return this.describeFrames(job);
    if (!job.scales.length) return WAITING_TEXTS[job.state] ?? "";
    const total = job.scales.reduce((sum, [, , steps]) => sum + steps, 0);
    let rest = job.step;
    const index = job.scales.findIndex(([, , steps]) => (rest -= steps) < 0);
    const number = index < 0 ? job.scales.length : index + 1;
    const [height, width] = job.scales[number - 1];
    const sizes = job.scales.length > 1 ? ` (size ${number} of ${job.scales.length})` : "";
    const parts = [`Step ${job.step} of ${total}`, `${width} × ${height} px${sizes}`];
    if (job.remaining_s !== null) parts.push(`${formatDuration(job.remaining_s)}\u00a0left`);
    return parts.join(" · ");
  }

  describeFrames({ state, frames: [done, count], remaining_s: remaining, elapsed_s: elapsed }) {
    if (!done && !elapsed) return `${count} frames. ${WAITING_TEXTS[state] ?? ""}`;
    const text = done < count ? `Frame ${done + 1} of ${count}` : `${count} frames. Writing the clip…`;
    return remaining === null || done === count ? text : `${text} · about ${formatDuration(remaining)}\u00a0left`;
  }

  updateFrame(job) {
    const key = job.state === "done" ? `done-${this.other?.id}` : "preview";
    if (key === this.frameKey) return;
    this.frameKey = key;
    if (key === "preview") this.showPreviewFrame(job);
    else if (job.video) this.showClip(job);
    else if (this.other) this.showComparison(job, this.other);
    else this.showResult(job);
  }

  showPreviewFrame(job) {
    const content = contentOf(job);
    this.image = el("img", { src: this.previewUrl ?? thumbnailUrl(content, PREVIEW_PX), alt: `${jobTitle(job)}, preview` });
    const canvas = el("div", { class: "canvas preview" }, this.image);
    canvas.classList.toggle("no-preview", !this.previewUrl);
    this.image.addEventListener("load", () => this.setAspect(this.image.naturalWidth, this.image.naturalHeight), { once: true });
    this.frame.replaceChildren(canvas);
  }

  /** Set the aspect ratio of the frame, which everything below follows in width. */
  setAspect(width, height) {
    this.host.style.setProperty("--aspect", width / height);
  }

  /** Show a preview that has been loaded. */
  showPreview(url) {
    this.previewUrl = url;
    if (this.frameKey !== "preview") return;
    this.image.src = url;
    this.image.parentNode.classList.remove("no-preview");
  }

  async showResult(job) {
    const side = this.frame.clientWidth * devicePixelRatio > LARGE_FROM_PX ? LARGE_PX : NORMAL_PX;
    const image = new Image();
    image.src = resultUrl(job, side);
    await image.decode().catch(() => {});
    if (this.job.id !== job.id || this.other) return;
    const [content] = inputsOfKind(job.inputs, "content");
    this.setAspect(job.result.width, job.result.height);
    const labels = { before: "The photo", after: jobTitle(job) };
    const flat = beforeAfter({ before: thumbnailUrl(content, side), after: image.src, labels });
    this.frame.replaceChildren(...(job.config.panorama ? this.panoramaViews(job, flat) : [flat]));
  }

  /** Show a finished clip beside the original. */
  async showClip(job) {
    const content = contentOf(job);
    const clip = await get(`/api/clips/${content.sha256}`).catch(() => null);
    if (this.job.id !== job.id) return;
    const { width, height, duration_s: duration, frames: frameCount } = job.result;
    this.setAspect(2 * width, height);
    const player = clipPlayer({
      original: { src: `/api/clips/${content.sha256}/video`, poster: frameUrl(content, 0, NORMAL_PX), label: shortName(content.name) },
      painted: { src: `/api/jobs/${job.id}/video`, poster: resultUrl(job, NORMAL_PX), label: jobTitle(job) },
      start: Number(job.video.start ?? 0),
      duration,
      frameCount,
      hasSound: clip?.sound ?? false,
      isLoop: job.video.loop ?? false,
      isCopied: clip?.copied ?? false,
    });
    player.style.setProperty("--aspect", width / height);
    this.frame.replaceChildren(player);
  }

  /** Return a view of a panorama to turn, and a button that shows it flat. */
  panoramaViews(job, flat) {
    const around = el("div", { class: "canvas" }, viewPanorama(el("img", { src: resultUrl(job, PANORAMA_PX) }), jobTitle(job)));
    const toggle = button("Show it flat", () => {
      flat.hidden = !flat.hidden;
      around.hidden = !flat.hidden;
      toggle.textContent = flat.hidden ? "Show it flat" : "Look around";
    });
    flat.hidden = true;
    return [around, flat, el("div", { class: "row middle" }, toggle)];
  }

  showComparison(job, other) {
    const different = Object.keys(job.config).filter((name) => name !== "alpha" && job.config[name] !== other.config[name]);
    const toPicture = (each) => ({
      src: resultUrl(each, LARGE_PX),
      alt: jobTitle(each),
      caption: [fullTitle(each), ...different.map((name) => `${optionLabel(name)} ${each.config[name] ?? "auto"}`)].join(", "),
      width: each.result.width,
      height: each.result.height,
    });
    this.setAspect(4, 1);
    this.frame.replaceChildren(sideBySide([job, other].map(toPicture)));
  }

  async run(request) {
    this.problem.textContent = "";
    try {
      await request;
    } catch (error) {
      this.problem.textContent = error.message;
    }
  }

  /** Show α of a running job, and a value that was requested but does not apply yet. */
  updateAlpha(job) {
    this.alphaNode.hidden = !ACTIVE.has(job.state) || job.state === "cancelling" || job.video !== null;
    if (this.alphaNode.hidden) return;
    const current = job.alphas.at(-1);
    if (!this.alphaNode.firstChild) {
      this.alpha = alphaControl({ id: "change-alpha", label: "Change α of this run", usual: this.usualAlpha, onChange: (alpha) => this.requestAlpha(alpha) });
      this.alpha.set(current, middleOf(job.config, this.usualAlpha));
      this.alphaStatus = el("p", { class: "help", role: "status" });
      this.alphaNode.append(this.alpha.node, this.alphaStatus);
      this.shownAlpha = current;
    }
    const text = this.describeAlpha(job);
    if (text !== this.alphaStatus.textContent) this.alphaStatus.textContent = text;
    const isEditing = this.alphaNode.contains(document.activeElement);
    if (current !== this.shownAlpha && job.requested_alpha === null && !isEditing) this.alpha.set(current);
    this.shownAlpha = current;
  }

  describeAlpha({ alphas, requested_alpha: requested }) {
    const current = formatNumber(alphas.at(-1));
    if (requested !== null) return `α = ${formatNumber(requested)} after the current step. Now: ${current}.`;
    if (alphas.length < 2) return "";
    return `Now: ${current}. Before: ${alphas.slice(0, -1).map((alpha) => formatNumber(alpha)).join(", ")}.`;
  }

  requestAlpha(alpha) {
    this.alphaStatus.textContent = `Requesting α = ${formatNumber(alpha)}…`;
    this.run(post(`/api/jobs/${this.job.id}/alpha`, { alpha }));
  }

  updateSettings(job) {
    const key = `${job.id}/${job.alphas}`;
    if (this.settingsKey === key && this.settings.childElementCount > 1) return;
    this.settingsKey = key;
    const alphas = job.alphas.map((alpha) => formatNumber(alpha, 6)).join(", then ");
    const rows = [
      ...job.inputs.map(({ role, name }) => [optionLabel(role), shortName(name)]),
      ["submitted", formatTime(job.created_s)],
      ...Object.entries(job.video ?? {}).map(([name, value]) => [optionLabel(name), String(value) || "none"]),
      ...Object.entries(job.config).map(([name, value]) => [optionLabel(name), name === "alpha" ? alphas : String(value ?? "auto")]),
    ];
    const table = el("table", {}, el("tbody", {}, ...rows.map(([name, value]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, value)))));
    this.settings.replaceChildren(this.settings.firstChild, table);
  }
}
