// Smart select: clicks and drags inside (or, with Alt or the right button, outside) grow a region;
// Enter takes it as the object's mask. A plain click on a point or box picks it.

import { signal } from "@preact/signals";
import { api } from "../api.ts";
import { colour, parseColor } from "../core/masks.ts";
import { type Point, toScreen, inside as within } from "../core/view.ts";
import * as store from "../store.ts";
import type { Viewer } from "../viewer.ts";
import { ACCENT, lockedIds, NEW, type Pen, paintId, sendMask, type Tool } from "./tool.ts";

/** Where there is a region to accept; the viewer's buttons show for it. */
export const pending = signal(false);
export const selecting = signal(false);
export const selectSize = signal<number | null>(null);
const APART = 6;

export function select(viewer: Viewer): Tool {
  let marksIn: Point[] = [];
  let marksOut: Point[] = [];
  let mask: Uint16Array | null = null;
  let drawing: Point[] | null = null;
  let id = NEW;
  let request: AbortController | null = null;
  const layer = document.createElement("canvas");

  function add(pen: Pen) {
    for (const at of pen.trail) {
      const last = drawing?.at(-1);
      const far =
        !last || Math.hypot(at[0] - last[0], at[1] - last[1]) * viewer.view.scale >= APART;
      if (far && within(viewer.video, at)) drawing?.push(at);
    }
    viewer.redraw();
  }

  async function ask() {
    if (!marksIn.length) return;
    request?.abort();
    const mine = new AbortController();
    request = mine;
    selecting.value = true;
    const size = selectSize.value;
    await store.attempt(async () => {
      const body = { frame: store.frame.value, inside: marksIn, outside: marksOut };
      const found = await api.select({ ...body, ...(size === null ? {} : { size }) }, mine.signal);
      if (mine !== request) return;
      mask = found.values;
      viewer.hide(id);
      show();
      pending.value = true;
    });
    if (mine === request) selecting.value = false;
  }

  function show() {
    if (!mask) return;
    const { width, height } = viewer.video;
    layer.width = width;
    layer.height = height;
    const item = store.pickedItem.value;
    const color = item?.kind === "object" ? parseColor(item.color) : ACCENT;
    const ids = mask.map((value) => (value ? 1 : 0));
    const palette = new Map([[1, { color, visible: true }]]);
    const pixels = colour(ids, viewer.video, [0, 0, width, height], palette, "overlay");
    layer.getContext("2d")!.putImageData(new ImageData(pixels, width, height), 0, 0);
    viewer.redraw();
  }

  function reset() {
    request?.abort();
    request = null;
    marksIn = [];
    marksOut = [];
    mask = drawing = null;
    pending.value = false;
    selecting.value = false;
    selectSize.value = null;
    viewer.hide(null);
    store.toolLine.value = "";
    viewer.redraw();
  }

  const stop = selectSize.subscribe((value) => {
    if (value !== null && marksIn.length) void ask();
  });

  return {
    cursor: "crosshair",
    down(pen) {
      if (!within(viewer.video, pen.at)) return;
      if (!marksIn.length) {
        const wanted = paintId(viewer);
        if (wanted === null) return;
        id = wanted;
      }
      if (pen.other && !marksIn.length) {
        store.say("Click inside the object first");
        return;
      }
      store.playing.value = false;
      drawing = [];
      add(pen);
    },
    move(pen) {
      if (drawing) add(pen);
    },
    up(pen) {
      if (!drawing) return;
      (pen.other ? marksOut : marksIn).push(...drawing);
      drawing = null;
      store.toolLine.value = "Click to add, Alt-click to take away";
      void ask();
    },
    accept() {
      if (!mask) return;
      const ids = viewer.ids;
      const locked = lockedIds();
      viewer.hold();
      const chosen = new Uint8Array(ids.length);
      const now = viewer.ids as Uint16Array;
      for (let p = 0; p < chosen.length; p++) {
        const free = mask[p]! > 0 && !locked.has(now[p]!);
        chosen[p] = free ? 255 : 0;
        if (free) now[p] = id;
        else if (now[p] === id) now[p] = 0;
      }
      viewer.repaint([0, 0, viewer.video.width, viewer.video.height]);
      void sendMask(viewer, id, store.frame.value, chosen);
      reset();
    },
    back() {
      if (marksOut.length) marksOut.pop();
      else marksIn.pop();
      if (marksIn.length) void ask();
      else reset();
    },
    cancel() {
      reset();
      if (store.tool.value !== "select") stop();
    },
    frameChanged: reset,
    drawUnder(ctx) {
      if (mask) ctx.drawImage(layer, 0, 0);
    },
    draw(ctx) {
      const both = [
        [marksIn, "#3ddc84"],
        [marksOut, "#ff5a5a"],
        [drawing ?? [], "#fff"],
      ] as const;
      for (const [places, color] of both) {
        for (const at of places) {
          const [x, y] = toScreen(viewer.view, at);
          ctx.beginPath();
          ctx.arc(x, y, 4.5, 0, 2 * Math.PI);
          ctx.fillStyle = color;
          ctx.fill();
          ctx.lineWidth = 1.5;
          ctx.strokeStyle = "rgba(0,0,0,.65)";
          ctx.stroke();
        }
      }
    },
  };
}
