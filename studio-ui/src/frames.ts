// Frames as bitmaps: fetched ahead, a few at a time, the least recently seen let go.

import { ApiError, api } from "./api.ts";
import { nearestHeld, scrubStep } from "./core/scrub.ts";

/** What a picture of a frame shows, where that is not always the same. */
export type Looks<L extends { text: string }> = (frame: number) => L | null;
type Get = (
  frame: number,
  width: number,
  signal: AbortSignal,
  rough: boolean,
) => Promise<{ blob: Blob; frame: number; small?: boolean }>;

const AT_ONCE = 4;
const MOST_PIXELS = 120e6;

export class FrameCache<L extends { text: string } = { text: string }> {
  #bitmaps = new Map<number, ImageBitmap>();
  #shown = new Map<number, L>();
  #looks: Looks<L> | null;
  #loading = new Map<number, { controller: AbortController; text: string }>();
  /** The request under way and the newest wish, while the handle of the timeline is dragged. */
  #scrub: {
    frame: number;
    since: number;
    small: boolean;
    controller: AbortController;
  } | null = null;
  #scrubWish: number | null = null;
  #scrubSmall = false;
  #wanted: number[] = [];
  /** Why what was asked for cannot be had. */
  #failed = new Map<string, string>();
  #width = 0;
  #onLoad: (frame: number) => void;
  #get: Get;
  video = "";

  constructor(onLoad: (frame: number) => void, get?: Get, looks?: Looks<L>) {
    this.#onLoad = onLoad;
    this.#looks = looks ?? null;
    this.#get = get ?? ((...wanted) => api.frame(this.video, ...wanted));
  }

  get width() {
    return this.#width;
  }

  /** Another size or another video: what is held is kept to look at till the new one is there. */
  reset(width: number, all = false) {
    this.#width = width;
    this.#failed.clear();
    this.#giveUp();
    if (all) {
      this.#scrub?.controller.abort();
      this.#scrubWish = null;
      for (const bitmap of this.#bitmaps.values()) bitmap.close();
      this.#bitmaps.clear();
      this.#shown.clear();
    } else {
      for (const [frame, bitmap] of this.#bitmaps) {
        if (bitmap.width < width) this.#stale.add(frame);
      }
    }
  }
  /** Frames whose pictures are smaller than wanted. */
  #stale = new Set<number>();

  #giveUp() {
    for (const { controller } of this.#loading.values()) controller.abort();
    this.#loading.clear();
  }

  /** What is wanted of a frame now. */
  #text(frame: number): string {
    return this.#looks ? (this.#looks(frame)?.text ?? "none") : "";
  }

  /** What the picture that is held of a frame shows. */
  lookOf(frame: number): L | undefined {
    return this.#shown.get(frame);
  }

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
    return this.#failed.has(`${frame} ${this.#text(frame)}`);
  }

  /** Why it cannot be had, in a line; undefined where it can, or was not asked for. */
  whyNot(frame: number): string | undefined {
    return this.#failed.get(`${frame} ${this.#text(frame)}`);
  }

  has(frame: number): boolean {
    return this.#holds(frame) && !this.#stale.has(frame);
  }

  /** Whether a picture of it is held, be it smaller than wanted. */
  #holds(frame: number): boolean {
    if (!this.#bitmaps.has(frame)) return false;
    return !this.#looks || this.#shown.get(frame)?.text === this.#text(frame);
  }

  /** What to show of a frame that is not there yet: the nearest one that is. */
  nearest(frame: number): ImageBitmap | undefined {
    const found = nearestHeld(this.#bitmaps.keys(), frame);
    return found === null ? undefined : this.#bitmaps.get(found);
  }

  /**
   * While the handle is dragged: this frame or one near it, with one request at a time. `small`:
   * there is a small picture of it.
   */
  scrubTo(frame: number, small = false) {
    this.#wanted = [];
    this.#giveUp();
    this.#scrubWish = frame;
    this.#scrubSmall = small;
    this.#pumpScrub();
  }

  #pumpScrub() {
    const frame = this.#scrubWish;
    if (frame === null || this.#holds(frame)) return;
    const step = scrubStep(this.#scrub, frame, performance.now());
    if (step === "wait") return;
    this.#scrub?.controller.abort();
    const controller = new AbortController();
    const mine = { frame, since: performance.now(), small: this.#scrubSmall, controller };
    this.#scrub = mine;
    this.#scrubWish = null;
    void this.#fetch(frame, mine.controller, true).finally(() => {
      if (this.#scrub !== mine) return;
      this.#scrub = null;
      this.#pumpScrub();
    });
  }

  /**
   * Asks for these frames, the first one first; requests for others are given up. `glimpse`: of the
   * first one there is a small picture, to be on show till the whole one is there.
   */
  want(frames: number[], glimpse = false) {
    const [first] = frames;
    const isNew = first !== undefined && !this.#holds(first) && !this.#loading.has(first);
    this.#scrubWish = glimpse && isNew ? first : null;
    this.#scrubSmall = glimpse;
    this.#wanted = frames.filter((frame) => !this.has(frame) && !this.gaveUp(frame));
    const near = new Set(frames);
    for (const [frame, { controller, text }] of this.#loading) {
      if (!near.has(frame) || text !== this.#text(frame)) {
        controller.abort();
        this.#loading.delete(frame);
      }
    }
    this.#pumpScrub();
    this.#pump();
  }

  #pump() {
    for (const frame of this.#wanted) {
      if (this.#loading.size >= AT_ONCE) return;
      if (!this.#loading.has(frame) && !this.has(frame) && !this.gaveUp(frame)) {
        void this.#load(frame);
      }
    }
  }

  async #load(frame: number) {
    const controller = new AbortController();
    this.#loading.set(frame, { controller, text: this.#text(frame) });
    await this.#fetch(frame, controller, false);
    if (this.#loading.get(frame)?.controller === controller) this.#loading.delete(frame);
    this.#pump();
  }

  /** Decoded beside the main thread; held under the number of the frame that came. */
  async #fetch(frame: number, { signal }: AbortController, rough: boolean) {
    const look = this.#looks?.(frame);
    const text = this.#text(frame);
    try {
      const got = await this.#get(frame, this.#width, signal, rough);
      const bitmap = await createImageBitmap(got.blob);
      // An answer that comes late, to what is not wanted any more, is never shown.
      const isLate = signal.aborted || text !== this.#text(frame);
      if (isLate || (got.small && this.has(got.frame))) return bitmap.close();
      this.#bitmaps.get(got.frame)?.close();
      this.#bitmaps.delete(got.frame);
      this.#bitmaps.set(got.frame, bitmap);
      if (look) this.#shown.set(got.frame, look);
      if (got.small) this.#stale.add(got.frame);
      else this.#stale.delete(got.frame);
      this.#trim(bitmap.width * bitmap.height);
      this.#onLoad(frame);
    } catch (error) {
      // 409: a newer request has overtaken it. Nothing to do: that one is on its way.
      const overtaken = error instanceof ApiError && error.status === 409;
      if ((error as Error).name !== "AbortError" && !overtaken && !rough) {
        this.#failed.set(`${frame} ${text}`, (error as Error).message);
        this.#onLoad(frame);
      }
    }
  }

  #trim(pixels: number) {
    const most = Math.max(8, Math.floor(MOST_PIXELS / Math.max(1, pixels)));
    for (const [frame, bitmap] of this.#bitmaps) {
      if (this.#bitmaps.size <= most) return;
      bitmap.close();
      this.#bitmaps.delete(frame);
      this.#shown.delete(frame);
      this.#stale.delete(frame);
    }
  }
}
