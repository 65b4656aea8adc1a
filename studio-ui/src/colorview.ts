// The picture in colour mode: grey on the left of a wipe, coloured on the right of it.

import { effect } from "@preact/signals";
import { api } from "./api.ts";
import { isColoured, referenceOn } from "./core/color.ts";
import { around } from "./core/scrub.ts";
import type { ColorStroke } from "./core/state.ts";
import { FrameCache } from "./frames.ts";
import * as store from "./store.ts";
import type { Viewer } from "./viewer.ts";

export class ColorView {
  readonly frames: FrameCache;
  /** A stroke that is being painted, or waits for the server. */
  stroke: ColorStroke | null = null;
  #viewer: Viewer;
  #look = "";
  #stop: () => void;

  constructor(viewer: Viewer) {
    this.#viewer = viewer;
    const onLoad = (frame: number) => {
      if (frame === store.frame.value) viewer.redraw();
    };
    this.frames = new FrameCache(onLoad, async (frame, width, signal) => ({
      blob: await this.#ask(frame, width, signal),
      frame,
    }));
    this.#stop = effect(() => this.#follow());
  }

  end() {
    this.#stop();
  }

  #ask(frame: number, width: number, signal: AbortSignal): Promise<Blob> {
    const project = store.project.peek();
    const revision = store.state.peek()?.revision ?? 0;
    const running = store.job.peek()?.kind === "color";
    const stale = project?.color?.result?.stale ?? true;
    // A reference is shown as it will be used, till colours that were made with it are there.
    if (referenceOn(project, frame) && (stale || !isColoured(project, frame)) && !running) {
      return api.colorReference(frame, width, revision, signal);
    }
    const view = store.colorLook.peek();
    const saturation = view === "color" ? store.saturation.peek() : 1;
    const key = running ? `run${store.fresh.peek().count}` : (project?.color?.result?.key ?? "");
    return api.colorFrame(frame, { width, view, saturation, key }, signal);
  }

  /** Whatever the pictures depend on: when it changes, they are asked for again. */
  #follow() {
    const project = store.project.value;
    const state = store.state.value;
    const running = store.job.value?.kind === "color";
    const fresh = running ? store.fresh.value.count : 0;
    const looks = [store.colorLook.value, store.saturation.value, fresh];
    const result = project?.color?.result?.key;
    const references = project?.color && JSON.stringify(project.color.references);
    const look = [project?.folder, state?.revision, result, references, ...looks].join("/");
    const frame = store.frame.value;
    if (!project || store.mode.value !== "color") return;
    const width = this.#viewer.frames.width;
    if (look !== this.#look || this.frames.width !== width) {
      const other = look.split("/")[0] !== this.#look.split("/")[0];
      this.#look = look;
      this.frames.reset(width, other);
      this.frames.outdate();
    }
    this.want(frame);
    this.#viewer.redraw();
  }

  want(frame: number) {
    const project = store.project.peek();
    if (!project?.color || !this.frames.width) return;
    const running = store.job.peek()?.kind === "color";
    const there = (one: number) => isColoured(project, one) || referenceOn(project, one) !== null;
    const near = running ? [frame] : around(frame, project.video.frames, 6, 2).filter(there);
    this.frames.want(store.scrubbing.peek() ? near.slice(0, 1) : near);
  }

  draw(ctx: CanvasRenderingContext2D, shown: ImageBitmap | undefined) {
    const { width, height } = this.#viewer.video;
    const now = store.frame.peek();
    const project = store.project.peek();
    const running = store.job.peek()?.kind === "color";
    const there = isColoured(project, now) || referenceOn(project, now) !== null || running;
    const coloured = there ? this.frames.get(now) : undefined;
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

  /** In video pixels, over the picture: the strokes of this frame, and the wipe's line. */
  drawOver(ctx: CanvasRenderingContext2D) {
    const { video, view } = this.#viewer;
    const reference = referenceOn(store.project.peek(), store.frame.peek());
    const strokes = store.strokesShown.peek() ? [...(reference?.strokes ?? [])] : [];
    if (this.stroke) strokes.push(this.stroke);
    ctx.lineCap = ctx.lineJoin = "round";
    for (const { color, radius, points } of strokes) {
      ctx.beginPath();
      points.forEach(([x, y], n) => {
        if (n === 0) ctx.moveTo(x + 0.5, y + 0.5);
        ctx.lineTo(x + 0.5, y + 0.5);
      });
      ctx.strokeStyle = color;
      ctx.lineWidth = 2 * radius;
      ctx.stroke();
    }
    const at = store.wipe.peek() * video.width;
    if (this.#viewer.canvas.dataset.coloured && at > 0 && at < video.width) {
      ctx.fillStyle = "rgba(0,0,0,0.45)";
      ctx.fillRect(at - 1.5 / view.scale, 0, 3 / view.scale, video.height);
      ctx.fillStyle = "#fff";
      ctx.fillRect(at - 0.5 / view.scale, 0, 1 / view.scale, video.height);
    }
  }
}
