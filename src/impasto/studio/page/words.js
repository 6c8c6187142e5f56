// What things are called on the page: pictures, states, times, choices.

import { short } from "./dom.js";

const STATES = {
  queued: "Waiting",
  running: "Painting",
  pausing: "Pausing",
  paused: "Paused",
  cancelling: "Cancelling",
  done: "Finished",
  failed: "Failed",
  cancelled: "Cancelled",
};

const CHOICES = {
  color: { style: "of the painting", luminance: "of the photo (luminance)", match: "of the photo (matched)" },
  init: { noise: "noise", content: "the photo", style: "the painting", image: "another picture" },
};

export const stateWord = (job) => STATES[job.state] ?? job.state;

export const choiceWord = (field, choice) => CHOICES[field]?.[choice] ?? String(choice);

/** A picture's name as a person says it: no folder word of ours, no suffix. */
export const shortName = (name) => (name ?? "picture").replace(/^sample:/, "").replace(/\.[a-z0-9]{2,4}$/i, "") || "picture";

/** `style` of `style_2`. */
export const kindOf = (role) => role.replace(/_\d+$/, "");

export const ofKind = (inputs, kind) => inputs.filter((input) => kindOf(input.role) === kind);

export const joined = (names) => (names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`);

/** What a job paints, in words. */
export function title(job) {
  const names = (kind) => joined(ofKind(job.inputs, kind).map((input) => shortName(input.name)));
  return `${names("content")} as ${names("style")}`;
}

/** The same, where there are several of that title. */
export const titleOf = (job) => `${job.id}: ${title(job)}, α ${short(job.alphas.at(-1))}`;

export function duration(seconds) {
  const whole = Math.max(1, Math.round(seconds));
  if (whole < 60) return `${whole}\u00a0s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}\u00a0min\u00a0${String(whole % 60).padStart(2, "0")}\u00a0s`;
  return `${Math.floor(minutes / 60)}\u00a0h\u00a0${String(minutes % 60).padStart(2, "0")}\u00a0min`;
}

export const ago = (seconds) => new Date(seconds * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
