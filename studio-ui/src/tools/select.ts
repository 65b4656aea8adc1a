// Smart select: clicks and drags inside (or, with Alt, the right button or "Take away", outside)
// grow a region; Enter takes it as the object's mask.

import { signal, untracked } from "@preact/signals";
import { api } from "../api.ts";
import { colour, parseColor } from "../core/masks.ts";
import { itemOf, regionOf, selectTarget } from "../core/state.ts";
import { type Point, toScreen, inside as within } from "../core/view.ts";
import { SAID } from "../core/words.ts";
import * as store from "../store.ts";
import type { Viewer } from "../viewer.ts";
import { say } from "../words.ts";
import { lockedIds, NEW, newColor, type Pen, paintId, sendMask, type Tool } from "./tool.ts";

/** Where there is a region to accept; the viewer's buttons show for it. */
export const pending = signal(false);
export const selecting = signal(false);
export const selectSize = signal<number | null>(null);
/** What a plain click says: of the object, or not of it. */
export const clickSays = signal<"inside" | "outside">("inside");
/** Whom the region is for: the key of an object, or "new". */
export const selectFor = signal<string>("new");
const APART = 6;

type Stroke = { places: Point[]; inside: boolean; size?: number };

export function select(viewer: Viewer): Tool {
  let strokes: Stroke[] = [];
  let mask: Uint16Array | null = null;
  let drawing: Point[] | null = null;
  let frame = -1;
  let request: AbortController | null = null;
  let asked: Promise<void> | null = null;
  /** The object that the first click was on; 0: none. */
  let began = 0;
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

  const target = () => itemOf(store.project.value, selectFor.value);
  const idAt = (at: Point) =>
    viewer.ids[Math.floor(at[1]) * viewer.video.width + Math.floor(at[0])] ?? 0;

  /** What is taken if it is accepted: never another's mark, but where a click was on it. */
  function region(): Uint8Array {
    const marked = store.marks.value.objects ?? [];
    const id = target()?.id ?? null;
    const clicked = new Set(
      strokes.filter((one) => one.inside).flatMap((one) => one.places.map(idAt)),
    );
    const kept = marked.filter((one) => one !== id && !clicked.has(one));
    const adds = id !== null && marked.includes(id) && began !== id;
    return regionOf(mask!, viewer.ids, { base: adds ? id : null, kept: new Set(kept) });
  }

  /** Whom the first click is for; false where nothing can be marked now. */
  function begin(at: Point): boolean {
    began = idAt(at);
    const { marks, pickedItem, project, sending } = store;
    const items = project.value?.objects ?? [];
    const id = pickedItem.value?.id;
    const here = marks.value.objects ?? [];
    // What is being saved was marked just now.
    const objects = sending.value && id !== undefined ? [...here, id] : here;
    const { key, locked } = selectTarget(pickedItem.value, { objects }, began, items);
    if (key) store.picked.value = key;
    if (locked || !viewer.ready) {
      paintId(viewer); // says why
      return false;
    }
    selectFor.value = key ?? "new";
    frame = store.frame.value;
    return true;
  }

  async function ask() {
    if (!strokes.length) return;
    request?.abort();
    const mine = new AbortController();
    request = mine;
    selecting.value = true;
    await store.attempt(async () => {
      const found = await api.select({ frame: store.frame.value, strokes }, mine.signal);
      if (mine !== request) return;
      mask = found.values;
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
    const item = target();
    viewer.hide(item?.id ?? null);
    const color = item ? parseColor(item.color) : newColor();
    const ids = Uint16Array.from(region());
    const palette = new Map([[1, { color, visible: true }]]);
    const pixels = colour(ids, viewer.video, [0, 0, width, height], palette, "overlay");
    layer.getContext("2d")!.putImageData(new ImageData(pixels, width, height), 0, 0);
    viewer.redraw();
  }

  function reset() {
    request?.abort();
    request = null;
    strokes = [];
    mask = drawing = null;
    pending.value = false;
    selecting.value = false;
    selectSize.value = null;
    clickSays.value = "inside";
    viewer.hide(null);
    store.toolLine.value = "";
    viewer.redraw();
  }

  const stops = [
    selectSize.subscribe((value) => {
      const last = strokes.at(-1);
      if (value === null || !last) return;
      strokes = [...strokes.slice(0, -1), { ...last, size: value }];
      asked = ask();
    }),
    selectFor.subscribe(() => {
      show();
      line();
    }),
    clickSays.subscribe(() => line()),
  ];

  /** What the next click is for. */
  function line() {
    if (!strokes.length) return;
    const others = store.project.value?.objects.some((one) => one.kind === "object");
    const isNew = selectFor.value === "new" && others && strokes.length === 1;
    const next = clickSays.value === "outside" ? SAID.tooMuch : isNew ? SAID.isNew : SAID.missing;
    store.toolLine.value = say(next);
  }

  /** Takes the region as the object's mask; done when the server has it. */
  async function accept() {
    if (selecting.value) await asked; // the last click counts too
    return take();
  }

  async function take() {
    if (!mask || frame !== viewer.idsFrame) return;
    const item = target();
    const id = item?.id ?? NEW;
    if (!item) viewer.extra.set(NEW, newColor());
    else store.picked.value = item.key;
    const locked = lockedIds();
    viewer.hold();
    const now = viewer.ids as Uint16Array;
    const chosen = region();
    for (let p = 0; p < chosen.length; p++) {
      const free = chosen[p]! > 0 && !locked.has(now[p]!);
      chosen[p] = free ? 255 : 0;
      if (free) now[p] = id;
      else if (now[p] === id) now[p] = 0;
    }
    viewer.repaint([0, 0, viewer.video.width, viewer.video.height]);
    const sent = sendMask(viewer, id, frame, chosen, "select", !item);
    reset();
    await sent;
  }

  /** What is on trial when a person turns to something else is meant. */
  const keep = () =>
    untracked(() => {
      if (!mask || !pending.value) return;
      store.say(`Kept on frame ${frame}`);
      void take();
    });

  return {
    cursor: "crosshair",
    down(pen) {
      if (!within(viewer.video, pen.at)) return;
      if (!strokes.length && pen.other) {
        store.say(say(SAID.insideFirst));
        return;
      }
      if (!strokes.length && !begin(pen.at)) return;
      store.playing.value = false;
      drawing = [];
      add(pen);
    },
    move(pen) {
      if (drawing) add(pen);
    },
    up(pen) {
      if (!drawing) return;
      const outside = pen.other || (clickSays.value === "outside" && strokes.length > 0);
      const size = selectSize.value === null ? {} : { size: selectSize.value };
      strokes = [...strokes, { places: drawing, inside: !outside, ...size }];
      drawing = null;
      asked = ask();
      line();
    },
    accept,
    leave: keep,
    back() {
      strokes = strokes.slice(0, -1);
      if (strokes.length) asked = ask();
      else reset();
    },
    cancel: reset,
    end() {
      reset();
      for (const stop of stops) stop();
    },
    frameChanged() {
      keep();
      reset();
    },
    drawUnder(ctx) {
      if (mask) ctx.drawImage(layer, 0, 0);
    },
    draw(ctx) {
      for (const { places, inside } of [...strokes, { places: drawing ?? [], inside: true }]) {
        for (const at of places) drawClick(ctx, toScreen(viewer.view, at), inside);
      }
    },
  };
}

/** A plus where the object is, a minus where it is not: told apart without colours. */
function drawClick(ctx: CanvasRenderingContext2D, [x, y]: Point, inside: boolean) {
  const dark = !inside;
  ctx.beginPath();
  ctx.arc(x, y, 6.5, 0, 2 * Math.PI);
  ctx.fillStyle = dark ? "#111318" : "#fff";
  ctx.fill();
  ctx.lineWidth = 1.5;
  ctx.strokeStyle = dark ? "#fff" : "rgba(0,0,0,.7)";
  ctx.stroke();
  ctx.beginPath();
  ctx.moveTo(x - 3, y);
  ctx.lineTo(x + 3, y);
  if (!dark) {
    ctx.moveTo(x, y - 3);
    ctx.lineTo(x, y + 3);
  }
  ctx.stroke();
}
