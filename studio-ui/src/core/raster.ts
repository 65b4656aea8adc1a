// Shapes as spans of pixels: what a brush stroke or a polygon covers of a mask at video resolution.

import type { Point, Size } from "./view.ts";

/** [left, top, right, bottom), pixels. */
export type Rect = [number, number, number, number];
/** Called for each row with the pixels [from, to) that the shape covers. */
type Visit = (row: number, from: number, to: number) => void;

export function union(a: Rect | null, b: Rect | null): Rect | null {
  if (!a || !b) return a ?? b;
  return [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[2], b[2]), Math.max(a[3], b[3])];
}

export function grow(rect: Rect, by: number, size: Size): Rect {
  return [
    Math.max(0, rect[0] - by),
    Math.max(0, rect[1] - by),
    Math.min(size.width, rect[2] + by),
    Math.min(size.height, rect[3] + by),
  ];
}

function emit(size: Size, row: number, left: number, right: number, visit: Visit): Rect | null {
  const from = Math.max(0, Math.ceil(left));
  const to = Math.min(size.width, Math.floor(right) + 1);
  if (to <= from) return null;
  visit(row, from, to);
  return [from, row, to, row + 1];
}

/** Where the row crosses the edges of a polygon, ascending. */
function crossings(corners: Point[], row: number): number[] {
  const found: number[] = [];
  for (let i = 0; i < corners.length; i++) {
    const [ax, ay] = corners[i]!;
    const [bx, by] = corners[(i + 1) % corners.length]!;
    if (ay <= row !== by <= row) found.push(ax + ((row - ay) / (by - ay)) * (bx - ax));
  }
  return found.sort((a, b) => a - b);
}

/** A round brush drawn from `from` to `to`: pixels whose centre is at most `radius` from the line. */
export function stroke(size: Size, from: Point, to: Point, radius: number, visit: Visit) {
  const length = Math.hypot(to[0] - from[0], to[1] - from[1]);
  const nx = length ? (-(to[1] - from[1]) / length) * radius : 0;
  const ny = length ? ((to[0] - from[0]) / length) * radius : 0;
  const band: Point[] = [
    [from[0] + nx, from[1] + ny],
    [to[0] + nx, to[1] + ny],
    [to[0] - nx, to[1] - ny],
    [from[0] - nx, from[1] - ny],
  ];
  let dirty: Rect | null = null;
  const top = Math.max(0, Math.ceil(Math.min(from[1], to[1]) - radius));
  const bottom = Math.min(size.height - 1, Math.floor(Math.max(from[1], to[1]) + radius));
  for (let row = top; row <= bottom; row++) {
    let left = Number.POSITIVE_INFINITY;
    let right = Number.NEGATIVE_INFINITY;
    for (const [x, y] of [from, to]) {
      const half = Math.sqrt(radius * radius - (row - y) * (row - y));
      if (Number.isNaN(half)) continue;
      left = Math.min(left, x - half);
      right = Math.max(right, x + half);
    }
    if (length) {
      for (const x of crossings(band, row)) {
        left = Math.min(left, x);
        right = Math.max(right, x);
      }
    }
    dirty = union(dirty, emit(size, row, left, right, visit));
  }
  return dirty;
}

/** Fills a polygon (even-odd rule): pixels whose centre lies within. */
export function polygon(size: Size, corners: Point[], visit: Visit) {
  if (corners.length < 3) return null;
  const rows = corners.map((corner) => corner[1]);
  const top = Math.max(0, Math.ceil(Math.min(...rows)));
  const bottom = Math.min(size.height - 1, Math.floor(Math.max(...rows)));
  let dirty: Rect | null = null;
  for (let row = top; row <= bottom; row++) {
    const found = crossings(corners, row);
    for (let i = 0; i + 1 < found.length; i += 2) {
      dirty = union(dirty, emit(size, row, found[i]!, found[i + 1]!, visit));
    }
  }
  return dirty;
}

/** Paints pixels [from, to) of `ids` with `id`; those of locked objects stay. */
export function paint(ids: Uint16Array, from: number, to: number, id: number, locked: Set<number>) {
  for (let p = from; p < to; p++) {
    if (!locked.size || !locked.has(ids[p]!)) ids[p] = id;
  }
}

/** Takes pixels [from, to) away from `id`, and from nothing else. */
export function erase(ids: Uint16Array, from: number, to: number, id: number) {
  for (let p = from; p < to; p++) if (ids[p] === id) ids[p] = 0;
}

/**
 * Takes away what an eraser has left of `id` in `rect` by accident: parts of at most `most` pixels
 * that hang together, and hung together with more `before`, where the object has much more elsewhere.
 */
export function sweep(
  ids: Uint16Array,
  before: Uint16Array,
  size: Size,
  rect: Rect,
  id: number,
  most = 16,
) {
  let whole = 0;
  for (let p = 0; p < ids.length && whole <= 8 * most; p++) if (ids[p] === id) whole += 1;
  if (whole <= 8 * most) return;
  const [left, top, right, bottom] = grow(rect, 1, size);
  const large = new Set<number>();
  for (let row = top; row < bottom; row++) {
    for (let column = left; column < right; column++) {
      const start = row * size.width + column;
      if (ids[start] !== id || large.has(start)) continue;
      const { part, cut } = partFrom(ids, before, size, start, most, large);
      if (cut) for (const p of part) ids[p] = 0;
    }
  }
}

function around(p: number, { width, height }: Size): number[] {
  const [row, column] = [Math.floor(p / width), p % width];
  const found: number[] = [];
  for (let y = Math.max(0, row - 1); y <= Math.min(height - 1, row + 1); y++) {
    for (let x = Math.max(0, column - 1); x <= Math.min(width - 1, column + 1); x++) {
      if (y !== row || x !== column) found.push(y * width + x);
    }
  }
  return found;
}

/**
 * The pixels that hang together with one by sides or corners, and whether they are few and were cut
 * off from others that were there `before`. Of many, those found so far become `large`.
 */
function partFrom(
  ids: Uint16Array,
  before: Uint16Array,
  size: Size,
  start: number,
  most: number,
  large: Set<number>,
): { part: number[]; cut: boolean } {
  const id = ids[start]!;
  const part = [start];
  const found = new Set(part);
  let cut = false;
  for (let n = 0; n < part.length; n++) {
    if (part.length > most || large.has(part[n]!)) {
      for (const p of part) large.add(p);
      return { part, cut: false };
    }
    for (const p of around(part[n]!, size)) {
      if (ids[p] !== id) cut ||= before[p] === id;
      else if (!found.has(p)) {
        found.add(p);
        part.push(p);
      }
    }
  }
  return { part, cut };
}
