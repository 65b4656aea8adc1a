// A correction makes all of a tracked mask a mark: pieces of it that were hardly meant are told.

import { computed, signal } from "@preact/signals";
import { maskOf } from "../core/masks.ts";
import { leftOver, type Piece, piecesLine, piecesOf, seenOf } from "../core/pieces.ts";
import { type Rect, union } from "../core/raster.ts";
import { isTracked, itemOf, marksOn } from "../core/state.ts";
import { toScreen, type View } from "../core/view.ts";
import { twoTone } from "../shapes.ts";
import * as store from "../store.ts";
import type { Viewer } from "../viewer.ts";
import { finishPaint, lockedIds } from "./tool.ts";

/** To be called when a mask is painted and not sent yet. touched: where it was corrected. */
export function tellLeftOver(viewer: Viewer, id: number, frame: number, touched: Rect | null) {
  const project = store.project.value;
  const item = itemOf(project, `object:${id}`);
  if (!project || !item || !touched || marksOn(project, frame).objects?.includes(id)) return;
  if (!isTracked(project, item, frame)) return;
  const mask = maskOf(viewer.ids as Uint16Array, id);
  if (!mask) return;
  const seen = seenOf(viewer.view, viewer.video, viewer.screen);
  const pieces = leftOver(piecesOf(mask, viewer.video), viewer.video.width, seen, touched);
  if (pieces.length) tell(viewer, { id, frame, pieces, name: item.name });
}

type Left = { id: number; frame: number; pieces: Piece[]; name: string };

function tell(viewer: Viewer, left: Left, shows = false) {
  const toast = store.say(piecesLine(left.name, left.pieces.length, left.frame), false, [
    {
      text: "Show",
      run: () => {
        store.playing.value = false;
        store.goTo(left.frame);
        viewer.look(left.pieces.map(({ box }) => box).reduce((all, box) => union(all, box)!));
        tell(viewer, left, true);
      },
    },
    {
      text: left.pieces.length === 1 ? "Remove it" : "Remove them",
      run: () => {
        store.dismiss(toast);
        void remove(viewer, left);
      },
    },
  ]);
  if (shows) shown.value = { toast, frame: left.frame, boxes: left.pieces.map(({ box }) => box) };
}

const shown = signal<{ toast: number; frame: number; boxes: Rect[] } | null>(null);
/** What has a ring now: pieces that are shown, as long as their line is there. */
export const ringed = computed(() => {
  const now = shown.value;
  if (!now || now.frame !== store.frame.value) return [];
  return store.toasts.value.some(({ id }) => id === now.toast) ? now.boxes : [];
});

/** Rings around the pieces that are shown: the smallest is a few pixels. */
export function drawRings(ctx: CanvasRenderingContext2D, view: View) {
  for (const [left, top, right, bottom] of ringed.peek()) {
    const [x, y] = toScreen(view, [(left + right - 1) / 2, (top + bottom - 1) / 2]);
    const [across, down] = [right - left, bottom - top].map((side) => 0.6 * side * view.scale + 8);
    ctx.beginPath();
    ctx.ellipse(x, y, across!, down!, 0, 0, 2 * Math.PI);
    twoTone(ctx, "#fff", 2);
  }
}

/** Takes the pieces, and nothing else, from the mark: one step to undo. */
async function remove(viewer: Viewer, { id, frame, pieces, name }: Left) {
  store.playing.value = false;
  store.goTo(frame);
  if (!(await isThere(viewer, frame))) return;
  if (lockedIds().has(id)) return store.say(`${name} is locked`);
  viewer.hold();
  const ids = viewer.ids as Uint16Array;
  for (const { pixels } of pieces) for (const p of pixels) if (ids[p] === id) ids[p] = 0;
  viewer.repaint([0, 0, viewer.video.width, viewer.video.height]);
  await finishPaint(viewer, id, frame, "eraser");
}

/** Whether a frame that was gone to is on show with its masks, once these had time to come. */
async function isThere(viewer: Viewer, frame: number): Promise<boolean> {
  for (let n = 0; n < 100 && store.frame.peek() === frame; n++) {
    if (viewer.ready && viewer.idsFrame === frame) return true;
    await new Promise((done) => setTimeout(done, 50));
  }
  return false;
}
