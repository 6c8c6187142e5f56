// The picture that is looked at: while it is painted, when it is finished, beside another one.

import { alphaControl, middleOf } from "./alpha.js";
import { post, remove } from "./api.js";
import { sideBySide } from "./compare.js";
import { Curves } from "./curves.js";
import { button, dialog, el, say, short } from "./dom.js";
import { look } from "./pictures.js";
import { beforeAfter } from "./slider.js";
import { ago, duration, ofKind, shortName, stateWord, title, titleOf } from "./words.js";

const FORMATS = ["png", "jpeg", "webp", "tiff"];
const UNDER_WAY = new Set(["queued", "running", "pausing", "paused", "cancelling"]);
const MOST_SIDE = 2048;

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

const BEFORE = { queued: "It begins when those before it are done.", running: "Getting ready…" };

const sideFor = (host) => (host.clientWidth * devicePixelRatio > 1100 ? MOST_SIDE : 1024);

const resultLook = (job, side) => `/api/jobs/${job.id}/thumbnail?side=${side}`;

const named = (text) => text[0].toUpperCase() + text.slice(1);

export class Stage {
  /** `recall` is given a job; `others` tells of the results; `go` leads to a job, beside another one or alone. */
  constructor(host, { recall, others, go }) {
    Object.assign(this, { host, recall, others, go, job: null, beside: null });
  }

  /** Nothing is painted yet: the photo, and the paintings. */
  showNew(pictures) {
    if (this.job !== null) this.curves = null;
    this.job = null;
    this.host.classList.remove("under-way");
    const framed = (picture, words) =>
      el("figure", {}, el("div", { class: "canvas" }, el("img", { src: look(picture, 1024), alt: shortName(picture.name) })), el("figcaption", {}, words));
    const styles = pictures.styles.map(({ picture }) => framed(picture, shortName(picture.name)));
    const photo = framed(pictures.content, shortName(pictures.content.name));
    this.host.replaceChildren(
      el("div", { class: "pair" }, photo, el("div", { class: "styles", "data-count": styles.length }, ...styles)),
      el("p", { class: "hint" }, `The photo will be painted in the manner of the painting${styles.length > 1 ? "s" : ""}. Drop or paste your own pictures anywhere.`),
    );
  }

  /** Another job, or the same beside another one. */
  show(job, beside) {
    if (this.job?.id !== job.id || !this.curves) {
      this.curves = new Curves();
      this.preview = null;
    }
    this.job = job;
    this.beside = beside;
    this.heading = el("h2", {}, title(job));
    this.state = el("p", { class: "state" });
    this.frame = el("div", { class: "frame" });
    this.bar = el("progress", { max: 1, "aria-label": "Progress" });
    this.told = el("p", { class: "told" });
    this.problem = el("p", { class: "problem", role: "alert" });
    this.actions = el("div", { class: "row actions" });
    this.turn = el("div", { class: "turn" });
    this.facts = el("details", { class: "facts" }, el("summary", {}, "Settings"));
    this.host.replaceChildren(
      el("div", { class: "picture" }, el("header", {}, this.heading, this.state), this.frame, this.bar, this.told, this.problem, this.actions),
      el("div", { class: "beside" }, this.turn, this.curves.node, this.facts),
    );
    this.kind = this.buttons = null;
    this.update(job);
  }

  /** The same job, as it stands now. */
  update(job) {
    const before = this.job;
    this.job = job;
    this.state.textContent = stateWord(job);
    this.bar.hidden = !UNDER_WAY.has(job.state);
    this.bar.value = job.progress;
    this.told.textContent = this.standing(job);
    if (job.state === "failed") this.problem.textContent = job.error ?? "";
    else if (before.state !== job.state) this.problem.textContent = "";
    this.host.classList.toggle("under-way", UNDER_WAY.has(job.state));
    this.curves.expect(job.scales, UNDER_WAY.has(job.state));
    this.showFrame(job);
    this.showActions(job);
    this.showTurn(job);
  }

