// Ids per pixel of each frame, fetched and composed of results and marks; a few frames are kept.

import { api } from "./api.ts";
import { centres, compose } from "./core/masks.ts";
import { Retry } from "./core/retry.ts";
import { marksOn, type Project } from "./core/state.ts";
import type { Point } from "./core/view.ts";

type Held = { tag: string; ids: Uint16Array };
const MOST_PIXELS = 64e6;

export class MaskCache {
  /** Whether trails are on show, and the centres of objects on each frame, for them. */
  trails = false;
  centres = new Map<number, Map<number, Point>>();
  #held = new Map<number, Held>();
  #loading = new Map<number, string>();
  #retry = new Retry();
  #again: ReturnType<typeof setTimeout> | undefined;
  #onLoad: (frame: number) => void;
  #onRetry: () => void;

  /** onLoad: a frame's masks are there. onRetry: what failed may be asked for again. */
  constructor(onLoad: (frame: number) => void, onRetry: () => void) {
    this.#onLoad = onLoad;
    this.#onRetry = onRetry;
  }

  clear() {
    this.#held.clear();
    this.centres.clear();
    this.#retry.clear();
    clearTimeout(this.#again);
  }

  get(frame: number): Uint16Array | undefined {
    return this.#held.get(frame)?.ids;
  }

  /** Puts what was painted here in place, till the server's own comes. */
  put(frame: number, ids: Uint16Array) {
    this.#loading.delete(frame);
    this.#held.set(frame, { tag: "painted", ids });
  }

  /** Fetches frames whose masks are not those of `tag`. */
  want(frames: number[], project: Project, revision: number, tag: string, running: boolean) {
    for (const frame of frames) {
      const there = this.#held.get(frame)?.tag === tag && !this.#lacksCentres(frame);
      if (there || this.#loading.get(frame) === tag) continue;
      if (!this.#retry.may(frame, performance.now())) continue;
      if (this.#loading.size > 6) return;
      this.#loading.set(frame, tag);
      void this.#load(frame, project, revision, tag, running);
    }
  }

  #lacksCentres(frame: number): boolean {
    return this.trails && !this.centres.has(frame);
  }

  async #load(frame: number, project: Project, revision: number, tag: string, running: boolean) {
    const { width, height } = project.video;
    const marks = marksOn(project, frame);
    const result = project.result;
    const hasResult = running || (result && frame >= result.start && frame < result.end);
    try {
      const [tracked, painted] = await Promise.all([
        hasResult ? api.mask(frame, "result", revision) : null,
        marks.objects?.length ? api.mask(frame, "marks", revision) : null,
      ]);
      if (this.#loading.get(frame) !== tag) return;
      const ids = compose(
        width * height,
        tracked?.values ?? null,
        painted?.values ?? null,
        marks.objects ?? [],
        marks.gone ?? [],
      );
      this.#retry.done(frame);
      this.#held.delete(frame);
      this.#held.set(frame, { tag, ids });
      if (this.trails) this.centres.set(frame, centres(ids, width));
      const most = Math.max(6, Math.floor(MOST_PIXELS / ids.length));
      for (const [old] of this.#held) {
        if (this.#held.size <= most) break;
        this.#held.delete(old);
      }
      this.#onLoad(frame);
    } catch {
      const pause = this.#retry.fail(frame, performance.now());
      clearTimeout(this.#again);
      this.#again = setTimeout(this.#onRetry, pause + 10);
    } finally {
      if (this.#loading.get(frame) === tag) this.#loading.delete(frame);
    }
  }
}
