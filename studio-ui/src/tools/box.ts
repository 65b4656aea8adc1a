// Box: drag a new one; drag a side or corner of the picked one to fit it, its inside to move it.
// One that is drawn beside that on the same frame is another one, one over it takes its place.

import { clampTo, type Point, toScreen } from "../core/view.ts";
import { type Box, shapeOf, twoTone } from "../shapes.ts";
import * as store from "../store.ts";
import type { Viewer } from "../viewer.ts";
import type { Pen, Tool } from "./tool.ts";

const NEAR = 8;
/** Whether two boxes have nothing in common. */
function apart([x, y, w, h]: Box, [u, v, width, height]: Box): boolean {
  return x + w <= u || u + width <= x || y + h <= v || v + height <= y;
}

type Grip = { left: boolean; right: boolean; top: boolean; bottom: boolean; all: boolean };

export function box(viewer: Viewer): Tool {
  let start: Point | null = null;
  let origin: Box | null = null;
  let grip: Grip | null = null;
  let now: Box | null = null;
  let fresh = false;

  function current(): Box | null {
    const item = store.pickedItem.value;
    if (item?.kind !== "box" || item.locked) return null;
    const { marks, tracks, frame } = store;
    const shape = shapeOf(item, marks.value, tracks.value, frame.value, viewer.video);
    return shape?.kind === "box" ? shape.at : null;
  }

  function gripAt(at: Box, screen: Point): Grip | null {
    const [left, top] = toScreen(viewer.view, [at[0], at[1]]);
    const [right, bottom] = toScreen(viewer.view, [at[0] + at[2], at[1] + at[3]]);
    const [x, y] = screen;
    if (x < left - NEAR || x > right + NEAR || y < top - NEAR || y > bottom + NEAR) return null;
    const near = (a: number, b: number) => Math.abs(a - b) <= NEAR;
    const found = {
      left: near(x, left),
      right: near(x, right) && !near(x, left),
      top: near(y, top),
      bottom: near(y, bottom) && !near(y, top),
    };
    return { ...found, all: !Object.values(found).some(Boolean) };
  }

  function dragged(pen: Pen): Box {
    const [x, y] = clampTo(viewer.video, pen.at);
    const [sx, sy] = start!;
    if (!origin || !grip) {
      return [Math.min(sx, x), Math.min(sy, y), Math.abs(x - sx), Math.abs(y - sy)];
    }
    const [dx, dy] = [x - sx, y - sy];
    let [l, t, r, b] = [origin[0], origin[1], origin[0] + origin[2], origin[1] + origin[3]];
    if (grip.left || grip.all) l += dx;
    if (grip.right || grip.all) r += dx;
    if (grip.top || grip.all) t += dy;
    if (grip.bottom || grip.all) b += dy;
    return [Math.min(l, r), Math.min(t, b), Math.abs(r - l), Math.abs(b - t)];
  }

  async function send(at: Box, another: boolean) {
    const frame = store.frame.value;
    const item = store.pickedItem.value;
    const marked = item?.kind === "box" ? store.marks.value.boxes?.[String(item.id)] : null;
    const isAnother = marked && (another || apart(marked, at));
    const key = isAnother ? await store.add("box", { opens: true }) : undefined;
    if (key === null) return;
    const target = await store.pickedOr("box");
    if (target) await store.act({ type: "box", id: target.id, frame, at });
  }

  return {
    cursor: "crosshair",
    down(pen) {
      store.playing.value = false;
      start = clampTo(viewer.video, pen.at);
      origin = pen.shift ? null : current();
      grip = origin && gripAt(origin, pen.screen);
      if (!grip) origin = null;
      fresh = !origin;
      now = null;
    },
    move(pen) {
      if (!start) return;
      now = dragged(pen);
      viewer.redraw();
    },
    up(pen) {
      if (!start) return;
      const at = dragged(pen);
      start = null;
      if (at[2] * viewer.view.scale < 4 || at[3] * viewer.view.scale < 4) {
        now = null;
        viewer.redraw();
        return;
      }
      void send(at, fresh && pen.shift).finally(() => {
        now = null;
        viewer.redraw();
      });
    },
    cancel() {
      start = now = null;
      viewer.redraw();
    },
    frameChanged() {
      this.cancel();
    },
    draw(ctx) {
      const at = now ?? current();
      if (!at) return;
      const [x, y] = toScreen(viewer.view, [at[0], at[1]]);
      const [w, h] = [at[2] * viewer.view.scale, at[3] * viewer.view.scale];
      if (now) {
        ctx.beginPath();
        ctx.rect(x, y, w, h);
        twoTone(ctx, "#fff", 1.5);
      }
      for (const [cx, cy] of [
        [x, y],
        [x + w, y],
        [x, y + h],
        [x + w, y + h],
      ] as const) {
        ctx.fillStyle = "#fff";
        ctx.fillRect(cx - 4, cy - 4, 8, 8);
        ctx.strokeStyle = "rgba(0,0,0,.55)";
        ctx.lineWidth = 1;
        ctx.strokeRect(cx - 4, cy - 4, 8, 8);
      }
    },
  };
}
