// Colours on their way to the server, one change after the other.

import { signal } from "@preact/signals";
import { referenceOn, strokeAt, withStroke } from "./core/color.ts";
import type { ColorStroke } from "./core/state.ts";
import type { Point } from "./core/view.ts";
import * as store from "./store.ts";

type Waiting = { frame: number; stroke: ColorStroke };
/** Strokes that were painted and are not in the state yet. */
export const waiting = signal<Waiting[]>([]);

/** Whether colours of the strokes on the frame on show are on their way. */
export const spreading = signal(false);

let queue: Promise<unknown> = Promise.resolve(); // each adds to what the one before it has left
const inTurn = (work: () => Promise<unknown>) => {
  queue = queue.then(work, work);
};

/** Done when all strokes that were painted are on the server. */
export const painted = (): Promise<unknown> => queue;

export function addStroke(frame: number, stroke: ColorStroke) {
  const mine = { frame, stroke };
  waiting.value = [...waiting.value, mine];
  inTurn(async () => {
    if (!waiting.value.includes(mine)) return; // cleared meanwhile
    const before = referenceOn(store.project.value, frame)?.strokes ?? [];
    const strokes = withStroke(before, stroke);
    if (!strokes) store.say("This frame has 500 strokes: no more fit", true);
    else await store.act({ type: "colorStrokes", frame, strokes });
    waiting.value = waiting.value.filter((one) => one !== mine);
  });
}

/** How many strokes a frame has, those on their way too. */
export function strokesOn(frame: number): number {
  return strokesOf(frame).length;
}

/** The strokes of a frame, those on their way too. */
function strokesOf(frame: number): ColorStroke[] {
  const there = referenceOn(store.project.value, frame)?.strokes ?? [];
  return [...there, ...waiting.value.filter((one) => one.frame === frame).map((one) => one.stroke)];
}

/** Takes the stroke under a place away, all of it; false: there is none. */
export function removeStrokeAt(frame: number, at: Point): boolean {
  if (strokeAt(strokesOf(frame), at) === null) return false;
  inTurn(async () => {
    const strokes = referenceOn(store.project.value, frame)?.strokes ?? [];
    const gone = strokeAt(strokes, at);
    if (gone === null) return;
    await store.act({ type: "colorStrokes", frame, strokes: strokes.toSpliced(gone, 1) });
  });
  return true;
}

/** Every stroke of one colour, on every frame, gets another. */
export function changeColor(from: string, to: string) {
  if (from !== to) inTurn(() => store.act({ type: "colorReplace", from, to }));
}

/** Takes the strokes of a frame away; a coloured picture of it stays. */
export function removeStrokes(frame: number) {
  waiting.value = waiting.value.filter((one) => one.frame !== frame);
  inTurn(async () => {
    const there = referenceOn(store.project.value, frame)?.strokes.length;
    if (there) await store.act({ type: "colorStrokes", frame, strokes: [] });
  });
}

/** Takes the colours of a frame away, those that are still on their way too. */
export function clearColors(frame: number) {
  waiting.value = waiting.value.filter((one) => one.frame !== frame);
  inTurn(async () => {
    if (referenceOn(store.project.value, frame)) await store.act({ type: "colorClear", frame });
  });
}

/** What is under way is of a clip that is not open any more. */
export function forgetColors() {
  waiting.value = [];
}
