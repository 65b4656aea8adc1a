// What keys and buttons do, one function each.

import { computed } from "@preact/signals";
import { api } from "./api.ts";
import { painted, removeStrokes } from "./colorwork.ts";
import { asTimeline, colorLabel, isColoured, referenceFrames } from "./core/color.ts";
import { unsettled } from "./core/settled.ts";
import { itemOf, type Kind, markedFrames, trackLabel } from "./core/state.ts";
import {
  doubtfulStops,
  leastSure,
  nextStart,
  nextStop,
  previousStart,
  type Stop,
  type Stretch,
} from "./core/timeline.ts";
import { addedLine, toolFor } from "./core/tools.ts";
import { viewer } from "./stage.ts";
import * as store from "./store.ts";
import { zoomToSmall } from "./timelineview.ts";
import { toolInHand } from "./tools/index.ts";
import { startsOver } from "./tools/over.ts";
import { canRedo, pending } from "./tools/select.ts";
import { pointOut, takeTool } from "./tools/take.ts";
import { sent } from "./tools/tool.ts";

/** The viewer goes along with the tracker till the person goes to a frame. */
export async function track() {
  const project = store.project.value;
  if (!project || store.job.value) return;
  if (pending.value) await viewer.value?.tool.accept?.();
  await sent();
  const now = store.project.value ?? project;
  if (store.job.value) return; // pressed twice
  if (!trackLabel(now).ready) {
    store.say(markedFrames(now).length ? "Nothing has changed since" : "Mark an object first");
    return;
  }
  store.playing.value = false;
  startsOver.value = false;
  await store.attempt(async () => {
    const again = now.result?.next === "span" || now.result?.next === "held";
    store.follow(again ? store.frame.value : null);
    await api.track();
    await store.refresh();
  });
}

/** Colours the clip from its references; the picture goes along. */
export async function colorize() {
  const project = store.project.value;
  if (!project || store.job.value) return;
  await painted();
  if (store.job.value) return; // pressed twice
  const { ready, why } = colorLabel(store.project.value ?? project);
  if (!ready) return store.say(why);
  store.playing.value = false;
  await store.attempt(async () => {
    store.follow(store.frame.value);
    await api.colorize();
    await store.refresh();
  });
}

/** Goes to the frame that it would help most to colour next. */
export async function toSuggested() {
  store.toolLine.value = "Looking for a frame…";
  await store.attempt(async () => {
    const { frame, why } = await api.colorSuggest();
    store.goTo(frame);
    const done = isColoured(store.project.value, frame);
    store.say(`${done ? "Look at" : "Colour"} frame ${frame} next: ${why}`);
  });
  store.toolLine.value = "";
}

export const stop = () => store.attempt(() => api.stop());

/** Gives up what is on trial or half drawn, and brings back what was left out. */
export function cancel() {
  viewer.value?.tool.cancel();
  startsOver.value = false;
}

/** Undo; while a region is on trial, its last click; then what was left out comes back. */
export async function undo() {
  if (pending.value) viewer.value?.tool.back?.();
  else if (startsOver.value) startsOver.value = false;
  else await store.undo("undo");
}

/** Redo; while clicks of a region were taken back, the last of these. */
export async function redo() {
  if (canRedo.value) viewer.value?.tool.forward?.();
  else await store.undo("redo");
}

export function step(by: number) {
  store.playing.value = false;
  store.goTo(store.frame.value + by);
}

/**
 * What is worth a look: doubtful stretches of all objects, or of the colours; else what is least
 * sure of all.
 */
export const worthALook = computed((): { stops: Stop[]; doubtful: boolean; stale?: boolean } => {
  const project = store.project.value;
  const shown = project && store.mode.value === "color" ? asTimeline(project) : project;
  const result = shown?.result;
  if (!shown || !result) return { stops: [], doubtful: false };
  const sure = Object.fromEntries(shown.objects.map((item) => [item.key, unsettled(shown, item)]));
  const kinds = Object.fromEntries(shown.objects.map((item) => [item.key, item.kind]));
  const below = (key: string) => result.doubtfulBelow[kinds[key]!];
  const stops = doubtfulStops(sure, Object.keys(sure), result.start, below);
  if (stops.length) return { stops, doubtful: true };
  if (result.stale.length) return { stops: [], doubtful: false, stale: true };
  return { stops: leastSure(sure, Object.keys(sure), result.start), doubtful: false };
});

