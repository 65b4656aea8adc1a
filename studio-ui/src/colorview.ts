// The picture in colour mode: grey on the left of a wipe, coloured on the right of it.

import { effect, untracked } from "@preact/signals";
import { api } from "./api.ts";
import { spreading, waiting } from "./colorwork.ts";
import { type Look, lookOf, mayStay, referenceOn, strokesIn } from "./core/color.ts";
import { around } from "./core/scrub.ts";
import type { ColorStroke, Job } from "./core/state.ts";
import { inHand } from "./core/tools.ts";
import type { Point } from "./core/view.ts";
import { GRIP, gripAt, isOnGrip, shareAt } from "./core/wipe.ts";
import { FrameCache } from "./frames.ts";
import * as store from "./store.ts";
import type { Tool } from "./tools/tool.ts";
import type { Viewer } from "./viewer.ts";

/** Draws strokes in video pixels; those of the eraser take away what is there. */
function drawLines(ctx: CanvasRenderingContext2D, strokes: ColorStroke[]) {
  ctx.lineCap = ctx.lineJoin = "round";
  for (const { color, radius, points } of strokes) {
    ctx.beginPath();
    points.forEach(([x, y], n) => {
      if (n === 0) ctx.moveTo(x + 0.5, y + 0.5);
      ctx.lineTo(x + 0.5, y + 0.5);
    });
    ctx.globalCompositeOperation = color === null ? "destination-out" : "source-over";
    ctx.strokeStyle = color ?? "#000";
    ctx.lineWidth = 2 * radius;
    ctx.stroke();
  }
  ctx.globalCompositeOperation = "source-over";
}

/** How long the last frame is on show before the picture goes back. */
const LAST_MS = 800;

export class ColorView {
  readonly frames: FrameCache<Look>;
  /** A stroke that is being painted. */
  stroke: ColorStroke | null = null;
  #viewer: Viewer;
  #folder = "";
  #stop: () => void;

