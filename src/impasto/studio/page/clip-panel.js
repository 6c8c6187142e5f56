// The clip that is chosen: its shots as a strip, and a slider to choose the frame to try.

import { get, post } from "./api.js";
import { button, el } from "./dom.js";
import { formatClock } from "./labels.js";
import { frameUrl } from "./picture-refs.js";

const POLL_MS = 1000;
const STRIP_PX = 192;

export const describeClip = ({ width, height, duration_s: seconds, rate, sound }) =>
  `${width} × ${height} · ${formatClock(seconds)} · ${Number(rate.toFixed(2))} fps${sound ? " · sound" : ""}`;

export class ClipPanel {
  /** `onFrame` receives each chosen frame, stored as a picture, and `onPreview` the URL of a frame while the slider moves. */
  constructor({ onFrame, onPreview, onShots }) {
    Object.assign(this, { onFrame, onPreview, onShots, clip: null, shots: [], number: 0 });
    this.strip = el("ol", { class: "shots", "aria-label": "Shots" });
    this.bar = el("progress", { max: 1, "aria-label": "Finding the shots" });
    this.status = el("p", { class: "help", role: "status" });
    this.problem = el("p", { class: "problem", role: "alert" });
    this.slider = el("input", { type: "range", id: "clip-frame", min: 0, step: 1 });
    this.time = el("span", { class: "time" });
    this.slider.addEventListener("input", () => this.preview(Number(this.slider.value)));
    this.slider.addEventListener("change", () => this.choose(Number(this.slider.value)));
    const label = el("div", { class: "row spread" }, el("label", { for: "clip-frame" }, "Frame to try"), this.time);
    this.node = el("div", { class: "clip", hidden: true }, this.strip, this.bar, this.status, this.problem, label, this.slider);
  }

  /** Show a clip, or none. Its frame `number` is stored before this returns. */
  async show(clip, number = 0) {
    clearTimeout(this.timer);
    Object.assign(this, { clip, shots: [] });
    this.node.hidden = clip === null;
    this.strip.replaceChildren();
    this.status.textContent = this.problem.textContent = "";
    this.bar.hidden = true;
    if (clip === null) return;
    this.slider.max = clip.frame_count - 1;
    this.problem.textContent = clip.note;
    await this.choose(number);
    this.findShots(clip);
  }

  /** Ask for the shots until they are found. */
  async findShots(clip) {
    try {
      const found = await get(`/api/clips/${clip.sha256}/shots`);
      if (this.clip !== clip) return;
      this.bar.hidden = found.complete;
      this.bar.value = found.frames_done / clip.frame_count;
      this.status.textContent = found.complete ? "" : `Finding the shots: frame ${found.frames_done} of ${clip.frame_count}`;
      if (found.complete) this.showShots(found);
      else this.timer = setTimeout(() => this.findShots(clip), POLL_MS);
    } catch (error) {
      if (this.clip !== clip) return;
      this.bar.hidden = true;
      this.status.textContent = "";
      this.problem.textContent = error.message;
    }
  }

  showShots({ shots, problem }) {
    this.shots = shots;
    const total = `${shots.length} shot${shots.length === 1 ? "" : "s"}`;
    this.status.textContent = `${total}. Click one to try its first frame.`;
    if (problem) this.problem.textContent = shots.length ? `${problem} The clip can be painted until there.` : problem;
    const items = shots.map((shot, index) => {
      const image = el("img", { src: frameUrl(this.clip, shot.first, STRIP_PX), alt: "", loading: "lazy" });
      const label = `Shot ${index + 1}, from ${formatClock(shot.start_s)} to ${formatClock(shot.end_s)}`;
      return el("li", {}, button("", () => this.choose(shot.first), { "aria-label": label, title: label }, image, el("span", {}, formatClock(shot.start_s))));
    });
    this.strip.replaceChildren(...items);
    this.markShot();
    this.onShots(shots, problem);
  }

  markShot() {
    this.shots.forEach((shot, index) => {
      const isCurrent = this.number >= shot.first && this.number <= shot.last;
      this.strip.children[index].firstChild.setAttribute("aria-pressed", isCurrent);
    });
  }

  showNumber(number) {
    this.number = number;
    const seconds = (number * this.clip.duration_s) / this.clip.frame_count;
    this.time.textContent = `${formatClock(seconds)} · ${number + 1} of ${this.clip.frame_count}`;
    this.slider.value = number;
    this.slider.setAttribute("aria-valuetext", `Frame ${number + 1} of ${this.clip.frame_count}, at ${formatClock(seconds)}`);
    this.markShot();
  }

  /** Show a frame while the slider moves. Frames are loaded one at a time; those in between are skipped. */
  async preview(number) {
    this.showNumber(number);
    if (this.loading) return;
    this.loading = true;
    for (let shown = null; shown !== this.number; ) {
      shown = this.number;
      const image = new Image();
      image.src = frameUrl(this.clip, shown, STRIP_PX);
      await image.decode().then(() => this.onPreview(image.src), () => {});
    }
    this.loading = false;
  }

  /** Choose the frame to try. */
  async choose(number) {
    const { clip } = this;
    this.showNumber(number);
    try {
      const picture = await post(`/api/clips/${clip.sha256}/frames/${number}?name=${encodeURIComponent(clip.name)}`);
      if (this.clip === clip && this.number === number) this.onFrame(picture);
    } catch (error) {
      this.problem.textContent = error.message;
    }
  }
}
