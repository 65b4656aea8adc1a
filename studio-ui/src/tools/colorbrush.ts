// Paints colours on a frame; Alt picks one from the picture. The wipe's line is dragged where it is.

import { referenceOn, thinned, withStroke } from "../core/color.ts";

import { type Point, toScreen, inside as within } from "../core/view.ts";
import * as store from "../store.ts";
import type { Viewer } from "../viewer.ts";
import type { Pen, Tool } from "./tool.ts";

const NEAR = 7;

export function colorBrush(viewer: Viewer): Tool {
  let points: Point[] | null = null;
  let wiping = false;
  let frame = -1;
  let sent: Promise<unknown> = Promise.resolve(); // each adds to what the one before it has left

  const onWipe = (pen: Pen) => {
    if (!viewer.canvas.dataset.coloured) return false;
    const [x] = toScreen(viewer.view, [store.wipe.value * viewer.video.width, 0]);
    return Math.abs(pen.screen[0] - x) < NEAR;
  };
  const radius = () => store.brushSize.value / 2;

  function pick(pen: Pen) {
    const ratio = devicePixelRatio;
    const [x, y] = pen.screen.map((value) => Math.floor(value * ratio)) as Point;
    const data = viewer.canvas.getContext("2d")!.getImageData(x, y, 1, 1).data;
    const parts = [...data.subarray(0, 3)].map((part) => part.toString(16).padStart(2, "0"));
    store.paintColor.value = `#${parts.join("")}`;
  }

  function show() {
    if (!points) return;
    const color = store.paintColor.value;
    viewer.color.stroke = { color, radius: radius(), points };
    viewer.redraw();
  }

  async function send(stroke: NonNullable<typeof viewer.color.stroke>, on: number) {
    const before = referenceOn(store.project.value, on)?.strokes ?? [];
    const strokes = withStroke(before, stroke);
    if (!strokes) store.say("This frame has 500 strokes: no more fit", true);
    else await store.act({ type: "colorStrokes", frame: on, strokes });
    if (viewer.color.stroke === stroke) viewer.color.stroke = null;
    viewer.redraw();
  }

  return {
    cursor: "crosshair",
    down(pen) {
      store.playing.value = false;
      if (onWipe(pen)) wiping = true;
      else if (pen.other) pick(pen);
      else if (within(viewer.video, pen.at)) {
        points = [...pen.trail];
        frame = store.frame.value;
        show();
      }
    },
    move(pen) {
      if (wiping) store.wipe.value = Math.min(1, Math.max(0, pen.at[0] / viewer.video.width));
      else if (points) {
        points.push(...pen.trail);
        show();
      }
    },
    up() {
      wiping = false;
      if (!points) return;
      const stroke = {
        color: store.paintColor.value,
        radius: radius(),
        points: thinned(points, radius()),
      };
      points = null;
      viewer.color.stroke = stroke;
      const on = frame;
      sent = sent.then(() => send(stroke, on));
    },
    cancel() {
      wiping = false;
      points = null;
      viewer.color.stroke = null;
      viewer.redraw();
    },
    frameChanged() {
      if (points) this.cancel();
    },
    draw(ctx) {
      const at = viewer.hover;
      if (!at) return;
      const [x, y] = toScreen(viewer.view, at);
      ctx.beginPath();
      ctx.arc(x, y, Math.max(1, radius() * viewer.view.scale), 0, 2 * Math.PI);
      ctx.lineWidth = 3;
      ctx.strokeStyle = "rgba(0,0,0,0.55)";
      ctx.stroke();
      ctx.lineWidth = 1.5;
      ctx.strokeStyle = store.paintColor.value;
      ctx.stroke();
    },
  };
}
