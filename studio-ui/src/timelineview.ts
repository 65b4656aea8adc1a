// What of the clip the timeline shows, and what keys, buttons and the wheel do to it.

import { computed, effect, signal } from "@preact/signals";
import {
  isSmall,
  isWhole,
  moved,
  type Shown,
  whole,
  withFrame,
  zoomed,
  zoomedTo,
} from "./core/shown.ts";
import type { Stretch } from "./core/timeline.ts";
import * as store from "./store.ts";

const frames = computed(() => store.project.value?.video.frames ?? 1);
/** null: the whole clip. */
const part = signal<Shown | null>(null);
export const shown = computed((): Shown => part.value ?? whole(frames.value));
export const isZoomed = computed(() => part.value !== null);

function show(next: Shown) {
  part.value = isWhole(next, frames.peek()) ? null : next;
}

/** `at`: what stays in its place, in frames; the frame on show where nothing is given. */
export function zoomTimeline(by: number, at = store.frame.peek() + 0.5) {
  const seen = withFrame(shown.peek(), Math.floor(at), frames.peek());
  show(zoomed(seen, by, at, frames.peek()));
}

export function moveTimeline(by: number) {
  show(moved(shown.peek(), by, frames.peek()));
}

export function showWhole() {
  part.value = null;
}

/** What the timeline is best zoomed to: the loop, else the part that is tracked, else nothing. */
export const worthZooming = computed((): Stretch | null => {
  const range = store.loop.value ?? store.project.value?.settings.range ?? null;
  return range && !isWhole(zoomedTo(range, frames.value), frames.value) ? range : null;
});

/** The whole clip; where that is on show, the loop or the part that is tracked. */
export function toggleWhole() {
  const stretch = worthZooming.peek();
  if (isZoomed.peek()) showWhole();
  else if (stretch) show(zoomedTo(stretch, frames.peek()));
  else store.say("All of the clip is on the timeline");
}

/** Zooms to a stretch that is worked on, where it can hardly be seen. */
export function zoomToSmall(stretch: Stretch | null) {
  if (stretch && isSmall(stretch, shown.peek())) show(zoomedTo(stretch, frames.peek()));
}

/** Keeps the frame on show in sight, and starts anew with another clip. */
export function keepInSight() {
  let open = "";
  effect(() => {
    const project = store.project.value;
    const name = project ? [project.path ?? project.folder, project.video.name].join("\n") : "";
    if (name === open) return;
    open = name;
    part.value = null;
    zoomToSmall(store.loop.peek());
    if (part.peek()) show(withFrame(shown.peek(), store.frame.peek(), frames.peek()));
  });
  effect(() => {
    const now = store.frame.value;
    if (part.peek()) show(withFrame(shown.peek(), now, frames.peek()));
  });
}
