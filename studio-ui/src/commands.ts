// What keys and buttons do, one function each.

import { api } from "./api.ts";
import { markedFrames, trackLabel } from "./core/state.ts";
import { doubtful, nextStart, previousStart, type Stretch } from "./core/timeline.ts";
import * as store from "./store.ts";

/** The viewer goes along with the tracker till the person goes to a frame. */
export async function track() {
  const project = store.project.value;
  if (!project || store.job.value) return;
  if (!trackLabel(project).ready) {
    store.say(markedFrames(project).length ? "Nothing has changed since" : "Mark an object first");
    return;
  }
  store.playing.value = false;
  await store.attempt(async () => {
    store.following.value = true;
    await api.track();
    await store.refresh();
  });
}

export const stop = () => store.attempt(() => api.stop());

export function step(by: number) {
  store.playing.value = false;
  store.goTo(store.frame.value + by);
}

export function doubtfulStretches(): Stretch[] {
  const result = store.project.value?.result;
  if (!result) return [];
  return Object.values(result.reliability).flatMap((values) => doubtful(values, result.start));
}

export function toDoubtful(forward = true) {
  const find = forward ? nextStart : previousStart;
  const next = find(doubtfulStretches(), store.frame.value);
  if (next === null) {
    store.say(store.project.value?.result ? "No doubtful stretch" : "Track first");
  } else {
    store.playing.value = false;
    store.goTo(next);
  }
}

export function toMark(forward: boolean) {
  const project = store.project.value;
  if (!project) return;
  const frames = markedFrames(project).map((frame): Stretch => [frame, frame + 0.5]);
  const next = (forward ? nextStart : previousStart)(frames, store.frame.value);
  if (next !== null) store.goTo(next);
}

export function gone() {
  const item = store.pickedItem.value;
  if (item) void store.act({ type: "gone", key: item.key, frame: store.frame.value });
}

export function clearMark() {
  const item = store.pickedItem.value;
  if (item) void store.act({ type: "clear", key: item.key, frame: store.frame.value });
}

export function loopEdge(which: 0 | 1) {
  const video = store.project.value?.video;
  if (!video) return;
  const now = store.frame.value;
  const [from, to] = store.loop.value ?? [0, video.frames];
  store.loop.value = which === 0 ? [now, Math.max(to, now + 1)] : [Math.min(from, now), now + 1];
  store.looping.value = true;
}

export function clearLoop() {
  store.loop.value = null;
  store.looping.value = false;
}

/** Whether only the looped part is tracked. */
export function onlyLoop(): boolean {
  const range = store.project.value?.settings.range;
  return Boolean(range && String(range) === String(store.loop.value));
}

export function trackOnlyLoop(only: boolean) {
  void store.act({ type: "settings", range: only ? store.loop.value : null });
}
