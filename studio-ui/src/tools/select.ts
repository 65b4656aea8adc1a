// Smart select: clicks and drags inside (or, with Alt, the right button or "Take away", outside)
// grow a region, or correct what the object has on the frame, and loops go round what is meant;
// Enter takes it as the object's mask.

import { signal, untracked } from "@preact/signals";
import { api } from "../api.ts";
import { isLoop } from "../core/loop.ts";
import { colour, maskOf, parseColor } from "../core/masks.ts";
import { around } from "../core/pieces.ts";
import { base64, encodePng } from "../core/png.ts";
import { polygon } from "../core/raster.ts";
import { itemOf, mostlyIn, regionOf, selectTarget } from "../core/state.ts";
import { type Point, toScreen, inside as within } from "../core/view.ts";
import { SAID, TOOL_HINTS } from "../core/words.ts";
import { viewer } from "../stage.ts";
import * as store from "../store.ts";
import type { Viewer } from "../viewer.ts";
import { say } from "../words.ts";
import { tellLeftOver } from "./leftover.ts";
import { correctable, startsOver } from "./over.ts";
import {
  finishPaint,
  lockedIds,
  NEW,
  newColor,
  type Pen,
  paintId,
  sendMask,
  type Tool,
} from "./tool.ts";

/** Where there is a region to accept; the viewer's buttons show for it. */
export const pending = signal(false);
export const selecting = signal(false);
export const selectSize = signal<number | null>(null);
/** What a plain click says: of the object, or not of it; null till a person said which. */
export const clickSays = signal<"inside" | "outside" | null>(null);
/** Whether the last of what was said is a loop, which has no size to grow to. */
export const looped = signal(false);
/** Whether a click that was taken back can be done again. */
export const canRedo = signal(false);
/** Whom the region is for: the key of an object, or "new". */
export const selectFor = signal<string>("new");

/** Leaves out what the object has on the frame; clicks on trial are given up, corners are kept. */
export function startOver() {
  const begun = pending.value || selecting.value;
  const item = begun ? itemOf(store.project.value, selectFor.value) : correctable.value;
  if (begun) viewer.value?.tool.cancel();
  if (!item) return;
  clickSays.value = null;
  store.picked.value = item.key;
  startsOver.value = true;
}

/** What a first click is for. */
export function selectHint(): string {
  if (!correctable.value || startsOver.value) return say(TOOL_HINTS.select);
  if (clickSays.value) return say(clickSays.value === "outside" ? SAID.tooMuch : SAID.missing);
  const marked = store.marks.value.objects?.includes(correctable.value.id);
  return say(marked ? TOOL_HINTS.select : SAID.correct);
}
const APART = 6;

type Stroke = { places: Point[]; inside: boolean; size?: number; around?: boolean };

