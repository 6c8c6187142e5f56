// A painted clip beside the original: one play button and one time line for both, which are kept in step.

import { button, el } from "./dom.js";
import { formatClock } from "./labels.js";

const MAX_DRIFT_S = 0.25; // beyond that the original is sought, below it is played a little faster or slower
const MIN_DRIFT_S = 0.03;
const CATCH_UP = 0.08;

const PROBLEM = "This browser cannot play it. Download it instead.";

function pane(src, poster, caption, label) {
  const video = el("video", { src, poster, preload: "auto", playsinline: true, "aria-label": label, tabindex: -1 });
  const note = el("span", { role: "status" });
  video.muted = true;
  video.addEventListener("error", () => (note.textContent = ` ${PROBLEM}`));
  video.addEventListener("loadedmetadata", () => (note.textContent = ""));
  return { video, note, node: el("figure", {}, el("div", { class: "canvas" }, video), el("figcaption", {}, caption, note)) };
}

/** Build the player. `original` and `painted` are `{src, poster, label}`; `start` is the time in the original, in seconds, where the painted clip begins. */
export function clipPlayer({ original, painted, start, duration, frameCount, hasSound, isLoop, isCopied }) {
  const [before, after] = [pane(original.src, original.poster, "The clip", original.label), pane(painted.src, painted.poster, "Painted", painted.label)];
  if (isCopied) before.note.textContent = " Preparing it for the browser…";
  const follower = before.video;
  const leader = after.video;
  leader.loop = isLoop;
  leader.muted = !hasSound;
  const play = button("Play", () => (leader.paused ? leader.play() : leader.pause()), { class: "main play" });
  const line = el("input", { type: "range", min: 0, max: duration, step: duration / frameCount, value: 0, "aria-label": "Time" });
  const time = el("span", { class: "time" });
  const loop = el("input", { type: "checkbox", id: "player-loop", checked: isLoop, onchange: () => (leader.loop = loop.checked) });
  const sound = el("input", { type: "checkbox", id: "player-sound", checked: true, onchange: () => (leader.muted = !sound.checked) });

  const show = () => {
    const text = `${formatClock(leader.currentTime)} of ${formatClock(duration)}`;
    line.value = leader.currentTime;
    line.setAttribute("aria-valuetext", text);
    time.textContent = text;
  };
  const follow = () => {
    const target = Math.min(start + leader.currentTime, follower.duration || 0);
    const drift = follower.currentTime - target;
    if (Math.abs(drift) > (leader.paused ? 0 : MAX_DRIFT_S)) follower.currentTime = target;
    follower.playbackRate = Math.abs(drift) < MIN_DRIFT_S ? 1 : 1 - Math.sign(drift) * CATCH_UP;
    if (follower.paused !== leader.paused) {
      if (leader.paused) follower.pause();
      else if (!follower.ended) follower.play().catch(() => {}); // interrupted by a pause
    }
  };
  const tick = () => {
    if (!line.isConnected) {
      for (const video of [leader, follower]) video.pause();
      return;
    }
    show();
    follow();
    if (!leader.paused) requestAnimationFrame(tick);
  };
  for (const kind of ["play", "pause", "ended"]) {
    leader.addEventListener(kind, () => {
      play.textContent = leader.paused ? "Play" : "Pause";
      tick();
    });
  }
  leader.addEventListener("seeked", tick);
  follower.addEventListener("loadedmetadata", follow);
  line.addEventListener("input", () => (leader.currentTime = Number(line.value)));
  for (const video of [leader, follower]) video.addEventListener("click", () => play.click());
  show();
  const check = (input, text) => el("span", { class: "pick" }, input, el("label", { for: input.id }, text));
  return el(
    "div",
    { class: "player" },
    el("div", { class: "panes" }, before.node, after.node),
    el("div", { class: "row controls" }, play, line, time, check(loop, "Loop"), hasSound && check(sound, "Sound")),
  );
}
