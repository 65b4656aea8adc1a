// Frames as bitmaps: fetched ahead, a few at a time, the least recently seen let go.

import { api } from "./api.ts";

const AT_ONCE = 4;
const MOST_PIXELS = 120e6;

export class FrameCache {
  #bitmaps = new Map<number, ImageBitmap>();
  #loading = new Map<number, AbortController>();
  #wanted: number[] = [];
  #failed = new Set<number>();
  #width = 0;
  #onLoad: (frame: number) => void;
  video = "";

  constructor(onLoad: (frame: number) => void) {
    this.#onLoad = onLoad;
  }

  get width() {
    return this.#width;
  }

  /** Another size or another video: what is held is kept to look at till the new one is there. */
  reset(width: number, all = false) {
    this.#width = width;
    this.#failed.clear();
    for (const controller of this.#loading.values()) controller.abort();
    this.#loading.clear();
    if (all) {
      for (const bitmap of this.#bitmaps.values()) bitmap.close();
      this.#bitmaps.clear();
    } else {
      for (const [frame, bitmap] of this.#bitmaps) {
        if (bitmap.width < width) this.#stale.add(frame);
      }
    }
  }
  #stale = new Set<number>();

  get(frame: number): ImageBitmap | undefined {
    const bitmap = this.#bitmaps.get(frame);
    if (bitmap) {
      this.#bitmaps.delete(frame);
      this.#bitmaps.set(frame, bitmap);
    }
    return bitmap;
  }

  /** Whether it was asked for and cannot be had. */
  gaveUp(frame: number): boolean {
    return this.#failed.has(frame);
  }

  has(frame: number): boolean {
    return this.#bitmaps.has(frame) && !this.#stale.has(frame);
  }

  /** Asks for these frames, the first one first; requests for others are given up. */
  want(frames: number[]) {
    this.#wanted = frames.filter((frame) => !this.has(frame) && !this.#failed.has(frame));
    const near = new Set(frames);
    for (const [frame, controller] of this.#loading) {
      if (!near.has(frame)) {
        controller.abort();
        this.#loading.delete(frame);
      }
    }
    this.#pump();
  }

  #pump() {
    for (const frame of this.#wanted) {
      if (this.#loading.size >= AT_ONCE) return;
      if (!this.#loading.has(frame) && !this.has(frame) && !this.#failed.has(frame)) {
        void this.#load(frame);
      }
    }
  }

  async #load(frame: number) {
    const controller = new AbortController();
    this.#loading.set(frame, controller);
    try {
      const blob = await api.frame(frame, this.#width, this.video, controller.signal);
      const bitmap = await createImageBitmap(blob);
      if (controller.signal.aborted) return bitmap.close();
      this.#bitmaps.get(frame)?.close();
      this.#bitmaps.delete(frame);
      this.#bitmaps.set(frame, bitmap);
      this.#stale.delete(frame);
      this.#trim(bitmap.width * bitmap.height);
      this.#onLoad(frame);
    } catch (error) {
      if ((error as Error).name !== "AbortError") this.#failed.add(frame);
    } finally {
      if (this.#loading.get(frame) === controller) this.#loading.delete(frame);
      this.#pump();
    }
  }

  #trim(pixels: number) {
    const most = Math.max(8, Math.floor(MOST_PIXELS / Math.max(1, pixels)));
    for (const [frame, bitmap] of this.#bitmaps) {
      if (this.#bitmaps.size <= most) return;
      bitmap.close();
      this.#bitmaps.delete(frame);
      this.#stale.delete(frame);
    }
  }
}