  standing(job) {
    if (job.state === "done") {
      const { width, height, seconds } = job.result;
      return `${width} × ${height} px, ${duration(seconds)}`;
    }
    if (!job.scales.length) return BEFORE[job.state] ?? "";
    const total = job.scales.reduce((sum, [, , steps]) => sum + steps, 0);
    let left = job.step;
    const at = job.scales.findIndex(([, , steps]) => (left -= steps) < 0);
    const number = at < 0 ? job.scales.length : at + 1;
    const [height, width] = job.scales[number - 1];
    const several = job.scales.length > 1 ? ` (size ${number} of ${job.scales.length})` : "";
    const parts = [`Step ${job.step} of ${total}`, `${width} × ${height} px${several}`];
    if (job.remaining_s !== null) parts.push(`${duration(job.remaining_s)}\u00a0left`);
    return parts.join(" · ");
  }

  showFrame(job) {
    const kind = job.state === "done" ? `done-${this.beside?.id}` : "live";
    if (kind === this.kind) return;
    this.kind = kind;
    if (kind === "live") this.showLive(job);
    else if (this.beside) this.showBeside(job, this.beside);
    else this.showResult(job);
  }

  showLive(job) {
    const [content] = ofKind(job.inputs, "content");
    this.image = el("img", { src: this.preview ?? look(content, 640), alt: `${title(job)}, as it is now` });
    const canvas = el("div", { class: "canvas live" }, this.image);
    canvas.classList.toggle("bare", !this.preview);
    this.image.addEventListener("load", () => this.shape(this.image.naturalWidth, this.image.naturalHeight), { once: true });
    this.frame.replaceChildren(canvas);
  }

  /** All that belongs to a picture is as wide as it. */
  shape(width, height) {
    this.host.style.setProperty("--aspect", width / height);
  }

  /** A look that was just loaded. */
  look(url) {
    this.preview = url;
    if (this.kind !== "live") return;
    this.image.src = url;
    this.image.parentNode.classList.remove("bare");
  }

  async showResult(job) {
    const side = sideFor(this.frame);
    const after = resultLook(job, side);
    const image = new Image();
    image.src = after;
    await image.decode().catch(() => {});
    if (this.job.id !== job.id || this.beside) return;
    const [content] = ofKind(job.inputs, "content");
    this.shape(job.result.width, job.result.height);
    this.frame.replaceChildren(beforeAfter({ before: look(content, side), after, words: { before: "The photo", after: title(job) } }));
  }

  showBeside(job, other) {
    const differ = Object.keys(job.config).filter((name) => name !== "alpha" && job.config[name] !== other.config[name]);
    const picture = (each) => ({
      src: resultLook(each, MOST_SIDE),
      alt: title(each),
      words: [titleOf(each), ...differ.map((name) => `${name.replaceAll("_", " ")} ${each.config[name]}`)].join(", "),
      width: each.result.width,
      height: each.result.height,
    });
    this.shape(4, 1);
    this.frame.replaceChildren(sideBySide([job, other].map(picture)));
  }

  showActions(job) {
    const others = job.state === "done" ? this.others().filter((other) => other.id !== job.id) : [];
    const wanted = [job.state, this.beside?.id, ...others.map(({ id }) => id)].join();
    if (wanted === this.buttons) return;
    this.buttons = wanted;
    const focused = this.actions.contains(document.activeElement);
    const run = { remove: () => this.remove() };
    const names = ACTIONS[job.state].map((name) =>
      button(named(name), run[name] ?? (() => this.act(post(`/api/jobs/${job.id}/${name}`))), { class: name === "remove" ? "quiet" : "" }),
    );
    const again = button("Use these settings", () => this.recall(job), { class: job.state === "done" ? "" : "quiet" });
    const finished = job.state === "done" ? this.downloads(job) : [];
    this.actions.replaceChildren(...finished, ...(finished.length ? [again, ...this.comparing(others), ...names] : [...names, again]));
    if (focused) this.actions.querySelector("a, button")?.focus();
  }

