// Points and skeletons: click to place, and the next; drag to move; what is near is picked.

import type { Item, Joint } from "../core/state.ts";
import { clampTo, inside, type Point, toScreen } from "../core/view.ts";
import { jointWords, SAID } from "../core/words.ts";
import { shapeOf, twoTone } from "../shapes.ts";
import * as store from "../store.ts";
import type { Viewer } from "../viewer.ts";
import { say } from "../words.ts";
import type { Tool } from "./tool.ts";

const NEAR = 14;

function near(viewer: Viewer, at: Point, screen: Point): boolean {
  const [x, y] = toScreen(viewer.view, at);
  return Math.hypot(x - screen[0], y - screen[1]) <= NEAR;
}

function drawMoved(ctx: CanvasRenderingContext2D, viewer: Viewer, at: Point | null) {
  if (!at) return;
  ctx.beginPath();
  ctx.arc(...toScreen(viewer.view, at), 8, 0, 2 * Math.PI);
  twoTone(ctx, "#fff", 2);
}

function shapesOn(kind: Item["kind"], { video }: Viewer) {
  const items = store.project.value?.objects ?? [];
  return items
    .filter((item) => item.kind === kind && item.visible && !item.locked)
    .map((item) => shapeOf(item, store.marks.value, store.tracks.value, store.frame.value, video))
    .filter((shape) => shape !== null);
}

/** Whether the picked point was put on this frame already: a click elsewhere is for another one. */
function isPut(): boolean {
  const item = store.pickedItem.value;
  return item?.kind === "point" && Boolean(store.marks.value.points?.[String(item.id)]);
}

export function point(viewer: Viewer): Tool {
  let moved: Point | null = null;
  let another = false;
  return {
    cursor: "crosshair",
    down(pen) {
      if (!inside(viewer.video, pen.at)) return; // nothing is meant beside the picture
      store.playing.value = false;
      const hit = shapesOn("point", viewer).find(
        (shape) => shape.kind === "point" && near(viewer, shape.at, pen.screen),
      );
      if (hit) store.picked.value = hit.item.key;
      another = !hit && (pen.shift || isPut());
      moved = clampTo(viewer.video, pen.at);
      viewer.redraw();
    },
    move(pen) {
      if (moved) moved = clampTo(viewer.video, pen.at);
      viewer.redraw();
    },
    up(pen) {
      if (!moved) return;
      const at = clampTo(viewer.video, pen.at);
      const frame = store.frame.value;
      void (async () => {
        if (another && !(await store.add("point", { opens: true }))) return;
        const target = await store.pickedOr("point");
        if (target) await store.act({ type: "point", id: target.id, frame, at });
      })().finally(() => {
        moved = null;
        viewer.redraw();
      });
    },
    cancel() {
      moved = null;
    },
    draw: (ctx) => drawMoved(ctx, viewer, moved),
  };
}

export function skeleton(viewer: Viewer): Tool {
  let joint = -1;
  let moved: Point | null = null;
  let skipped = new Set<number>();

  function joints(): { item: Item; joints: Joint[] } | null {
    const item = store.pickedItem.value;
    if (item?.kind !== "keypoints") return null;
    const { marks, tracks, frame } = store;
    const shape = shapeOf(item, marks.value, tracks.value, frame.value, viewer.video);
    const empty: Joint[] = (item.joints ?? []).map(() => null);
    return { item, joints: shape?.kind === "keypoints" ? shape.joints : empty };
  }

  function next(): number {
    const now = joints();
    return now ? now.joints.findIndex((one, n) => one === null && !skipped.has(n)) : 0;
  }

  function tell() {
    const now = joints();
    const n = next();
    store.toolLine.value =
      now && n >= 0
        ? say(jointWords(now.item.joints?.[n] ?? "", n + 1, now.joints.length))
        : now
          ? "All placed. Drag a joint to move it"
          : say(SAID.skeleton);
  }

  return {
    cursor: "crosshair",
    down(pen) {
      if (!inside(viewer.video, pen.at)) return;
      store.playing.value = false;
      moved = clampTo(viewer.video, pen.at);
      joint = -1;
      for (const shape of shapesOn("keypoints", viewer)) {
        if (shape.kind !== "keypoints") continue;
        const hit = shape.joints.findIndex(
          (one) => Array.isArray(one) && near(viewer, one, pen.screen),
        );
        if (hit < 0) continue;
        store.picked.value = shape.item.key;
        joint = hit;
      }
      viewer.redraw();
    },
    move(pen) {
      if (moved) moved = clampTo(viewer.video, pen.at);
      viewer.redraw();
    },
    up(pen) {
      if (!moved) return;
      const at = clampTo(viewer.video, pen.at);
      const frame = store.frame.value;
      void (async () => {
        const target = await store.pickedOr("keypoints");
        const n = joint >= 0 ? joint : next();
        if (target && n >= 0) {
          await store.act({ type: "joint", id: target.id, frame, joint: n, at });
        }
      })().finally(() => {
        moved = null;
        tell();
        viewer.redraw();
      });
    },
    back() {
      const n = next();
      if (n >= 0) skipped.add(n);
      tell();
    },
    hover: tell,
    cancel() {
      moved = null;
    },
    frameChanged() {
      skipped = new Set();
      tell();
    },
    draw: (ctx) => drawMoved(ctx, viewer, moved),
  };
}
