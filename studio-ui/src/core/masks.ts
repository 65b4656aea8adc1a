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

/** Mean colour of RGBA pixels of a picture where a mask of another size is, as #rrggbb; null: none. */
export function meanUnder(
  mask: ArrayLike<number>,
  size: { width: number; height: number },
  pixels: ArrayLike<number>,
  small: { width: number; height: number },
): string | null {
  const sums = [0, 0, 0];
  let count = 0;
  for (let p = 0; p < mask.length; p++) {
    if (!mask[p]) continue;
    const [x, y] = [p % size.width, Math.floor(p / size.width)];
    const column = Math.floor((x * small.width) / size.width);
    const at = 4 * (Math.floor((y * small.height) / size.height) * small.width + column);
    for (let part = 0; part < 3; part++) sums[part]! += pixels[at + part]!;
    count += 1;
  }
  const levels = sums.map((sum) => Math.round(sum / count));
  return count ? `#${levels.map((level) => level.toString(16).padStart(2, "0")).join("")}` : null;
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

/** Edge width, in pixels of the video, that looks about the same for any size. */
export function edgeWidth(size: Size): number {
  return Math.max(1, Math.round(size.width / 700));
}

/** RGBA as one number, in the byte order of this machine. */
function packed([red, green, blue]: Rgb, alpha: number): number {
  return new Uint32Array(Uint8Array.of(red, green, blue, alpha).buffer)[0]!;
}

/**
 * Colours of the ids within `rect`, RGBA, `rect` row by row. A pixel is at its object's edge where
 * another id is an edge's width away, in its row or column.
 */
export function colour(
  ids: Uint16Array,
  size: Size,
  rect: Rect,
  palette: Palette,
  style: Style,
): Uint8ClampedArray<ArrayBuffer> {
  const [left, top, right, bottom] = rect;
  const out = new Uint32Array((right - left) * (bottom - top));
  const [insideAlpha, edgeAlpha] = ALPHA[style];
  const reach = insideAlpha === edgeAlpha ? 0 : edgeWidth(size);
  const { width, height } = size;
  const rows = reach * width;
  let to = 0;
  let last = 0;
  let [inside, edge] = [0, 0];
  for (let y = top; y < bottom; y++) {
    const above = y >= reach;
    const below = y + reach < height;
    for (let x = left; x < right; x++, to++) {
      const p = y * width + x;
      const id = ids[p]!;
      if (id === 0) continue;
      if (id !== last) {
        last = id;
        const look = palette.get(id);
        inside = look?.visible ? packed(look.color, insideAlpha) : 0;
        edge = look?.visible ? packed(look.color, edgeAlpha) : 0;
      }
      const atEdge =
        reach > 0 &&
        ((x >= reach && ids[p - reach] !== id) ||
          (x + reach < width && ids[p + reach] !== id) ||
          (above && ids[p - rows] !== id) ||
          (below && ids[p + rows] !== id));
      out[to] = atEdge ? edge : inside;
    }
  }
  return new Uint8ClampedArray(out.buffer);
}