  constructor(viewer: Viewer) {
    this.#viewer = viewer;
    const onLoad = (frame: number) => {
      if (frame === store.frame.value) viewer.redraw();
      this.#goAlong();
    };
    this.frames = new FrameCache(
      onLoad,
      async (frame, width, signal) => ({ blob: await this.#ask(frame, width, signal), frame }),
      (frame) => this.#look(frame),
    );
    this.#stop = effect(() => this.#follow());
  }

  end() {
    this.#stop();
  }

  /** The picture that is wanted of a frame. */
  #look(frame: number): Look | null {
    return lookOf(store.project.peek(), frame, {
      view: store.colorLook.peek(),
      saturation: store.saturation.peek(),
      job: this.#job,
      runs: this.#runs,
    });
  }

  #job: Job | null = null;
  #jobState: unknown;
  #runs = 0;
  /** A job counts till the state tells what it has done. */
  #followJob() {
    const [job, state] = [store.job.value, store.state.value];
    if (job?.kind === "color") {
      if (!this.#job) this.#runs += 1;
      this.#job = job;
      this.#jobState = state;
    } else if (state !== this.#jobState) this.#job = null;
  }

  #ask(frame: number, width: number, signal: AbortSignal): Promise<Blob> {
    const revision = store.state.peek()?.revision ?? 0;
    const saturation = store.saturation.peek();
    if (this.#look(frame)?.of === "reference") {
      return api.colorReference(frame, { width, saturation, revision }, signal);
    }
    const view = store.colorLook.peek();
    const key = store.project.peek()?.color?.result?.key ?? "";
    return api.colorFrame(frame, { width, view, saturation, key }, signal);
  }

  /** Whatever the pictures depend on: when it changes, those that are not there are asked for. */
  #follow() {
    const project = store.project.value;
    this.#followJob();
    store.colorLook.value;
    store.saturation.value;
    waiting.value;
    const frame = store.frame.value;
    if (!project || store.mode.value !== "color") return;
    const folder = project.path ?? project.folder;
    const width = this.#viewer.frames.width;
    if (folder !== this.#folder || this.frames.width !== width) {
      this.frames.reset(width, folder !== this.#folder);
      this.#folder = folder;
    }
    store.following.value;
    untracked(() => this.#goAlong());
    if (frame === store.frame.peek()) this.want(frame);
    this.#viewer.redraw();
  }

  /** The frame on show, the one to go to when its colours are there, and the newest of the job. */
  #along: { at: number; to: number; newest: number } | null = null;
  /** With the colouring, to its end: from frame to frame, each with its colours. */
  #goAlong() {
    const [job, now] = [store.job.peek(), store.frame.peek()];
    const runs = store.following.peek() && job?.kind === "color" && job.frame !== null;
    if (runs) {
      if (this.#along?.at === now) this.#along.newest = job.frame!;
      else this.#along = { at: now, to: job.frame!, newest: job.frame! };
    }
    const along = this.#along;
    if (!along) return;
    if (store.mode.peek() !== "color") {
      this.#along = null; // the colours are not on show
      return;
    }
    if (store.playing.peek() || now !== along.at)
      this.#along = null; // went elsewhere
    else if (along.to === now && along.newest === now) {
      if (!runs) {
        this.#along = null;
        setTimeout(() => {
          if (store.frame.peek() === now && !store.playing.peek()) store.goBack();
        }, LAST_MS);
      }
    } else if (along.to === now) {
      along.to = along.newest;
      this.want(now);
    } else if (this.isThere(along.to)) {
      along.at = along.to;
      store.frame.value = along.to;
    }
  }

  /** Whether a frame can be shown as it is to be: its colours are there, or it has none. */
  isThere(frame: number): boolean {
    if (store.mode.peek() !== "color" || !this.frames.width || !this.#look(frame)) return true;
    return this.frames.has(frame) || this.frames.gaveUp(frame);
  }

  want(frame: number) {
    const project = store.project.peek();
    if (!project?.color || !this.frames.width) return;
    const [before, after] = store.playing.peek() ? [24, 0] : [48, 2];
    const near = around(frame, project.video.frames, before, after);
    const shown = near.filter((one) => this.#look(one));
    if (this.#along && this.#along.at === frame) shown.splice(1, 0, this.#along.to);
    this.frames.want(store.scrubbing.peek() ? shown.slice(0, 1) : shown);
  }

  /** What the coloured picture of the frame on show shows, if it is not of the past. */
  #heldLook(): Look | null {
    const now = store.frame.peek();
    const held = this.frames.lookOf(now);
    return held && mayStay(held, this.#look(now)) ? held : null;
  }

  #picture(): ImageBitmap | undefined {
    return this.#heldLook() ? this.frames.get(store.frame.peek()) : undefined;
  }

  /** Whether strokes of the frame on show wait for their colours, or for the server to have them. */
  #isSpreading(): boolean {
    const now = store.frame.peek();
    if (waiting.peek().some((one) => one.frame === now)) return true;
    const wanted = this.#look(now);
    if (wanted?.of !== "reference" || !wanted.given?.strokes.length) return false;
    return !this.frames.has(now) && !this.frames.gaveUp(now);
  }

  draw(ctx: CanvasRenderingContext2D, shown: ImageBitmap | undefined) {
    const { width, height } = this.#viewer.video;
    const now = store.frame.peek();
    const coloured = this.#picture();
    spreading.value = this.#isSpreading();
    this.#viewer.canvas.dataset.coloured = coloured ? String(now) : "";
    const split = coloured ? store.wipe.peek() * width : width;
    if (shown && split > 0) {
      ctx.save();
      ctx.beginPath();
      ctx.rect(0, 0, split, height);
      ctx.clip();
      ctx.filter = "grayscale(1)";
      ctx.drawImage(shown, 0, 0, width, height);
      ctx.restore();
    }
    if (coloured && split < width) {
      ctx.save();
      ctx.beginPath();
      ctx.rect(split, 0, width - split, height);
      ctx.clip();
      ctx.drawImage(coloured, 0, 0, width, height);
      ctx.restore();
    }
  }

  /** In video pixels, over the picture: the strokes of this frame, or those not yet in it. */
  drawStrokes(ctx: CanvasRenderingContext2D) {
    const now = store.frame.peek();
    const reference = referenceOn(store.project.peek(), now);
    const erases = inHand("color", store.tool.peek()) === "eraser";
    const shown = erases || store.strokesShown.peek();
    const hidden = shown ? 0 : strokesIn(this.#heldLook(), this.#look(now));
    const strokes = (reference?.strokes ?? []).slice(hidden);
    for (const one of waiting.peek()) if (one.frame === now) strokes.push(one.stroke);
    if (this.stroke) strokes.push(this.stroke);
    if (strokes.every(({ color }) => color !== null)) return drawLines(ctx, strokes);
    // What is erased is so in the strokes alone, and not in the picture under them.
    const layer = this.#layer;
    [layer.width, layer.height] = [ctx.canvas.width, ctx.canvas.height];
    const over = layer.getContext("2d")!;
    over.setTransform(ctx.getTransform());
    drawLines(over, strokes);
    ctx.save();
    ctx.resetTransform();
    ctx.drawImage(layer, 0, 0);
    ctx.restore();
  }
  #layer = document.createElement("canvas");

  // The wipe --------------------------------------------------------------------------------

  /** Whether the pen is on the handle of the wipe, or drags it. */
  gripHeld = false;

  #grip(): Point | null {
    if (store.mode.peek() !== "color" || !this.#viewer.canvas.dataset.coloured) return null;
    const { view, video, screen } = this.#viewer;
    return gripAt(view, video, screen, store.wipe.peek());
  }

  isOnGrip(at: Point, coarse: boolean): boolean {
    return isOnGrip(this.#grip(), at, coarse);
  }

  /** Drags the wipe by its handle, whatever tool is in hand. */
  readonly wiper: Tool = {
    cursor: "ew-resize",
    down: () => {
      this.gripHeld = true;
    },
    move: (pen) => {
      store.wipe.value = shareAt(this.#viewer.view, this.#viewer.video, pen.screen[0]);
    },
    up: () => this.wiper.cancel(),
    cancel: () => {
      this.gripHeld = false;
      this.#viewer.redraw();
    },
  };

  /** In CSS pixels: the line of the wipe and its handle. */
  drawLine(ctx: CanvasRenderingContext2D) {
    const grip = this.#grip();
    if (!grip) return;
    const { view, video } = this.#viewer;
    const x = Math.round(grip[0] - 0.5) + 0.5;
    const [top, bottom] = [view.y, view.y + video.height * view.scale];
    ctx.fillStyle = "rgba(0,0,0,0.45)";
    ctx.fillRect(x - 1.5, top, 3, bottom - top);
    ctx.fillStyle = "#fff";
    ctx.fillRect(x - 0.5, top, 1, bottom - top);
    ctx.beginPath();
    ctx.arc(x, grip[1], GRIP, 0, 2 * Math.PI);
    ctx.fillStyle = this.gripHeld ? "#e7e9fb" : "#fff";
    ctx.fill();
    ctx.lineWidth = 1.5;
    ctx.strokeStyle = "rgba(0,0,0,0.55)";
    ctx.stroke();
    ctx.beginPath();
    for (const side of [-1, 1]) {
      ctx.moveTo(x + side * 4, grip[1] - 4);
      ctx.lineTo(x + side * 8, grip[1]);
      ctx.lineTo(x + side * 4, grip[1] + 4);
    }
    ctx.lineJoin = ctx.lineCap = "round";
    ctx.strokeStyle = "#2b3054";
    ctx.stroke();
  }
}