export function select(viewer: Viewer): Tool {
  let strokes: Stroke[] = [];
  let undone: Stroke[] = [];
  let mask: Uint16Array | null = null;
  let drawing: Point[] | null = null;
  let pickedBefore: string | null = null;
  let frame = -1;
  let request: AbortController | null = null;
  let asked: Promise<void> | null = null;
  const layer = document.createElement("canvas");

  function add(pen: Pen) {
    for (const at of pen.trail) {
      const last = drawing?.at(-1);
      const far =
        !last || Math.hypot(at[0] - last[0], at[1] - last[1]) * viewer.view.scale >= APART;
      if (far) drawing?.push(at);
    }
    if (goesRound()) store.toolLine.value = say(says(pen) ? SAID.loop : SAID.loopAway);
    else line();
    viewer.redraw();
  }

  const says = (pen: Pen) => !(pen.other || clickSays.value === "outside");
  const goesRound = () => isLoop(drawing ?? [], viewer.view.scale);

  /** A drag as it is sent: all of a loop, at the picture's edge where it left it. */
  function stroke(drawn: Point[], inside: boolean): Stroke {
    const { width, height } = viewer.video;
    if (!isLoop(drawn, viewer.view.scale)) {
      const size = selectSize.value === null ? {} : { size: selectSize.value };
      return { places: drawn.filter((at) => within(viewer.video, at)), inside, ...size };
    }
    const kept = (at: number, side: number) => Math.min(Math.max(at, 0), side - 1);
    const places = drawn.map(([x, y]): Point => [kept(x, width), kept(y, height)]);
    return { places, inside, around: true };
  }

  /** The id of what a loop goes round most of; 0: of nothing. */
  function idIn(places: Point[]): number {
    const held = new Map<number, number>();
    polygon(viewer.video, places, (row, from, to) => {
      for (let p = row * viewer.video.width + from; p < row * viewer.video.width + to; p++) {
        const id = viewer.ids[p]!;
        if (id) held.set(id, (held.get(id) ?? 0) + 1);
      }
    });
    return mostlyIn(held, viewer.ids);
  }

  const target = () => itemOf(store.project.value, selectFor.value);
  const idAt = (at: Point) =>
    viewer.ids[Math.floor(at[1]) * viewer.video.width + Math.floor(at[0])] ?? 0;

  /** What is taken if it is accepted: never another's mark, but where a click was on it. */
  function region(): Uint8Array {
    const marked = store.marks.value.objects ?? [];
    const id = target()?.id ?? null;
    const clicked = new Set(
      strokes.filter((one) => one.inside && !one.around).flatMap((one) => one.places.map(idAt)),
    );
    const kept = marked.filter((one) => one !== id && !clicked.has(one));
    return regionOf(mask!, viewer.ids, new Set(kept));
  }

  /** What the object has on the frame, which clicks correct; null: they begin. */
  function base(): Uint8Array | null {
    const id = target()?.id;
    return startsOver.value || id === undefined ? null : maskOf(viewer.ids, id);
  }

  /** Whom the first click is for, `there` under it; false where nothing can be marked now. */
  function begin(there: number): boolean {
    const { marks, pickedItem, project, sending } = store;
    const items = project.value?.objects ?? [];
    const id = pickedItem.value?.id;
    const here = marks.value.objects ?? [];
    // What is being saved was marked just now.
    const objects = sending.value && id !== undefined ? [...here, id] : here;
    const said = clickSays.value !== null || startsOver.value;
    const { key, locked } = selectTarget(pickedItem.value, { objects }, there, items, said);
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
    looped.value = Boolean(strokes.at(-1)?.around);
    if (!strokes.length) return;
    request?.abort();
    const mine = new AbortController();
    request = mine;
    selecting.value = true;
    await store.attempt(async () => {
      const { width, height } = viewer.video;
      const begun = base();
      const old = begun ? { base: base64(await encodePng(width, height, begun)) } : {};
      if (mine !== request) return;
      const asked = { frame: store.frame.value, strokes, ...old };
      const found = await api.select(asked, mine.signal);
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
    undone = [];
    mask = drawing = null;
    pending.value = false;
    selecting.value = false;
    canRedo.value = false;
    looped.value = false;
    selectSize.value = null;
    clickSays.value = null;
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
      if (strokes.length) again();
      line();
    }),
    clickSays.subscribe(() => line()),
  ];

  /** The same clicks for another object, or on another ground: none of them is lost. */
  function again() {
    if (base() || strokes[0]?.inside) asked = ask();
    else reset(); // what was to be taken away from is gone
  }

  /** What the next click is for. */
  function line() {
    if (!strokes.length) {
      store.toolLine.value = "";
      return;
    }
    const others = store.project.value?.objects.some((one) => one.kind === "object");
    const isNew = selectFor.value === "new" && others && strokes.length === 1;
    const begun = looped.value
      ? SAID.looped
      : strokes.length === 1 && !base()
        ? SAID.first
        : SAID.missing;
    const next = clickSays.value === "outside" ? SAID.tooMuch : isNew ? SAID.isNew : begun;
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
    let count = 0;
    for (let p = 0; p < chosen.length; p++) {
      const free = chosen[p]! > 0 && !locked.has(now[p]!);
      chosen[p] = free ? 255 : 0;
      if (free) {
        now[p] = id;
        count += 1;
      } else if (now[p] === id) now[p] = 0;
    }
    viewer.repaint([0, 0, viewer.video.width, viewer.video.height]);
    tellLeftOver(viewer, id, frame, around(strokes.flatMap((one) => one.places)));
    const sent = count
      ? sendMask(viewer, id, frame, chosen, "select", !item)
      : finishPaint(viewer, id, frame, "select");
    startsOver.value = false;
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
      const takes = pen.other || clickSays.value === "outside";
      if (!strokes.length && takes) {
        const id = store.pickedItem.value?.kind === "object" ? store.pickedItem.value.id : NEW;
        if (startsOver.value || !viewer.ids.includes(id)) {
          store.say(say(SAID.insideFirst));
          return;
        }
        clickSays.value ??= "inside"; // it is said whom it is for
      }
      pickedBefore = store.picked.value;
      if (!strokes.length && !begin(idAt(pen.at))) return;
      store.playing.value = false;
      drawing = [];
      add(pen);
    },
    move(pen) {
      if (drawing) add(pen);
    },
    up(pen) {
      if (!drawing) return;
      const said = stroke(drawing, says(pen));
      drawing = null;
      if (!strokes.length && said.around) {
        store.picked.value = pickedBefore; // where a loop begins says nothing
        if (!begin(idIn(said.places))) return viewer.redraw();
      }
      strokes = [...strokes, said];
      undone = [];
      canRedo.value = false;
      asked = ask();
      line();
    },
    accept,
    leave: keep,
    back() {
      const last = strokes.at(-1);
      if (!last) return;
      const taken = [...undone, last];
      strokes = strokes.slice(0, -1);
      if (strokes.length) asked = ask();
      else {
        const whom = selectFor.value;
        reset();
        selectFor.value = whom;
        frame = store.frame.value;
      }
      undone = taken;
      canRedo.value = true;
    },
    forward() {
      const next = undone.at(-1);
      if (!next) return;
      undone = undone.slice(0, -1);
      canRedo.value = undone.length > 0;
      strokes = [...strokes, next];
      asked = ask();
      line();
    },
    cancel: reset,
    drop() {
      drawing = null;
      line();
      viewer.redraw();
    },
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
      const inside = clickSays.value !== "outside";
      const now: Stroke = { places: drawing ?? [], inside, around: goesRound() };
      for (const one of [...strokes, now]) {
        const places = one.places.map((at) => toScreen(viewer.view, at));
        drawDrag(ctx, places, one);
        if (places[0] && !one.around) drawClick(ctx, places[0], one.inside);
      }
    },
  };
}

/** Where a drag went: thin, so that the edge under it can be seen; a loop is closed and dashed. */
function drawDrag(ctx: CanvasRenderingContext2D, places: Point[], { inside, around }: Stroke) {
  if (places.length < 2) return;
  ctx.save();
  ctx.beginPath();
  for (const [x, y] of places) ctx.lineTo(x, y);
  if (around) {
    ctx.closePath();
    ctx.setLineDash([6, 4]);
  }
  ctx.lineJoin = "round";
  for (const [width, style] of inside
    ? ([
        [3, "rgba(0,0,0,.55)"],
        [1.5, "#fff"],
      ] as const)
    : ([
        [3, "rgba(255,255,255,.7)"],
        [1.5, "#111318"],
      ] as const)) {
    ctx.lineWidth = width;
    ctx.strokeStyle = style;
    ctx.stroke();
  }
  ctx.restore();
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
