// Plays at true timing: each frame is on show from its own time to that of the next.

import { effect, signal } from "@preact/signals";
import { endTime, frameAtTime } from "./core/timeline.ts";
import { viewer } from "./stage.ts";
import { frame, loop, looping, mode, playing, project } from "./store.ts";

export const speed = signal(1);

function isThere(index: number): boolean {
  const shown = viewer.peek();
  if (!shown) return true;
  const { frames, color } = shown;
  return (frames.get(index) !== undefined || frames.gaveUp(index)) && color.isThere(index);
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
    // The next frame where it is not there yet: the clock stands till it is.
    let waiting = -1;
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
      if (next !== shown && !isThere(next)) {
        waiting = next;
        const soon = [0, 1, 2, 3, 4].map((n) => next + n);
        viewer.peek()?.frames.want(soon.filter((index) => index < times.length));
        if (mode.peek() === "color") viewer.peek()?.color.want(next);
      } else {
        if (waiting >= 0 || next < shown) restart(next);
        shown = next;
        frame.value = next;
      }
      asked = requestAnimationFrame(step);
    };
    asked = requestAnimationFrame(step);
    return () => cancelAnimationFrame(asked);
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
