// Brush and eraser: strokes go straight into the ids on show; the mask is sent when the pen lifts.

import { erase, grow, paint, type Rect, stroke, sweep, union } from "../core/raster.ts";
import { type Point, toScreen } from "../core/view.ts";
import * as store from "../store.ts";
import type { Viewer } from "../viewer.ts";
import { tellLeftOver } from "./leftover.ts";
import { leftOut, startsOver } from "./over.ts";
import { beginAnew, finishPaint, lockedIds, NEW, type Pen, paintId, type Tool } from "./tool.ts";

export const SIZES = [1, 400] as const;

export function resizeBrush(factor: number) {
  const now = store.brushSize.value;
  const next = factor > 1 ? Math.max(now + 1, now * factor) : Math.min(now - 1, now * factor);
  store.brushSize.value = Math.round(Math.min(SIZES[1], Math.max(SIZES[0], next)));
}

/** Pixels around a stroke of the eraser in which parts that it left may lie. */
const SWEPT = 16;
let resized = Number.NEGATIVE_INFINITY;
const SHOWN = 1200;
/** Where a brush's ring is drawn: under the pen; for a while after resizing in the middle. */
export function ringAt(viewer: Viewer): Point | null {
  if (viewer.hover) return toScreen(viewer.view, viewer.hover);
  if (performance.now() - resized > SHOWN) return null;
  return [viewer.screen.width / 2, viewer.screen.height / 2];
}

/** After the brush got another size: shown even where no pen is over the picture. */
export function showRing(viewer: Viewer) {
  resized = performance.now();
  setTimeout(() => viewer.redraw(), SHOWN + 50);
  viewer.redraw();
}

/** The ring of a brush, in CSS pixels; that of a rubber has a line in its middle. */
export function drawRing(
  ctx: CanvasRenderingContext2D,
  [x, y]: Point,
  radius: number,
  color: string,
  rubber: boolean,
) {
  for (const [width, style] of [
    [3, "rgba(0,0,0,0.55)"],
    [1.5, color],
  ] as const) {
    ctx.beginPath();
    ctx.arc(x, y, Math.max(1, radius), 0, 2 * Math.PI);
    ctx.lineWidth = width;
    ctx.strokeStyle = style;
    ctx.stroke();
  }
  if (!rubber) return;
  ctx.beginPath();
  ctx.moveTo(x - 4, y);
  ctx.lineTo(x + 4, y);
  ctx.stroke();
}

/** A pen that presses lightly paints with a third of the brush. */
const radiusOf = (pressure: number) => (store.brushSize.value / 2) * (0.3 + 0.7 * pressure);

export function brush(viewer: Viewer, rubber: boolean): Tool {
  let id: number | null = null;
  let last: Point | null = null;
  let frame = -1;
  let away = rubber;
  let touched: Rect | null = null;
  let anew = false;

  function draw(from: Point, to: Point, pressure: number): Rect | null {
    const width = viewer.video.width;
    const locked = lockedIds();
    const ids = viewer.ids as Uint16Array;
    return stroke(viewer.video, from, to, radiusOf(pressure), (row, left, right) => {
      const [a, b] = [row * width + left, row * width + right];
      if (away) erase(ids, a, b, id!);
      else paint(ids, a, b, id!, locked);
    });
  }

  function follow(pen: Pen) {
    let dirty: Rect | null = null;
    for (const at of pen.trail) {
      dirty = union(dirty, draw(last ?? at, at, pen.pressure));
      last = at;
    }
    touched = union(touched, dirty);
    viewer.repaint(dirty);
  }

  return {
    cursor: "none",
    down(pen) {
      id = paintId(viewer);
      if (id === null) return;
      away = rubber !== pen.other;
      if (away && id === NEW) {
        store.say("Pick an object to erase from");
        id = null;
        return;
      }
      if (away && id === leftOut.value) {
        const name = store.pickedItem.value?.name;
        store.say(`${name} has nothing to erase on this frame yet: mark it first`);
        id = null;
        return;
      }
      store.playing.value = false;
      frame = store.frame.value;
      viewer.hold();
      last = touched = null;
      anew = beginAnew(viewer, id);
      follow(pen);
    },
    move(pen) {
      if (id !== null && frame === store.frame.value) follow(pen);
    },
    up() {
      if (id === null) return;
      const done = id;
      id = null;
      if (away && touched) {
        const before = (viewer.before ?? viewer.ids) as Uint16Array;
        sweep(viewer.ids as Uint16Array, before, viewer.video, touched, done);
        viewer.repaint(grow(touched, SWEPT, viewer.video));
      }
      tellLeftOver(viewer, done, frame, touched);
      void finishPaint(viewer, done, frame, away ? "eraser" : "brush");
    },
    cancel() {
      if (id === null) return;
      id = null;
      viewer.letGo();
    },
    drop() {
      const over = id !== null && anew;
      this.cancel();
      if (over) startsOver.value = true; // the next stroke begins it as this one would have
    },
    frameChanged() {
      this.cancel();
    },
    draw(ctx) {
      const place = ringAt(viewer);
      if (!place) return;
      drawRing(ctx, place, (store.brushSize.value / 2) * viewer.view.scale, "#fff", rubber);
    },
  };
}
