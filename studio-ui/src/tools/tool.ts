// What a tool is, and how what it made is sent.

import { ApiError, api } from "../api.ts";
import { maskOf, meanUnder, parseColor, type Rgb } from "../core/masks.ts";
import { base64, encodePng } from "../core/png.ts";
import { erase } from "../core/raster.ts";
import { itemOf, marksOn } from "../core/state.ts";
import type { Point } from "../core/view.ts";
import * as store from "../store.ts";
import type { Viewer } from "../viewer.ts";
import { leftOut, startsOver } from "./over.ts";

export type Pen = {
  /** Video pixels; `trail` is where the pen was since the last event, this place included. */
  at: Point;
  trail: Point[];
  screen: Point;
  /** Alt or the right button: the other way round (outside, away). */
  other: boolean;
  shift: boolean;
  /** How hard a pen presses, 0 to 1; 1 for a mouse and fingers. */
  pressure: number;
};

export interface Tool {
  cursor: string;
  down(pen: Pen): void;
  move(pen: Pen): void;
  up(pen: Pen): void;
  cancel(): void;
  /** Gives up what began with the last `down`, where `cancel` would give up more than that. */
  drop?(): void;
  hover?(pen: Pen | null): void;
  double?(pen: Pen): void;
  accept?(): unknown;
  /** Another tool is taken in hand: what is on trial is kept. */
  leave?(): void;
  /** It is laid down for good, with nothing kept. */
  end?(): void;
  back?(): void;
  frameChanged?(): void;
  /** In CSS pixels of the canvas. */
  draw?(ctx: CanvasRenderingContext2D): void;
  /** Does again what `back` took back. */
  forward?(): void;
  /** In video pixels, under the marks. */
  drawUnder?(ctx: CanvasRenderingContext2D): void;
}

/** Id of what is painted before its object is there. */
export const NEW = 65535;
const ACCENT: Rgb = [92, 107, 242];

/** The colour of what is on trial for a new object: that which the object will have. */
export function newColor(): Rgb {
  const color = store.project.value?.nextColor;
  return color ? parseColor(color) : ACCENT;
}

/** Id to paint with: the picked object's, or NEW. Null, and a line said, where it is locked. */
export function paintId(viewer: Viewer): number | null {
  const item = store.pickedItem.value;
  if (!viewer.ready) {
    store.say("One moment: this frame is still loading");
    return null;
  }
  if (item?.kind !== "object") {
    viewer.extra.set(NEW, newColor());
    return NEW;
  }
  if (item.locked) {
    store.say(`${item.name} is locked`);
    return null;
  }
  if (!item.visible) void store.act({ type: "change", key: item.key, visible: true });
  return item.id;
}

/** Takes out what `id` has on the frame, where that is left out; true where it was. */
export function beginAnew(viewer: Viewer, id: number): boolean {
  if (leftOut.value !== id) return false;
  erase(viewer.ids as Uint16Array, 0, viewer.ids.length, id);
  startsOver.value = false;
  return true;
}

export function lockedIds(): Set<number> {
  const items = store.project.value?.objects ?? [];
  return new Set(items.filter((one) => one.kind === "object" && one.locked).map((one) => one.id));
}

/** What a mask was made with, for what undo says. */
export type MaskTool = "select" | "brush" | "eraser" | "polygon";

const told = new Set<string>();
const FEW = 60;
const PART = 0.03;

/** Says it where a mask takes places from another object: each place belongs to one. */
function tellTaken(viewer: Viewer, id: number, mask: Uint8Array) {
  const before = viewer.before;
  if (!before || before.length !== mask.length) return;
  const lost = new Map<number, [taken: number, all: number]>();
  for (let p = 0; p < mask.length; p++) {
    const other = before[p]!;
    if (!other || other === id || other === NEW) continue;
    const counts = lost.get(other) ?? [0, 0];
    if (mask[p]) counts[0] += 1;
    counts[1] += 1;
    lost.set(other, counts);
  }
  for (const [other, [taken, all]] of lost) {
    const item = itemOf(store.project.value, `object:${other}`);
    const key = `${store.project.value?.path}/${other}/${id}`;
    if (!item || taken < Math.max(FEW, PART * all) || told.has(key)) continue;
    told.add(key);
    store.say(
      `What you marked is not part of ${item.name} any more: a place belongs to one object`,
    );
  }
}

/** Longer side of the picture that mean colours are taken from. */
const ENOUGH = 480;

/** The mean colour of a frame under a mask; null where its picture is not at hand. */
function groundOf(viewer: Viewer, frame: number, mask: Uint8Array): string | null {
  const picture = viewer.frames.get(frame);
  if (!picture) return null;
  const scale = Math.min(1, ENOUGH / Math.max(picture.width, picture.height));
  const [width, height] = [picture.width, picture.height].map((one) => Math.ceil(one * scale));
  const pen = new OffscreenCanvas(width!, height!).getContext("2d")!;
  pen.drawImage(picture, 0, 0, width!, height!);
  const pixels = pen.getImageData(0, 0, width!, height!);
  return meanUnder(mask, viewer.video, pixels.data, pixels);
}

let queue: Promise<unknown> = Promise.resolve();

/** Done when all masks that were made are on the server. */
export const sent = (): Promise<unknown> => queue;

/**
 * Sends the mask of `id` on `frame`; masks go one after the other. What is NEW goes to the picked
 * object if there is one by then, or to `another`.
 */
export function sendMask(
  viewer: Viewer,
  id: number,
  frame: number,
  mask: Uint8Array | null,
  by: MaskTool,
  another = false,
) {
  const { width, height } = viewer.video;
  if (mask) tellTaken(viewer, id, mask);
  const send = async () => {
    let target = id;
    if (id === NEW) {
      if (!mask) return;
      const made = another ? await store.added("object") : await store.pickedOr("object");
      if (!made) return;
      target = made.id;
    }
    const png = base64(await encodePng(width, height, mask ?? new Uint8Array(width * height)));
    const isFree = itemOf(store.project.value, `object:${target}`)?.colorIsFree;
    const ground = (isFree && mask && groundOf(viewer, frame, mask)) || undefined;
    const before = JSON.stringify(marksOn(store.project.value, frame));
    const post = () =>
      api.action({
        ...{ type: "mask", id: target, frame, png, by, ground },
        revision: store.state.value?.revision,
      });
    await store.attempt(async () => {
      try {
        await post();
      } catch (error) {
        if (!(error instanceof ApiError) || error.status !== 409) throw error;
        // Something else went on (tracking, another window): the same again where this frame is
        // still as it was.
        await store.refresh();
        if (JSON.stringify(marksOn(store.project.value, frame)) !== before) throw error;
        await post();
      }
      await store.refresh();
    });
  };
  store.sending.value += 1;
  queue = queue.then(send, send);
  return queue.finally(() => {
    store.sending.value -= 1;
    viewer.letGo();
  });
}

/**
 * After painting: an empty mask that an eraser has left takes the mark away, or says "gone" where
 * only a track was. What was painted beside the picture, or on locked objects alone, is nothing.
 */
export function finishPaint(viewer: Viewer, id: number, frame: number, by: MaskTool) {
  const mask = maskOf(viewer.ids, id);
  if (!mask && (by === "brush" || by === "polygon")) return Promise.resolve(viewer.letGo());
  const item = store.project.value?.objects.find((one) => one.kind === "object" && one.id === id);
  const marked = marksOn(store.project.value, frame).objects?.includes(id);
  if (mask || !item || marked) return sendMask(viewer, id, frame, mask, by);
  return store.act({ type: "gone", key: item.key, frame }).finally(() => viewer.letGo());
}
