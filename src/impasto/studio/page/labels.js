// Texts for the page: states, choices, names of pictures, titles of jobs, times.

import { formatNumber } from "./dom.js";

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
  color: { palette: "painting", style: "painting (mixed)", luminance: "photo (luminance)", match: "photo (matched)" },
  init: { noise: "noise", recolored: "photo in the painting's colors", content: "photo", style: "painting", image: "other picture" },
  wrap: { x: "left and right (x)", y: "top and bottom (y)" },
  profile: { srgb: "sRGB", p3: "Display P3", cmyk: "CMYK (a general press)" },
};

export const stateLabel = (job) => STATES[job.state] ?? job.state;

export const choiceLabel = (field, choice) => CHOICES[field]?.[choice] ?? String(choice);

const fieldLabels = new Map();

/** Remember the labels of the form's fields, for errors. */
export const rememberLabels = (fields) => fields.forEach(({ name, label }) => fieldLabels.set(name, label));

const OPTION = /(?<![\w./`-])(?:`(\w+)`|--([a-z][a-z-]*)|([a-z_]+) = (?:'([^']*)'|([^\s,:;]+))|([a-z]+(?:_[a-z]+)+)|^([a-z]+)(?=: ))(?![\w=/]|\.\w)/g;

/** Put labels in place of the names of options in an error: `style_scale` becomes "Style scale". */
export const withLabels = (text) =>
  text.replace(OPTION, (found, marked, flag, set, quoted, plain, long, first) => {
    const label = fieldLabels.get(marked ?? flag?.replaceAll("-", "_") ?? set ?? long ?? first);
    const value = quoted ?? plain;
    return label === undefined ? found : `"${label}${value === undefined ? "" : `: ${value}`}"`;
  });

export const optionLabel = (name) => name.replaceAll("_", " ");

/** A picture's name without prefix and suffix: `cat` of `sample:cat`, `photo` of `photo.jpg`. */
export const shortName = (name) => (name ?? "picture").replace(/^sample:/, "").replace(/\.[a-z0-9]{2,4}$/i, "") || "picture";

/** The kind of a role: `style` of `style_2`. */
export const roleKind = (role) => role.replace(/_\d+$/, "");

export const inputsOfKind = (inputs, kind) => inputs.filter((input) => roleKind(input.role) === kind);

/** Join names as a list in a sentence: `a, b and c`. */
export const joinNames = (names) => (names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`);

/** The title of a job: `cat as swirl`. */
export function jobTitle(job) {
  const names = (kind) => joinNames(inputsOfKind(job.inputs, kind).map((input) => shortName(input.name)));
  return `${names("content")} as ${names("style")}`;
}

/** The title with the job's number and α, which tells similar jobs apart. */
export const fullTitle = (job) => `${job.id}: ${jobTitle(job)}, α ${formatNumber(job.alphas.at(-1))}`;

export function formatDuration(seconds) {
  const whole = Math.max(1, Math.round(seconds));
  if (whole < 60) return `${whole}\u00a0s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}\u00a0min\u00a0${String(whole % 60).padStart(2, "0")}\u00a0s`;
  return `${Math.floor(minutes / 60)}\u00a0h\u00a0${String(minutes % 60).padStart(2, "0")}\u00a0min`;
}

/** A time in a clip: 0:07.5 */
export const formatClock = (seconds) => `${Math.floor(seconds / 60)}:${(Math.floor((seconds % 60) * 10) / 10).toFixed(1).padStart(4, "0")}`;

export const formatTime = (seconds) => new Date(seconds * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
