// Plays at true timing: each frame is on show from its own time to that of the next.

import { effect, signal } from "@preact/signals";
import { endTime, frameAtTime } from "./core/timeline.ts";
import { viewer } from "./stage.ts";
import { frame, loop, looping, playing, project } from "./store.ts";

export const speed = signal(1);

export function keepTime() {
  effect(() => {
    if (!playing.value) return;
    const times = project.peek()?.video.times;
    if (!times?.length) return;
    let began = performance.now();
    let from = times[frame.peek()] ?? 0;
    let shown = frame.peek();
    let asked = 0;
    const step = () => {
      if (frame.peek() !== shown) {
        // Someone went elsewhere: on from there.
        shown = frame.peek();
        from = times[shown]!;
        began = performance.now();
      }
      const region = looping.peek() ? (loop.peek() ?? [0, times.length]) : null;
      const end = region?.[1] ?? times.length;
      let now = from + ((performance.now() - began) / 1000) * speed.peek();
      if (now >= endTime(times, end) || (region && shown >= end)) {
        if (!region) {
          frame.value = end - 1;
          playing.value = false;
          return;
        }
        from = now = times[region[0]] ?? 0;
        began = performance.now();
      }
      const next = frameAtTime(times, now);
      // Where the frame is not there yet the clock waits for it, rather than skip the most of it.
      if (next !== shown && viewer.peek() && !viewer.peek()!.frames.get(next)) {
        viewer.peek()!.frames.want([next, next + 1, next + 2, next + 3, next + 4]);
        from = times[shown]!;
        began = performance.now() - ((times[next]! - from) / speed.peek()) * 1000;
      } else {
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
