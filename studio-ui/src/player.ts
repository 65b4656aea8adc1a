// Plays at true timing: each frame is on show from its own time to that of the next.

import { effect, signal } from "@preact/signals";
import { endTime, frameAtTime } from "./core/timeline.ts";
import { viewer } from "./stage.ts";
import { buffering, frame, loop, looping, mode, playing, project } from "./store.ts";

export const speed = signal(1);

function isThere(index: number): boolean {
  const shown = viewer.peek();
  if (!shown) return true;
  const { frames, color } = shown;
  return (frames.get(index) !== undefined || frames.gaveUp(index)) && color.isThere(index);
}

/** Frames that are to be there before playing goes on, and ms after which it goes on without. */
const MANY = 8;
const LONGEST = 900;
/** Ms after which it is told that pictures are waited for. */
const TOLD = 250;

/** Whether playing goes on smoothly from a frame, or has waited for it long enough. */
function areThere(index: number, since: number): boolean {
  const last = project.peek()?.video.frames ?? 0;
  const ready = (n: number) => index + n >= last || isThere(index + n);
  if (!isThere(index)) return false;
  if (performance.now() - since > LONGEST) return true;
  return Array.from({ length: MANY }, (_, n) => n).every(ready);
}

export function keepTime() {
  effect(() => {
    if (!playing.value) return;
    const times = project.peek()?.video.times;
    if (!times?.length) return;
    let began = performance.now();
    let from = times[frame.peek()] ?? 0;
    let shown = frame.peek();
    let asked = 0;
    // The next frame where it is not there yet: the clock stands till it is, and some after it.
    let waiting = -1;
    let since = 0;
    const restart = (at: number) => {
      shown = at;
      from = times[at] ?? 0;
      began = performance.now();
      waiting = -1;
    };
    const due = (): number | null => {
      if (waiting >= 0) return waiting;
      const region = looping.peek() ? (loop.peek() ?? [0, times.length]) : null;
      const end = region?.[1] ?? times.length;
      const now = from + ((performance.now() - began) / 1000) * speed.peek();
      if (now < endTime(times, end) && !(region && shown >= end)) return frameAtTime(times, now);
      return region ? region[0] : null;
    };
    const step = () => {
      if (frame.peek() !== shown) restart(frame.peek()); // someone went elsewhere: on from there
      const next = due();
      if (next === null) {
        frame.value = times.length - 1;
        playing.value = false;
        return;
      }
      if (next !== shown && !(waiting < 0 ? isThere(next) : areThere(next, since))) {
        if (waiting < 0) since = performance.now();
        waiting = next;
        buffering.value = performance.now() - since > TOLD;
        const soon = Array.from({ length: MANY + 4 }, (_, n) => next + n);
        viewer.peek()?.frames.want(soon.filter((index) => index < times.length));
        if (mode.peek() === "color") viewer.peek()?.color.want(next);
      } else {
        if (waiting >= 0 || next < shown) restart(next);
        buffering.value = false;
        shown = next;
        frame.value = next;
      }
      asked = requestAnimationFrame(step);
    };
    asked = requestAnimationFrame(step);
    return () => {
      cancelAnimationFrame(asked);
      buffering.value = false;
    };
  });
}

export function togglePlay() {
  const video = project.value?.video;
  if (!video) return;
  if (!playing.value) {
    const end = looping.value ? (loop.value?.[1] ?? video.frames) : video.frames;
    if (frame.value >= end - 1) frame.value = looping.value ? (loop.value?.[0] ?? 0) : 0;
  }
  playing.value = !playing.value;
}
