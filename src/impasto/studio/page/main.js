// The page put together: what is asked for on one side, what is painted on the other, and the stream between them.

import { get, post } from "./api.js";
import { byId, say } from "./dom.js";
import { Form } from "./form.js";
import { Gallery } from "./gallery.js";
import { Live } from "./live.js";
import { Pictures } from "./pictures.js";
import { Stage } from "./stage.js";
import { kindOf, shortName, stateWord, title } from "./words.js";

const ACTIVE = new Set(["queued", "running", "pausing", "paused"]);

const jobs = new Map();
let started = false;
let pictures = null;
const problem = byId("problem");
const underWay = byId("under-way");

/** Which job the address tells of, and beside which other one. */
function selection() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const number = (name) => Number(asked.get(name)) || null;
  return { id: number("job"), beside: number("with") };
}

function go(id, beside = null) {
  location.hash = id === null ? "" : `job=${id}${beside === null ? "" : `&with=${beside}`}`;
}

/** Where the picture is not in sight, go to it. */
function toStage() {
  const { top } = byId("stage").getBoundingClientRect();
  if (top < 0 || top > innerHeight / 2) byId("stage").scrollIntoView();
}

function showSelected() {
  const { id, beside } = selection();
  live.watch(id);
  const job = jobs.get(id);
  const other = jobs.get(beside);
  if (job) stage.show(job, job.state === "done" && other?.state === "done" ? other : null);
  else stage.showNew(pictures);
  showJobs();
}

function showJobs() {
  const { id } = selection();
  const job = jobs.get(id);
  gallery.show(jobs, id);
  const share = job && ACTIVE.has(job.state) ? `${Math.floor(100 * job.progress)} % · ` : "";
  const running = [...jobs.values()].find((each) => each.state === "running");
  underWay.hidden = !running;
  if (running) {
    underWay.href = `#job=${running.id}`;
    underWay.textContent = `${stateWord(running)} ${Math.floor(100 * running.progress)} %`;
  }
  document.title = job ? `${share}${title(job)} · Impasto` : "Impasto studio";
}

/** The settings of a picture, and those of its pictures that are here. */
function recall({ overrides, alphas, inputs, available = inputs.map(({ role }) => role) }) {
  form.recall({ ...overrides, alpha: alphas.at(-1) });
  const shares = overrides.style_weights ? overrides.style_weights.split(",").map(Number) : [];
  const missing = pictures.use(inputs, available, shares).map(({ role, name }) => `the ${kindOf(role).replace("_", " ")} ${shortName(name)}`);
  problem.textContent = missing.length ? `Not stored here any more: ${missing.join(", ")}. Choose it again.` : "";
  say("The settings are in the form");
  byId("ask").scrollIntoView({ block: "start" });
  byId("ask").focus({ preventScroll: true });
}

const live = new Live({
  jobs(changed, left, revision) {
    const { id } = selection();
    for (const job of changed) {
      const before = jobs.get(job.id);
      if (before?.revision > job.revision) continue;
      jobs.set(job.id, job);
      if (before && before.state !== job.state) say(`${title(job)}: ${stateWord(job)}`);
    }
    // What was just asked for may be newer than what the stream knows.
    for (const job of left ? [...jobs.values()] : []) {
      if (!left.includes(job.id) && job.revision <= revision) jobs.delete(job.id);
    }
    const job = jobs.get(id);
    if (id === null && !started) {
      const running = changed.find((each) => each.state === "running");
      if (running) go(running.id);
    }
    started = true;
    if (job && stage.job?.id === id) stage.update(job);
    else if (job || stage.job !== null) showSelected();
    if (id !== null && !job) go(null);
    showJobs();
  },
  losses: (rows, anew) => stage.curves?.add(rows, anew),
  preview: (url) => stage.look(url),
  here(there) {
    byId("connection").textContent = there ? "" : "Reconnecting…";
  },
});

const options = await get("/api/options");
const stage = new Stage(byId("stage"), {
  recall,
  others: () => [...jobs.values()].filter((job) => job.state === "done").reverse(),
  go,
});
const gallery = new Gallery(byId("works"));
pictures = new Pictures(options.samples, {
  changed: () => pictures !== null && stage.job === null && stage.showNew(pictures),
  async recall(picture) {
    try {
      recall(await get(`/api/files/${picture.sha256}/recipe`));
    } catch (error) {
      problem.textContent = error.message;
    }
  },
});
const form = new Form(options, pictures.startNode);

byId("ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  const paint = byId("paint");
  problem.textContent = "";
  const wrong = event.target.querySelector(":invalid:not(fieldset)");
  if (wrong) {
    problem.textContent = `${wrong.labels?.[0]?.textContent ?? "A number"}: ${wrong.validationMessage}`;
    wrong.closest("details")?.setAttribute("open", "");
    wrong.setAttribute("aria-invalid", "true");
    wrong.focus({ preventScroll: true });
    wrong.scrollIntoView({ block: "center" });
    wrong.addEventListener("input", () => {
      wrong.removeAttribute("aria-invalid");
      problem.textContent = "";
    }, { once: true });
    return;
  }
  paint.disabled = true;
  try {
    const settings = form.asked(pictures.weights);
    const job = await post("/api/jobs", { ...settings, ...pictures.asked(form.values(form.fields)) });
    jobs.set(job.id, job);
    say(`${title(job)}: ${stateWord(job)}`);
    if (!ACTIVE.has(jobs.get(selection().id)?.state)) go(job.id);
    showJobs();
  } catch (error) {
    problem.textContent = error.message;
  }
  paint.disabled = false;
});

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("stage").focus();
});
underWay.addEventListener("click", toStage);
addEventListener("hashchange", () => {
  showSelected();
  if (selection().id === null) return;
  toStage();
  // Who followed a link to a picture goes on there; who asked for one stays with the form.
  if (byId("works").contains(document.activeElement)) byId("stage").focus({ preventScroll: true });
});
showSelected();
