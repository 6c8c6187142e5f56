// The page: the form, the view of one job, the gallery, and the event stream that keeps them up to date.

import { get, post } from "./api.js";
import { announce, byId } from "./dom.js";
import { describeClipTime } from "./clip-estimate.js";
import { EventStream } from "./event-stream.js";
import { Form } from "./form.js";
import { Gallery } from "./gallery.js";
import { JobView } from "./job-view.js";
import { jobTitle, rememberLabels, roleKind, shortName, stateLabel } from "./labels.js";
import { Pictures } from "./pictures.js";
import { sketchPlaces } from "./sketch-places.js";
import { Sketches } from "./sketches.js";

const ACTIVE = new Set(["queued", "running", "pausing", "paused"]);
const BUSY = new Set(["queued", "running", "pausing", "cancelling"]); // a paused job lets others go first
const RESTART_MS = 10_000; // a studio that is restarted answers sooner

const jobs = new Map();
let isLoaded = false;
let lostAt = null;
let pictures = null;
let sketches = null;
const problem = byId("problem");
const runningLink = byId("running-job");

/** The job in the address, and the one to compare it with. */
function selection() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  const number = (name) => Number(parameters.get(name)) || null;
  return { id: number("job"), otherId: number("with") };
}

function go(id, otherId = null) {
  location.hash = id === null ? "" : `job=${id}${otherId === null ? "" : `&with=${otherId}`}`;
}

function scrollToJob() {
  const { top } = byId("job").getBoundingClientRect();
  if (top < 0 || top > innerHeight / 2) byId("job").scrollIntoView();
}

function showSelected() {
  const { id, otherId } = selection();
  events.follow(id);
  const job = jobs.get(id);
  const other = jobs.get(otherId);
  if (job) jobView.show(job, job.state === "done" && other?.state === "done" && !job.video && !other.video ? other : null);
  else jobView.showStart(pictures);
  showJobs();
}

function showJobs() {
  const { id } = selection();
  const job = jobs.get(id);
  gallery.show(jobs, id);
  const percent = job && ACTIVE.has(job.state) ? `${Math.floor(100 * job.progress)} % · ` : "";
  const running = [...jobs.values()].find((each) => each.state === "running");
  runningLink.hidden = !running;
  if (running) {
    runningLink.href = `#job=${running.id}`;
    runningLink.textContent = `${stateLabel(running)} ${Math.floor(100 * running.progress)} %`;
  }
  document.title = job ? `${percent}${jobTitle(job)} · Impasto` : "Impasto studio";
}

/** Fill the form with the settings and the available pictures of a job or a recipe. */
async function useSettings({ overrides, run, alphas, inputs, video = null, available = inputs.map(({ role }) => role) }) {
  const profile = inputs.find(({ role }) => role === "profile" && available.includes(role));
  form.showSettings({ ...overrides, ...run, alpha: alphas.at(-1) }, profile);
  const shares = overrides.style_weights ? overrides.style_weights.split(",").map(Number) : [];
  const unused = await pictures.useInputs(inputs, available, shares, video !== null);
  form.showVideo(video ?? {});
  const missing = unused.map(({ role, name }) => `the ${roleKind(role).replace("_", " ")} ${shortName(name)}`);
  problem.textContent = missing.length ? `Not stored here any more: ${missing.join(", ")}. Choose it again.` : "";
  announce("The form has these settings");
  byId("request").scrollIntoView({ block: "start" });
  byId("request").focus({ preventScroll: true });
}

/** Show how many frames the clip has, and how long they will take. */
function showEstimate() {
  const clip = pictures?.clip;
  byId("estimate").textContent = clip
    ? describeClipTime({ clip, shots: pictures.clipPanel.shots, video: form.values(options.video), changed: form.toVideo(), config: form.values(form.fields), jobs: [...jobs.values()], frames: pictures.frames })
    : "";
}

const events = new EventStream({
  onJobs(changed, remaining, revision) {
    const { id } = selection();
    for (const job of changed) {
      const before = jobs.get(job.id);
      if (before?.revision > job.revision) continue;
      jobs.set(job.id, job);
      if (before && before.state !== job.state) announce(`${jobTitle(job)}: ${stateLabel(job)}`);
    }
    // A job that was just submitted may be newer than the event.
    for (const job of remaining ? [...jobs.values()] : []) {
      if (!remaining.includes(job.id) && job.revision <= revision) jobs.delete(job.id);
    }
    const job = jobs.get(id);
    if (id === null && !isLoaded) {
      const running = changed.find((each) => each.state === "running");
      if (running) go(running.id);
    }
    isLoaded = true;
    if (job && jobView.job?.id === id) jobView.update(job);
    else if (job || jobView.job !== null) showSelected();
    if (id !== null && !job) go(null);
    showJobs();
    showEstimate();
  },
  onLosses: (rows, isFirst) => jobView.chart?.add(rows, isFirst),
  onPreview: (url) => jobView.showPreview(url),
  onConnection(isConnected) {
    lostAt = isConnected ? null : (lostAt ?? Date.now());
    const isGone = !isConnected && Date.now() - lostAt > RESTART_MS;
    const text = isGone ? "The studio does not answer any more. Start it again, or close this window." : "Reconnecting…";
    byId("connection").textContent = isConnected ? "" : text;
  },
});

