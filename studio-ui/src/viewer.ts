// The canvas in the middle: frame, masks, marks, and what the tool in hand draws on top.

import { effect, untracked } from "@preact/signals";
import { ColorView } from "./colorview.ts";
import { forgetColors } from "./colorwork.ts";
import { colour, edgeWidth, type Palette, parseColor, type Style } from "./core/masks.ts";
import { grow, type Rect } from "./core/raster.ts";
import { around, hasSmall } from "./core/scrub.ts";
import type { FrameMarks, Item } from "./core/state.ts";
import {
  fit,
  frameWidth,
  keepInSight,
  lookAt,
  type Point,
  type Size,
  toVideo,
  type View,
  zoomAt,
} from "./core/view.ts";
import { FrameCache } from "./frames.ts";
import { MaskCache } from "./masks.ts";
import { PictureView } from "./pictures.ts";
import { PointerView } from "./pointerview.ts";
import { drawShape, drawTrail, shapeOf } from "./shapes.ts";
import * as store from "./store.ts";
import { showRing } from "./tools/brush.ts";
import { makeTool, type Tool, toolInHand } from "./tools/index.ts";
import { drawRings, ringed } from "./tools/leftover.ts";
import { leftOut } from "./tools/over.ts";
import { pending } from "./tools/select.ts";

const TRAIL = 40;
const LOADING = "Loading the picture";
/** A handle that is dragged rests after so many ms without a move. */
const REST = 60;
/** Ms that going along with the tracker waits for the masks of a frame whose picture is there. */
const MASKS_LATE = 400;

export class Viewer {
  readonly canvas: HTMLCanvasElement;
  readonly over: HTMLCanvasElement;
  view: View = { scale: 1, x: 0, y: 0 };
  video: Size = { width: 1, height: 1 };
  screen: Size = { width: 1, height: 1 };
  tool: Tool;
  /** Ids on show, at video resolution; tools paint into them. */
  ids: Uint16Array<ArrayBufferLike> = new Uint16Array(0);
  idsFrame = -1;
  /** Ids as they were before the stroke under way. */
  before: Uint16Array<ArrayBufferLike> | null = null;
  /** Strokes under way and masks being sent: till none is, nothing fetched replaces `ids`. */
  held = 0;
  hover: Point | null = null;
  readonly frames: FrameCache;
  readonly masks: MaskCache;
  readonly pointer: PointerView;
  readonly color: ColorView;
  readonly pictures: PictureView;
  #layer = document.createElement("canvas");
  #cut = document.createElement("canvas");
  #checker: CanvasPattern | null = null;
  #painted = "";
  #asked = 0;
  #fitted = true;
  #brush = { tool: toolInHand(), size: store.brushSize.peek() };
  #shown = -1;
  #ends: (() => void)[] = [];

