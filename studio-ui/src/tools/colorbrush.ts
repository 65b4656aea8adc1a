// Paints colours on a frame, or erases them; Alt picks one from the picture.

import { addStroke, removeStrokeAt, strokesOn } from "../colorwork.ts";
import { thinned } from "../core/color.ts";
import { type Point, inside as within } from "../core/view.ts";
import * as store from "../store.ts";
import type { Viewer } from "../viewer.ts";
import { drawRing, ringAt } from "./brush.ts";
import type { Pen, Tool } from "./tool.ts";

const LOADING = "One moment: this frame is still loading";
const NONE = "This frame has no strokes to erase";

const NO_STROKE = "There is no stroke here. Drag to rub a part of one out";

/** Whether the pen stayed where it was put down, but for a tremble of two pixels. */
const isClick = (points: Point[]) =>
  points.every(([x, y]) => Math.hypot(x - points[0]![0], y - points[0]![1]) <= 2);

export function colorBrush(viewer: Viewer, rubber = false): Tool {
  let points: Point[] | null = null;
  let frame = -1;

  const radius = () => store.brushSize.value / 2;

  function pick(pen: Pen) {
    const ratio = devicePixelRatio;
    const [x, y] = pen.screen.map((value) => Math.floor(value * ratio)) as Point;
    const data = viewer.canvas.getContext("2d")!.getImageData(x, y, 1, 1).data;
    const parts = [...data.subarray(0, 3)].map((part) => part.toString(16).padStart(2, "0"));
    store.paintColor.value = `#${parts.join("")}`;
  }

  const paint = () => (rubber ? null : store.paintColor.value);

  function show() {
    if (!points) return;
    viewer.color.stroke = { color: paint(), radius: radius(), points };
    viewer.redraw();
  }

  return {
    cursor: "crosshair",
    down(pen) {
      store.playing.value = false;
      if (pen.other && !rubber) pick(pen);
      else if (rubber && !strokesOn(store.frame.value)) store.say(NONE);
      else if (!viewer.frames.get(store.frame.value)) store.say(LOADING);
      else if (within(viewer.video, pen.at)) {
        points = [...pen.trail];
        frame = store.frame.value;
        // Who paints on the grey side of the wipe wants to see the colour there.
        if (!rubber && pen.at[0] + 0.5 < store.wipe.value * viewer.video.width)
          store.wipe.value = 0;
        show();
      }
    },
    move(pen) {
      if (!points) return;
      points.push(...pen.trail);
      show();
    },
    up() {
      if (!points) return;
      if (rubber && isClick(points)) {
        const place = points[0]!;
        this.cancel();
        if (!removeStrokeAt(frame, place)) store.say(NO_STROKE);
        return;
      }
      const stroke = {
        color: paint(),
        radius: radius(),
        points: thinned(points, radius()),
      };
      points = null;
      viewer.color.stroke = null;
      addStroke(frame, stroke);
    },
    cancel() {
      points = null;
      viewer.color.stroke = null;
      viewer.redraw();
    },
    frameChanged() {
      if (points) this.cancel();
    },
    draw(ctx) {
      const place = ringAt(viewer);
      const color = rubber ? "#fff" : store.paintColor.value;
      if (place) drawRing(ctx, place, radius() * viewer.view.scale, color, rubber);
    },
  };
}
