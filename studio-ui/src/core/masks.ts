// Masks as ids per pixel: how marks lie over results, and how ids become colours.

import type { Rect } from "./raster.ts";
import type { Point, Size } from "./view.ts";

export type Rgb = [number, number, number];
export type Style = "overlay" | "outline" | "solid" | "cutout";
/** Colour and whether to draw, by id. */
export type Palette = Map<number, { color: Rgb; visible: boolean }>;

export function parseColor(text: string): Rgb {
  const hex = /^#?([0-9a-f]{6})$/i.exec(text)?.[1];
  if (!hex) return [128, 128, 128];
  const value = Number.parseInt(hex, 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

/** Ids to show on a frame: the result, under what is marked there. `gone` ids have no pixels. */
export function compose(
  length: number,
  result: Uint16Array | null,
  marks: Uint16Array | null,
  marked: number[],
  gone: number[],
): Uint16Array {
  const ids = new Uint16Array(length);
  if (result) ids.set(result.subarray(0, length));
  const without = new Set([...marked, ...gone]);
  if (without.size) {
    for (let p = 0; p < length; p++) if (ids[p] && without.has(ids[p]!)) ids[p] = 0;
  }
  if (marks) {
    for (let p = 0; p < length; p++) if (marks[p]) ids[p] = marks[p]!;
  }
  return ids;
}

/** 1 where the pixel is of `id`, as bytes of 255; null where no pixel is. */
export function maskOf(ids: Uint16Array, id: number): Uint8Array | null {
  const mask = new Uint8Array(ids.length);
  let any = false;
  for (let p = 0; p < ids.length; p++) {
    if (ids[p] === id) {
      mask[p] = 255;
      any = true;
    }
  }
  return any ? mask : null;
}

/** Centre of each id's pixels, and how many there are. */
export function centres(ids: Uint16Array, width: number): Map<number, Point> {
  const sums = new Map<number, [number, number, number]>();
  for (let p = 0; p < ids.length; p++) {
    const id = ids[p]!;
    if (!id) continue;
    let sum = sums.get(id);
    if (!sum) {
      sum = [0, 0, 0];
      sums.set(id, sum);
    }
    sum[0] += p % width;
    sum[1] += (p / width) | 0;
    sum[2] += 1;
  }
  return new Map([...sums].map(([id, [x, y, n]]) => [id, [x / n, y / n]]));
}

const ALPHA: Record<Style, [inside: number, edge: number]> = {
  overlay: [110, 255],
  outline: [0, 255],
  solid: [255, 255],
  cutout: [255, 255],
};

function isEdge(ids: Uint16Array, size: Size, x: number, y: number, reach: number): boolean {
  const p = y * size.width + x;
  const id = ids[p];
  for (let d = 1; d <= reach; d++) {
    if (x >= d && ids[p - d] !== id) return true;
    if (x + d < size.width && ids[p + d] !== id) return true;
    if (y >= d && ids[p - d * size.width] !== id) return true;
    if (y + d < size.height && ids[p + d * size.width] !== id) return true;
  }
  return false;
}

/** Edge width, in pixels of the video, that looks about the same for any size. */
export function edgeWidth(size: Size): number {
  return Math.max(1, Math.round(size.width / 700));
}

/** Colours of the ids within `rect`, RGBA, `rect` row by row. */
export function colour(
  ids: Uint16Array,
  size: Size,
  rect: Rect,
  palette: Palette,
  style: Style,
): Uint8ClampedArray<ArrayBuffer> {
  const [left, top, right, bottom] = rect;
  const out = new Uint8ClampedArray((right - left) * (bottom - top) * 4);
  const [insideAlpha, edgeAlpha] = ALPHA[style];
  const reach = insideAlpha === edgeAlpha ? 0 : edgeWidth(size);
  let to = 0;
  let last = 0;
  let shown = palette.get(0);
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++, to += 4) {
      const id = ids[y * size.width + x]!;
      if (!id) continue;
      if (id !== last) {
        last = id;
        shown = palette.get(id);
      }
      if (!shown?.visible) continue;
      const [red, green, blue] = shown.color;
      out[to] = red;
      out[to + 1] = green;
      out[to + 2] = blue;
      out[to + 3] = reach && isEdge(ids, size, x, y, reach) ? edgeAlpha : insideAlpha;
    }
  }
  return out;
}