const options = await get("/api/options");
rememberLabels([...options.fields, ...options.run, ...options.video]);
const jobView = new JobView(byId("job"), {
  formats: options.formats,
  usualAlpha: options.fields.find(({ name }) => name === "alpha").default,
  onUseSettings: (job) => useSettings(job).catch((error) => (problem.textContent = error.message)),
  results: () => [...jobs.values()].filter((job) => job.state === "done").reverse(),
  go,
});
const gallery = new Gallery(byId("jobs"));
pictures = new Pictures(options.samples, {
  onChange() {
    sketches?.update();
    showEstimate();
    if (pictures !== null && jobView.job === null) jobView.showStart(pictures);
  },
  onClip(clip) {
    form.showClip(clip);
    byId("try").hidden = clip === null;
    byId("paint").textContent = clip === null ? "Paint" : "Paint the clip";
    showEstimate();
  },
  onShots(shots, damage) {
    // A clip ends before its first damaged frame.
    if (damage && shots.length) form.showVideo({ ...form.toVideo(), end: Math.floor(1000 * shots.at(-1).end_s) / 1000 });
    showEstimate();
  },
  async onUseSettings(picture) {
    try {
      await useSettings(await get(`/api/${picture.isClip ? "clips" : "files"}/${picture.sha256}/recipe`));
    } catch (error) {
      problem.textContent = error.message;
    }
  },
});
const form = new Form(options, pictures.startNode);
pictures.clipPanel.node.append(form.clipNode);
const isBusy = () => [...jobs.values()].some(({ state }) => BUSY.has(state));
sketches = new Sketches(sketchPlaces(form, pictures, isBusy));
for (const kind of ["input", "change"]) {
  byId("request").addEventListener(kind, () => {
    sketches.update();
    showEstimate();
  });
}
form.presetPictures.addEventListener("toggle", () => sketches.update());

/** Show which field is invalid. Return true if there is one. */
function showInvalidField() {
  const field = byId("request").querySelector(":invalid:not(fieldset)");
  if (!field) return false;
  problem.textContent = `${field.labels?.[0]?.textContent ?? "A number"}: ${field.validationMessage}`;
  field.closest("details")?.setAttribute("open", "");
  field.setAttribute("aria-invalid", "true");
  field.focus({ preventScroll: true });
  field.scrollIntoView({ block: "center" });
  field.addEventListener("input", () => {
    field.removeAttribute("aria-invalid");
    problem.textContent = "";
  }, { once: true });
  return true;
}

/** Submit the form: for the clip if `isClip`, otherwise for the photo or the frame to try. */
async function submit(isClip) {
  problem.textContent = byId("note").textContent = "";
  if (showInvalidField()) return;
  const buttons = [byId("paint"), byId("try")];
  for (const each of buttons) each.disabled = true;
  if (isClip && !pictures.clipPanel.shots.length) byId("note").textContent = "The shots are found first…";
  try {
    const settings = { ...form.toRequest(pictures.weights), ...(isClip && { video: form.toVideo() }) };
    const job = await post("/api/jobs", { ...settings, ...pictures.toRequest(form.values(form.fields), isClip) });
    jobs.set(job.id, job);
    byId("note").textContent = job.note;
    announce(`${jobTitle(job)}: ${stateLabel(job)}`);
    if (!ACTIVE.has(jobs.get(selection().id)?.state)) go(job.id);
    showJobs();
  } catch (error) {
    byId("note").textContent = "";
    problem.textContent = error.message;
  }
  for (const each of buttons) each.disabled = false;
}

byId("request").addEventListener("submit", (event) => {
  event.preventDefault();
  submit(pictures.clip !== null);
});
byId("try").addEventListener("click", () => submit(false));

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("job").focus();
});
runningLink.addEventListener("click", scrollToJob);
addEventListener("hashchange", () => {
  showSelected();
  if (selection().id === null) return;
  scrollToJob();
  // A link in the gallery moves the focus to the picture; submitting leaves it in the form.
  if (byId("jobs").contains(document.activeElement)) byId("job").focus({ preventScroll: true });
});
showSelected();
sketches.update();
