// The time that a clip will take, from a frame of it that was painted.

import { formatDuration } from "./labels.js";

const SAME = ["size", "iterations", "effort", "network", "scales", "style_loss"]; // options that change the time of a step

/** The number of frames that the options of a clip choose. */
export function countFrames(clip, { start, end, every, fps_out: rate }) {
  const until = Math.min(parseSeconds(end) ?? clip.duration_s, clip.duration_s);
  const seconds = Math.max(0, until - (parseSeconds(start) ?? 0));
  return Math.max(1, Math.ceil((seconds * (rate ?? clip.frame_count / clip.duration_s)) / every - 1e-6));
}

/** Seconds of 2.5 or "1:30". */
function parseSeconds(text) {
  if (text === null || text === "") return null;
  return String(text).replace(/s$/, "").split(":").reduce((sum, part) => 60 * sum + Number(part), 0);
}

/** A sentence about the frames and the time of a clip; without the time if nothing of it was painted with these settings. */
export function describeClipTime({ clip, shots, video, changed, config, jobs, frames }) {
  const count = countFrames(clip, video);
  if (!Number.isFinite(count)) return "";
  const text = `${count} frame${count === 1 ? "" : "s"}`;
  const painted = jobs.filter((job) => job.state === "done" && SAME.every((name) => String(job.config[name]) === String(config[name])));
  const wasPainted = (job) => job.video && hasContent(job, (sha256) => sha256 === clip.sha256) && job.video.frame_iterations === changed.frame_iterations;
  const whole = painted.findLast(wasPainted);
  if (whole) return `${text}, about ${formatDuration((count * whole.result.seconds) / whole.result.frames)} in all.`;
  const tried = painted.findLast((job) => !job.video && hasContent(job, (sha256) => frames.has(sha256)));
  if (!tried) return `${text}. Try one first, to see how long they take.`;
  const { seconds, width, height } = tried.result;
  const work = tried.scales.reduce((sum, [rows, columns, steps]) => sum + rows * columns * steps, 0);
  const perFrame = (seconds * video.frame_iterations * width * height) / work;
  const firsts = Math.min(count, Math.max(1, shots.length)); // the first frame of a shot starts from noise
  return `${text}, about ${formatDuration(firsts * seconds + (count - firsts) * perFrame)} in all.`;
}

const hasContent = (job, matches) => job.inputs.some(({ role, sha256 }) => role === "content" && matches(sha256));