  downloads(job) {
    const link = el("a", { class: "button main", download: true }, "Download");
    const format = el("select", { "aria-label": "Format" }, ...FORMATS.map((name) => el("option", { value: name }, name.toUpperCase())));
    const aim = () => (link.href = `/api/jobs/${job.id}/result?format=${format.value}`);
    format.addEventListener("change", aim);
    aim();
    return [el("span", { class: "joined" }, link, format)];
  }

  comparing(others) {
    if (!others.length) return [];
    const choice = el("select", { "aria-label": "Compare with", onchange: () => this.go(this.job.id, Number(choice.value) || null) });
    choice.append(el("option", { value: "" }, this.beside ? "Stop comparing" : "Compare with…"));
    for (const other of others) choice.append(el("option", { value: other.id }, titleOf(other)));
    choice.value = this.beside?.id ?? "";
    return [choice];
  }

  async act(promise) {
    this.problem.textContent = "";
    try {
      await promise;
    } catch (error) {
      this.problem.textContent = error.message;
    }
  }

  remove() {
    const { id, state } = this.job;
    const gone = () => this.act(remove(`/api/jobs/${id}`));
    if (state !== "done") return gone();
    const box = dialog(
      "Remove this picture?",
      { class: "small" },
      el("p", {}, "It is deleted from the studio. What was downloaded stays."),
      el("div", { class: "row end" }, button("Keep", () => box.close()), button("Remove", () => {
        box.close();
        gone();
      }, { class: "main" })),
    );
    return undefined;
  }

  /** α while it is painted: what was asked, and what goes. */
  showTurn(job) {
    this.turn.hidden = !UNDER_WAY.has(job.state) || job.state === "cancelling";
    this.showFacts(job);
    if (this.turn.hidden) return;
    const now = job.alphas.at(-1);
    if (!this.turn.firstChild) {
      this.steer = alphaControl({ id: "turn", label: "α, while it is painted", settled: (alpha) => this.ask(alpha) });
      this.steer.set(now, middleOf(job.config));
      this.answer = el("p", { class: "help", role: "status" });
      this.turn.append(this.steer.node, this.answer);
      this.acknowledged = now;
    }
    const answer = job.requested_alpha !== null ? `Asked for ${short(job.requested_alpha)}; it is ${short(now)} until the next step.` : job.alphas.length > 1 ? `It is ${short(now)}; it was ${job.alphas.slice(0, -1).map((alpha) => short(alpha)).join(", ")}.` : "";
    if (answer !== this.answer.textContent) this.answer.textContent = answer;
    if (now !== this.acknowledged && job.requested_alpha === null && !this.turn.contains(document.activeElement)) this.steer.set(now);
    this.acknowledged = now;
  }

  ask(alpha) {
    this.answer.textContent = `Asked for ${short(alpha)}.`;
    this.act(post(`/api/jobs/${this.job.id}/alpha`, { alpha }));
  }

  showFacts(job) {
    const key = `${job.id}/${job.alphas}`;
    if (this.factsOf === key && this.facts.childElementCount > 1) return;
    this.factsOf = key;
    const rows = [
      ...job.inputs.map(({ role, name }) => [role.replaceAll("_", " "), shortName(name)]),
      ["asked for", ago(job.created_s)],
      ...Object.entries(job.config).map(([name, value]) => [name.replaceAll("_", " "), name === "alpha" ? job.alphas.map((alpha) => short(alpha, 6)).join(", then ") : String(value)]),
    ];
    const table = el("table", {}, el("tbody", {}, ...rows.map(([name, value]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, value)))));
    this.facts.replaceChildren(this.facts.firstChild, table);
  }
}
