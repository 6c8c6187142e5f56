// The queue as a list, and finished pictures as a gallery, newest first.

import { el } from "./dom.js";
import { fullTitle, jobTitle, stateLabel } from "./labels.js";

export class Gallery {
  constructor(host) {
    this.queue = el("ol", { class: "queue" });
    this.pictures = el("ul", { class: "gallery" });
    this.queueSection = el("section", { "aria-labelledby": "queue-title", hidden: true }, el("h2", { id: "queue-title" }, "Queue"), this.queue);
    this.gallerySection = el("section", { "aria-labelledby": "gallery-title", hidden: true }, el("h2", { id: "gallery-title" }, "Gallery"), this.pictures);
    this.items = new Map();
    host.append(this.queueSection, this.gallerySection);
  }

  show(jobs, selected) {
    for (const [number, item] of this.items) {
      if (jobs.has(number)) continue;
      item.node.remove();
      this.items.delete(number);
    }
    for (const job of jobs.values()) this.showJob(job);
    for (const { node, job } of this.items.values()) {
      const link = node.firstElementChild;
      if (job.id === selected) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    this.queueSection.hidden = !this.queue.children.length;
    this.gallerySection.hidden = !this.pictures.children.length;
  }

  showJob(job) {
    const item = this.items.get(job.id);
    if (item?.job === job) return;
    const isDone = job.state === "done";
    if (item && (item.job.state === "done") === isDone) {
      item.job = job;
      item.update?.(job);
      return;
    }
    item?.node.remove();
    const created = isDone ? this.createPicture(job) : this.createEntry(job);
    this.items.set(job.id, created);
    this.insert(created, isDone ? this.pictures : this.queue);
  }

  /** Insert an item: the queue has the oldest job first, the gallery the newest. */
  insert(item, list) {
    const comesAfter = list === this.pictures ? (id) => id < item.job.id : (id) => id > item.job.id;
    const next = [...list.children].find((node) => comesAfter(Number(node.dataset.job)));
    list.insertBefore(item.node, next ?? null);
  }

  createPicture(job) {
    const label = fullTitle(job);
    const image = el("img", { src: `/api/jobs/${job.id}/thumbnail?side=384`, alt: job.video ? `${label}, clip` : label, loading: "lazy", decoding: "async", width: job.result.width, height: job.result.height });
    const play = job.video && el("span", { class: "play-sign", "aria-hidden": "true" });
    const node = el("li", { "data-job": job.id }, el("a", { href: `#job=${job.id}`, title: label }, image, play));
    return { node, job };
  }

  createEntry(job) {
    const state = el("span", { class: "state" });
    const bar = el("progress", { max: 1, "aria-hidden": "true" }); // the text beside it says the same
    const link = el("a", { href: `#job=${job.id}` }, el("span", { class: "name" }, jobTitle(job)), state, bar);
    const node = el("li", { "data-job": job.id }, link);
    const update = (current) => {
      state.textContent = stateLabel(current) + (current.state === "running" ? ` ${Math.floor(100 * current.progress)} %` : "");
      bar.value = current.progress;
      node.dataset.state = current.state;
    };
    update(job);
    return { node, job, update };
  }
}