  constructor(canvas: HTMLCanvasElement, over: HTMLCanvasElement) {
    this.canvas = canvas;
    this.over = over;
    this.frames = new FrameCache((frame) => {
      if (frame === store.frame.value || store.scrubbing.value) this.redraw();
      if (frame === this.#followed) this.#follow();
    });
    this.masks = new MaskCache(
      (frame) => {
        if (frame === store.frame.value) this.#takeMask();
        if (frame === this.#followed) this.#follow();
        if (store.viewMode.value === "trails") {
          this.#want();
          this.redraw();
        }
      },
      () => this.#want(),
    );
    this.pointer = new PointerView(this);
    this.color = new ColorView(this);
    this.pictures = new PictureView(this);
    this.tool = makeTool("hand", this);
    const observer = new ResizeObserver(() => this.#resize());
    observer.observe(canvas.parentElement!);
    this.#ends.push(
      () => observer.disconnect(),
      effect(() => this.#onVideo()),
      effect(() => {
        const name = toolInHand();
        this.tool.leave?.();
        this.tool.cancel();
        this.tool.end?.();
        this.tool = makeTool(name, this);
        store.toolLine.value = "";
        this.redraw();
      }),
      effect(() => this.#onFrame()),
      effect(() => {
        pending.value;
        leftOut.value;
        ringed.value;
        this.redraw();
      }),
      effect(() => {
        const [tool, size] = [toolInHand(), store.brushSize.value];
        const before = this.#brush;
        this.#brush = { tool, size };
        if (tool === before.tool && size !== before.size) untracked(() => showRing(this));
      }),
      effect(() => {
        store.coming.value;
        untracked(() => this.#follow());
      }),
      effect(() => {
        this.masks.trails = store.viewMode.value === "trails";
        if (this.masks.trails) this.#want();
        store.picked.value;
        store.marks.value;
        store.tracks.value;
        store.live.value;
        store.brushSize.value;
        store.wipe.value;
        store.strokesShown.value;
        this.redraw();
      }),
    );
  }

  end() {
    this.color.end();
    this.tool.cancel();
    this.tool.end?.();
    for (const end of this.#ends) end();
  }

  redraw() {
    if (this.#asked) return;
    this.#asked = requestAnimationFrame(() => {
      this.#asked = 0;
      this.#draw();
    });
  }

  // View ------------------------------------------------------------------------------------

  fit() {
    this.#fitted = true;
    this.#setView(fit(this.video, this.screen));
  }
  look(part: Rect) {
    this.setView(lookAt(this.video, this.screen, part));
  }
  zoom(factor: number, at: Point = [this.screen.width / 2, this.screen.height / 2]) {
    this.#fitted = false;
    this.#setView(zoomAt(this.view, at, factor));
  }
  setView(view: View) {
    this.#fitted = false;
    this.#setView(view);
  }
  #setView(view: View) {
    this.view = keepInSight(view, this.video, this.screen);
    const width = frameWidth(this.video, this.view.scale, devicePixelRatio);
    if (width > this.frames.width || this.frames.width === 0) {
      this.frames.reset(width);
      this.#want();
    }
    this.redraw();
  }
  toVideo(screen: Point): Point {
    return toVideo(this.view, screen);
  }

  #resize() {
    const box = this.canvas.parentElement!.getBoundingClientRect();
    this.screen = { width: box.width, height: box.height };
    for (const canvas of [this.canvas, this.over, this.#cut]) {
      canvas.width = Math.max(1, Math.round(box.width * devicePixelRatio));
      canvas.height = Math.max(1, Math.round(box.height * devicePixelRatio));
    }
    if (this.#fitted) this.fit();
    else this.#setView(this.view);
  }

  // Frames and masks ------------------------------------------------------------------------

  #folder = "";
  #onVideo() {
    const project = store.project.value;
    if (!project) return;
    const name = `${project.path ?? project.folder}/${project.video.name}`;
    if (name === this.#folder) return;
    this.#folder = name;
    untracked(() => this.tool.cancel()); // what is half-drawn is of another clip
    this.extra.clear();
    untracked(forgetColors);
    this.held = 0;
    this.video = { width: project.video.width, height: project.video.height };
    this.#layer.width = this.video.width;
    this.#layer.height = this.video.height;
    this.ids = new Uint16Array(this.video.width * this.video.height);
    this.idsFrame = -1;
    this.masks.clear();
    this.frames.video = `${name}/${project.video.frames}`;
    this.frames.reset(0, true);
    this.fit();
  }

  #onFrame() {
    store.frame.value;
    store.fresh.value;
    store.state.value;
    store.playing.value;
    const scrubbing = store.scrubbing.value;
    if (this.#shown !== store.frame.peek()) {
      this.#shown = store.frame.peek();
      this.tool.frameChanged?.();
      this.pointer.clear();
    }
    clearTimeout(this.#rest);
    if (scrubbing && this.frames.width) {
      const now = store.frame.peek();
      this.frames.scrubTo(now, hasSmall(store.smallCopy.peek(), now));
      this.#rest = setTimeout(() => this.#want(), REST);
    } else this.#want();
    this.#takeMask();
    this.redraw();
  }
  #rest: ReturnType<typeof setTimeout> | undefined;

  /** Goes along with the tracker from picture to picture, each once it is loaded. */
  #follow() {
    if (!store.following.peek()) {
      this.#followed = -1;
      return;
    }
    const waits = this.#followed;
    if (waits >= 0 && !this.#isThere(waits)) return;
    if (waits >= 0) store.frame.value = waits;
    const next = store.coming.peek();
    this.#followed = next === store.frame.peek() ? -1 : next;
    if (this.#followed < 0) return;
    this.#want();
    if (this.frames.has(next)) this.#follow();
  }
  /** The frame that it will go to, and since when its picture waits for its masks. */
  #followed = -1;
  #since = { frame: -1, time: 0 };

  /** Whether a frame's picture is there, with its masks: of these it waits a while at most. */
  #isThere(frame: number): boolean {
    if (!this.frames.has(frame) && !this.frames.gaveUp(frame)) return false;
    const objects = store.project.peek()?.objects.some((item) => item.kind === "object");
    if (!objects || this.masks.get(frame)) return true;
    const now = performance.now();
    if (this.#since.frame !== frame) {
      this.#since = { frame, time: now };
      setTimeout(() => this.#follow(), MASKS_LATE);
    }
    return now - this.#since.time >= MASKS_LATE - 1;
  }

  #want() {
    const project = store.project.peek();
    const state = store.state.peek();
    if (!project || !state || !this.frames.width) return;
    const now = store.frame.peek();
    const last = project.video.frames;
    const ahead = (count: number) =>
      Array.from({ length: count }, (_, n) => now + n).filter((frame) => frame < last);
    const wanted = store.playing.peek() ? ahead(16) : around(now, last, 6, 3);
    const next = store.following.peek() ? [this.#followed].filter((frame) => frame >= 0) : [];
    const goesAlone = !next.length && !store.playing.peek();
    const glimpse = goesAlone && hasSmall(store.smallCopy.peek(), now);
    this.frames.want([...next, ...wanted.filter((frame) => !next.includes(frame))], glimpse);
    const job = store.job.peek();
    const running = job?.kind === "track";
    const tag = `${state.revision}.${running ? store.fresh.peek().count : "-"}`;
    const shown = store.playing.peek() ? ahead(6) : [now, ...next, ...this.#unseen(now)];
    if (!this.held) this.masks.want(shown, project, state.revision, tag, running);
  }

  /** Frames that a trail needs and that were never on show. */
  #unseen(now: number): number[] {
    if (store.viewMode.peek() !== "trails") return [];
    const past = Array.from({ length: Math.min(TRAIL, now + 1) }, (_, n) => now - n);
    return past.filter((frame) => !this.masks.centres.has(frame));
  }

  #takeMask() {
    const now = store.frame.peek();
    if (this.held && this.idsFrame === now) return;
    const ids = this.masks.get(now);
    if (ids) this.ids = ids;
    else if (this.idsFrame !== now) this.ids = new Uint16Array(this.ids.length);
    this.idsFrame = now;
    this.#painted = "";
    this.redraw();
  }

  /** To be called when a stroke begins, and `letGo` when its mask was sent or given up. */
  hold() {
    this.held += 1;
    this.before = this.ids;
    const ids = this.ids.slice();
    this.masks.put(this.idsFrame, ids);
    this.ids = ids;
  }
  letGo() {
    this.held = Math.max(0, this.held - 1);
    if (!this.held) this.#onFrame();
  }

  /** Whether the masks of the frame on show are there: before, nothing can be painted on them. */
  get ready(): boolean {
    return this.masks.get(store.frame.peek()) !== undefined;
  }

  palette(): Palette {
    const items = store.project.peek()?.objects ?? [];
    const palette: Palette = new Map();
    for (const item of items) {
      if (item.kind === "object") {
        const hidden = item.id === this.#hidden || item.id === leftOut.peek();
        const visible = item.visible && !hidden;
        palette.set(item.id, { color: parseColor(item.color), visible });
      }
    }
    for (const [id, color] of this.extra) palette.set(id, { color, visible: true });
    return palette;
  }
  /** Colours of ids that are no objects yet. */
  extra = new Map<number, [number, number, number]>();

  #hidden: number | null = null;
  /** An object whose mask is not to be seen, while another one is on trial. */
  hide(id: number | null) {
    this.#hidden = id;
    this.redraw();
  }

  style(): Style {
    const mode = store.viewMode.peek();
    const begins = pending.peek() || leftOut.peek() !== null;
    if (mode === "cutout" && begins) return "overlay"; // what is missing is to be seen
    return mode === "trails" ? "outline" : mode === "pointer" ? "outline" : mode;
  }

  /** Colours `rect` of the ids anew: what a brush changed, or all. */
  repaint(rect: Rect | null) {
    if (!rect) return;
    const [left, top, right, bottom] = grow(rect, edgeWidth(this.video), this.video);
    if (right <= left || bottom <= top) return;
    const pixels = colour(
      this.ids,
      this.video,
      [left, top, right, bottom],
      this.palette(),
      this.style(),
    );
    const image = new ImageData(pixels, right - left, bottom - top);
    this.#layer.getContext("2d")!.putImageData(image, left, top);
    this.redraw();
  }

  #paintAll() {
    const objects = store.project.peek()?.objects ?? [];
    const looks = objects.map((item) => `${item.id}${item.color}${item.visible}`).join();
    const wanted = `${this.idsFrame}/${this.style()}/${looks}/${this.#hidden}/${leftOut.peek()}`;
    if (wanted === this.#painted) return;
    this.#painted = wanted;
    this.repaint([0, 0, this.video.width, this.video.height]);
  }

  // Drawing ---------------------------------------------------------------------------------

  #place(ctx: CanvasRenderingContext2D) {
    const ratio = devicePixelRatio;
    const { scale, x, y } = this.view;
    ctx.setTransform(scale * ratio, 0, 0, scale * ratio, x * ratio, y * ratio);
    ctx.imageSmoothingEnabled = scale < 3;
  }

  #draw() {
    const project = store.project.peek();
    const ctx = this.canvas.getContext("2d")!;
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (!project) return;
    this.#paintAll();
    const { width, height } = this.video;
    const bitmap = this.frames.get(store.frame.peek());
    const shown = bitmap ?? this.frames.nearest(store.frame.peek());
    // For whoever waits for a frame to be on show: its picture, its masks.
    this.canvas.dataset.frame = bitmap ? String(store.frame.peek()) : "";
    const lost = this.frames.whyNot(store.frame.peek());
    store.pictureNote.value = bitmap ? "" : lost ? `This frame cannot be shown: ${lost}` : LOADING;
    this.canvas.dataset.masks = this.ready ? String(store.frame.peek()) : "";
    this.#place(ctx);
    if (store.mode.peek() === "color") {
      this.color.draw(ctx, shown);
      this.color.drawStrokes(ctx);
    } else if (this.style() === "cutout") {
      this.#drawCutout(ctx, shown);
    } else {
      if (shown) ctx.drawImage(shown, 0, 0, width, height);
      else {
        ctx.fillStyle = "rgba(128,128,128,0.18)";
        ctx.fillRect(0, 0, width, height);
      }
      // Masks of a frame do not go on the picture of another one.
      if (bitmap || !shown) ctx.drawImage(this.#layer, 0, 0);
    }
    this.#drawOver(project, Boolean(bitmap) || !shown);
  }

  #drawCutout(ctx: CanvasRenderingContext2D, bitmap: ImageBitmap | undefined) {
    const { width, height } = this.video;
    this.#checker ??= checker(ctx);
    ctx.save();
    const ratio = devicePixelRatio;
    ctx.beginPath();
    ctx.rect(0, 0, width, height);
    ctx.clip();
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.fillStyle = this.#checker!;
    ctx.fillRect(0, 0, this.screen.width, this.screen.height);
    ctx.restore();
    const cut = this.#cut.getContext("2d")!;
    cut.setTransform(1, 0, 0, 1, 0, 0);
    cut.globalCompositeOperation = "source-over";
    cut.clearRect(0, 0, this.#cut.width, this.#cut.height);
    this.#place(cut);
    cut.drawImage(this.#layer, 0, 0);
    cut.globalCompositeOperation = "source-in";
    if (bitmap) cut.drawImage(bitmap, 0, 0, width, height);
    ctx.save();
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.drawImage(this.#cut, 0, 0);
    ctx.restore();
  }

  /** own: the picture on show is the frame's; what is on the frame does not go on another's. */
  #drawOver(project: NonNullable<typeof store.project.value>, own: boolean) {
    const ctx = this.over.getContext("2d")!;
    const ratio = devicePixelRatio;
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.clearRect(0, 0, this.over.width, this.over.height);
    const now = store.frame.peek();
    if (store.mode.peek() === "color") {
      ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
      this.color.drawLine(ctx);
      if (!this.color.gripHeld) this.tool.draw?.(ctx);
      return;
    }
    this.#place(ctx);
    this.tool.drawUnder?.(ctx);
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.pictures.draw(ctx);
    const marks = store.marks.peek();
    const [live, tracks] = [store.live.peek(), store.tracks.peek()];
    const trails = store.viewMode.peek() === "trails";
    const shapeIn = (item: Item, there: FrameMarks, frame: number) =>
      (live && shapeOf(item, there, live, frame, this.video)) ??
      shapeOf(item, there, tracks, frame, this.video);
    for (const item of project.objects) {
      if (!item.visible || !own) continue;
      if (trails) {
        const places = Array.from({ length: TRAIL }, (_, n) => {
          const frame = now - TRAIL + 1 + n;
          if (item.kind === "object") return this.masks.centres.get(frame)?.get(item.id) ?? null;
          const there = project.marks[String(frame)] ?? {};
          const shape = shapeIn(item, there, frame);
          if (shape?.kind === "point") return shape.at;
          if (shape?.kind === "box") {
            const [x, y, w, h] = shape.at;
            return [x + w / 2, y + h / 2] as Point;
          }
          return null;
        });
        drawTrail(ctx, this.view, places, item.color);
      }
      const shape = shapeIn(item, marks, now);
      if (shape) drawShape(ctx, this.view, shape, item.key === store.picked.peek());
    }
    drawRings(ctx, this.view);
    if (store.viewMode.peek() === "pointer") this.pointer.draw(ctx);
    else this.tool.draw?.(ctx);
  }
}

function checker(ctx: CanvasRenderingContext2D): CanvasPattern {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 20;
  const pen = tile.getContext("2d")!;
  pen.fillStyle = "#e9e9ec";
  pen.fillRect(0, 0, 20, 20);
  pen.fillStyle = "#cfcfd5";
  pen.fillRect(0, 0, 10, 10);
  pen.fillRect(10, 10, 10, 10);
  return ctx.createPattern(tile, "repeat")!;
}
