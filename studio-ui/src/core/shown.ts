// What of a clip the timeline shows: from the start of a frame to the end of another, neither of
// which need be whole. No DOM.

import type { Stretch } from "./timeline.ts";

/** [first, past the last], in frames. */
export type Shown = Stretch;

/** The timeline shows no fewer frames than this. */
const FEWEST = 8;
/** How much of what is shown a stretch takes that was zoomed to. */
const PART = 0.7;
/** A stretch that takes less than this of what is shown is zoomed to when it is worked on. */
const SMALL = 0.05;
/** Where a frame is put that was out of sight, from the edge that it comes in at. */
const EDGE = 0.1;

export const whole = (frames: number): Shown => [0, Math.max(1, frames)];

/** Whether all is in sight, but for less than can be seen. */
export function isWhole([from, to]: Shown, frames: number): boolean {
  return from <= 0.01 && to >= frames - 0.01;
}

/** `shown` moved into the clip, with its length kept as far as the clip has it. */
function inside([from, to]: Shown, frames: number): Shown {
  const room = Math.min(to - from, Math.max(1, frames));
  const start = Math.max(0, Math.min(frames - room, from));
  return [start, start + room];
}

/** Shows `by` times fewer frames; what is at `at` (in frames) stays in its place. */
export function zoomed(shown: Shown, by: number, at: number, frames: number): Shown {
  const [from, to] = shown;
  const least = Math.min(FEWEST, Math.max(1, frames));
  const room = Math.max(least, Math.min(frames, (to - from) / by));
  const place = Math.max(0, Math.min(1, (at - from) / (to - from)));
  return inside([at - place * room, at + (1 - place) * room], frames);
}

export function moved([from, to]: Shown, by: number, frames: number): Shown {
  return inside([from + by, to + by], frames);
}

/** A stretch in the middle, with some of the clip on both sides. */
export function zoomedTo([first, end]: Stretch, frames: number): Shown {
  const room = Math.max(FEWEST, (end - first) / PART);
  const middle = (first + end) / 2;
  return inside([middle - room / 2, middle + room / 2], frames);
}

export function isSmall(stretch: Stretch, [from, to]: Shown): boolean {
  return (stretch[1] - stretch[0]) / (to - from) < SMALL;
}

/**
 * With `frame` in sight: the same where it is; moved by a part of a frame where half of it is; else
 * one page on or back, or further.
 */
export function withFrame(shown: Shown, frame: number, frames: number): Shown {
  const [from, to] = shown;
  if (frame >= from && frame + 1 <= to) return shown;
  const room = to - from;
  if (frame + 1 > from && frame < to) {
    return inside(frame < from ? [frame, frame + room] : [frame + 1 - room, frame + 1], frames);
  }
  const edge = Math.min(EDGE * room, Math.max(0, (room - 1) / 2));
  // Going on it comes in at the left, so that what follows is in sight; going back at the right.
  if (frame + 1 > to) return inside([frame - edge, frame - edge + room], frames);
  return inside([frame + 1 + edge - room, frame + 1 + edge], frames);
}

/** Where a place in the clip (in frames) lies on a timeline `width` pixels wide. */
export function xOf(at: number, width: number, [from, to]: Shown): number {
  return ((at - from) / (to - from)) * width;
}
/** The middle of a frame on it. */
export function xOfFrame(frame: number, width: number, shown: Shown): number {
  return xOf(frame + 0.5, width, shown);
}
/** The place in the clip, in frames, that lies at `x`. */
export function atX(x: number, width: number, [from, to]: Shown): number {
  return from + (x / Math.max(1, width)) * (to - from);
}
/** The frame under `x`: of those in sight the nearest. */
export function frameAtX(x: number, width: number, shown: Shown, frames: number): number {
  const at = Math.floor(atX(x, width, shown));
  const [least, most] = [Math.floor(shown[0]), Math.ceil(shown[1]) - 1];
  return Math.max(0, least, Math.min(frames - 1, most, at));
}
