// Moves a picture that is placed on the frame: drag a corner, or all of it.

import { cornerAt, isConvex, isInside, type Quad } from "../core/quad.ts";
import type { Point } from "../core/view.ts";
import * as store from "../store.ts";
import type { Viewer } from "../viewer.ts";
import type { Tool } from "./tool.ts";

const REACH = 14;

export function picture(viewer: Viewer): Tool {
  let drag: { id: number; corner: number | null; from: Point; quad: Quad } | null = null;
  const { pictures } = viewer;

  return {
    cursor: "move",
    down(pen) {
      for (const one of pictures.here().reverse()) {
        const quad = pictures.quadOf(one);
        const corner = cornerAt(quad, pen.at, REACH / viewer.view.scale);
        if (corner === null && !isInside(quad, pen.at)) continue;
        drag = { id: one.id, corner, from: pen.at, quad };
        return;
      }
    },
    move(pen) {
      if (!drag) return;
      const { corner, from, id } = drag;
      const by: Point = [pen.at[0] - from[0], pen.at[1] - from[1]];
      const quad = drag.quad.map(([x, y], n) =>
        corner === null || corner === n ? [x + by[0], y + by[1]] : [x, y],
      ) as Quad;
      if (isConvex(quad)) pictures.moved = { id, quad };
      viewer.redraw();
    },
    up() {
      const moved = pictures.moved;
      drag = null;
      if (!moved) return;
      const frame = store.frame.value;
      void store.act({ type: "textureMove", frame, ...moved }).finally(() => {
        if (pictures.moved === moved) pictures.moved = null;
        viewer.redraw();
      });
    },
    cancel() {
      drag = null;
      pictures.moved = null;
      viewer.redraw();
    },
  };
}