export const OLD = "What is hatched is out of date: track it again";
export const OLD_COLORS = "What is hatched is out of date: colour it again";

/** Goes to the next of these, whichever object's it is, and picks that object. */
export function toDoubtful(forward = true) {
  const coloring = store.mode.value === "color";
  const { stops, doubtful, stale } = worthALook.value;
  const key = coloring ? (stops[0]?.key ?? null) : store.picked.value;
  const next = nextStop(stops, { frame: store.frame.value, key }, forward);
  if (next === null) {
    const done = coloring ? store.project.value?.color?.result : store.project.value?.result;
    if (stale) return store.say(coloring ? OLD_COLORS : OLD);
    store.say(done ? "Nothing is doubtful" : coloring ? "Colour first" : "Track first");
    return;
  }
  store.playing.value = false;
  if (!coloring) store.picked.value = next.stop.key;
  store.goTo(next.stop.at);
  if (!doubtful) store.say("Nothing is doubtful; this is among the least sure frames");
  else if (stops.length === 1 && next.wrapped) store.say("The only doubtful frames");
  else if (next.wrapped) {
    store.say(forward ? "Back at the first doubtful frames" : "On to the last doubtful frames");
  }
}

export function toMark(forward: boolean) {
  const project = store.project.value;
  if (!project) return;
  const all = store.mode.value === "color" ? referenceFrames(project) : markedFrames(project);
  const frames = all.map((frame): Stretch => [frame, frame + 0.5]);
  const next = (forward ? nextStart : previousStart)(frames, store.frame.value);
  if (next !== null) store.goTo(next);
}

/** Adds a thing and takes a tool that it can be marked with; what is under way is done before. */
export async function addThing(kind: Kind) {
  if (pending.value) await viewer.value?.tool.accept?.();
  viewer.value?.tool.cancel();
  const before = toolInHand();
  const tool = toolFor(kind, before);
  takeTool(tool);
  if (tool !== before) pointOut(tool);
  const key = await store.add(kind);
  const item = itemOf(store.project.value, key); // as it is after the addition
  if (item) store.say(addedLine(item.name, tool, before));
}

/** The object that is marked: in the colours' part there is none. */
const markable = () => (store.mode.value === "track" ? store.pickedItem.value : null);

export function gone() {
  const item = markable();
  startsOver.value = false;
  if (item) void store.act({ type: "gone", key: item.key, frame: store.frame.value });
}

export function clearMark() {
  if (store.mode.value === "color") return removeStrokes(store.frame.value);
  const item = markable();
  startsOver.value = false;
  if (item) void store.act({ type: "clear", key: item.key, frame: store.frame.value });
}

export function loopEdge(which: 0 | 1) {
  const video = store.project.value?.video;
  if (!video) return;
  const now = store.frame.value;
  const [from, to] = store.loop.value ?? [0, video.frames];
  const part = onlyLoop();
  store.loop.value = which === 0 ? [now, Math.max(to, now + 1)] : [Math.min(from, now), now + 1];
  store.looping.value = true;
  zoomToSmall(store.loop.value);
  if (part) trackOnlyLoop(true);
}

export function clearLoop() {
  if (store.project.value?.settings.range) trackOnlyLoop(false);
  store.loop.value = null;
  store.looping.value = false;
}

/** Whether only the looped part is tracked. */
export function onlyLoop(): boolean {
  const range = store.project.value?.settings.range;
  return Boolean(range && String(range) === String(store.loop.value));
}

export function trackOnlyLoop(only: boolean) {
  if (only) zoomToSmall(store.loop.value);
  void store.act({ type: "settings", range: only ? store.loop.value : null });
}
