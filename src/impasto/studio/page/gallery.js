// What waits, what is painted and what was: the queue as a list, results as a wall of pictures, the newest first.

import { el } from "./dom.js";
import { stateWord, title, titleOf } from "./words.js";

export class Gallery {
  constructor(host) {
    this.queue = el("ol", { class: "queue" });
    this.wall = el("ul", { class: "wall" });
    this.queued = el("section", { "aria-labelledby": "queue-title", hidden: true }, el("h2", { id: "queue-title" }, "Queue"), this.queue);
    this.done = el("section", { "aria-labelledby": "gallery-title", hidden: true }, el("h2", { id: "gallery-title" }, "Gallery"), this.wall);
    this.items = new Map();
    host.append(this.queued, this.done);
  }

  show(jobs, selected) {
    for (const [number, item] of this.items) {
      if (jobs.has(number)) continue;
      item.node.remove();
      this.items.delete(number);
    }
    for (const job of jobs.values()) {
      const item = this.items.get(job.id);
      if (item?.job === job) continue;
      if (item && (item.job.state === "done") === (job.state === "done")) {
        item.job = job;
        item.update?.(job);
        continue;
      }
      item?.node.remove();
      const made = job.state === "done" ? this.picture(job) : this.waiting(job);
      this.items.set(job.id, made);
      this.place(made, job.state === "done" ? this.wall : this.queue);
    }
    for (const { node, job } of this.items.values()) {
      const link = node.firstElementChild;
      if (job.id === selected) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    this.queued.hidden = !this.queue.children.length;
    this.done.hidden = !this.wall.children.length;
  }

  /** Results: the newest first. What waits: in the order of the queue. */
  place(item, list) {
    const before = list === this.wall ? (other) => other < item.job.id : (other) => other > item.job.id;
    const next = [...list.children].find((node) => before(Number(node.dataset.job)));
    list.insertBefore(item.node, next ?? null);
  }

  picture(job) {
    const words = titleOf(job);
    const image = el("img", { src: `/api/jobs/${job.id}/thumbnail?side=384`, alt: words, loading: "lazy", decoding: "async", width: job.result.width, height: job.result.height });
    const node = el("li", { "data-job": job.id }, el("a", { href: `#job=${job.id}`, title: words }, image));
    return { node, job };
  }

  waiting(job) {
    const state = el("span", { class: "state" });
    const bar = el("progress", { max: 1, "aria-hidden": "true" }); // the words beside it say as much
    const link = el("a", { href: `#job=${job.id}` }, el("span", { class: "name" }, title(job)), state, bar);
    const update = (now) => {
      state.textContent = stateWord(now) + (now.state === "running" ? ` ${Math.floor(100 * now.progress)} %` : "");
      bar.value = now.progress;
      node.dataset.state = now.state;
    };
    const node = el("li", { "data-job": job.id }, link);
    update(job);
    return { node, job, update };
  }
}
