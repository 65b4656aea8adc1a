// Polygon: corner by corner, closed on its first corner, by a double click or by Enter.

import { polygon as fill, paint } from "../core/raster.ts";
import { type Point, toScreen } from "../core/view.ts";
import { SAID } from "../core/words.ts";
import { twoTone } from "../shapes.ts";
import * as store from "../store.ts";
import type { Viewer } from "../viewer.ts";
import { say } from "../words.ts";
import { tellLeftOver } from "./leftover.ts";
import { beginAnew, finishPaint, lockedIds, paintId, type Tool } from "./tool.ts";

const NEAR = 10;

export function polygon(viewer: Viewer): Tool {
  let corners: Point[] = [];
  let id: number | null = null;

  const atFirst = (screen: Point) => {
    const first = corners[0];
    if (!first || corners.length < 3) return false;
    const [x, y] = toScreen(viewer.view, first);
    return Math.hypot(screen[0] - x, screen[1] - y) <= NEAR;
  };

  function tell() {
    const next = corners.length < 3 ? SAID.nextCorner : SAID.close;
    store.toolLine.value = corners.length ? say(next) : "";
  }

  function finish() {
    const shape = corners;
    corners = [];
    store.toolLine.value = "";
    if (shape.length < 3 || id === null) return viewer.redraw();
    viewer.hold();
    beginAnew(viewer, id);
    const width = viewer.video.width;
    const locked = lockedIds();
    const ids = viewer.ids as Uint16Array;
    const dirty = fill(viewer.video, shape, (row, from, to) =>
      paint(ids, row * width + from, row * width + to, id!, locked),
    );
    viewer.repaint(dirty);
    tellLeftOver(viewer, id, store.frame.value, dirty);
    void finishPaint(viewer, id, store.frame.value, "polygon");
  }

  return {
    cursor: "crosshair",
    down(pen) {
      if (atFirst(pen.screen)) return finish();
      if (!corners.length) id = paintId(viewer);
      if (id === null) return;
      store.playing.value = false;
      corners.push(pen.at);
      tell();
      viewer.redraw();
    },
    move: () => viewer.redraw(),
    up: () => {},
    hover: () => viewer.redraw(),
    double: () => {
      corners.pop();
      finish();
    },
    accept: finish,
    back() {
      corners.pop();
      tell();
      viewer.redraw();
    },
    cancel() {
      corners = [];
      store.toolLine.value = "";
      viewer.redraw();
    },
    drop() {
      corners.pop();
      tell();
      viewer.redraw();
    },
    frameChanged() {
      this.cancel();
    },
    draw(ctx) {
      if (!corners.length) return;
      const places = corners.map((corner) => toScreen(viewer.view, corner));
      ctx.beginPath();
      for (const [x, y] of places) ctx.lineTo(x, y);
      if (viewer.hover) ctx.lineTo(...toScreen(viewer.view, viewer.hover));
      twoTone(ctx, "#fff", 1.5);
      for (const [n, [x, y]] of places.entries()) {
        ctx.beginPath();
        ctx.arc(x, y, n ? 3 : 5, 0, 2 * Math.PI);
        ctx.fillStyle = n ? "#fff" : "#5c6bf2";
        ctx.fill();
        ctx.lineWidth = 1.5;
        ctx.strokeStyle = n ? "rgba(0,0,0,.5)" : "#fff";
        ctx.stroke();
      }
    },
  };
}
