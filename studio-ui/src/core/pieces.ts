// The pieces of a mask that do not hang together, and which of them a person has hardly meant.

import type { Rect } from "./raster.ts";
import { type Point, type Size, toVideo, type View } from "./view.ts";

/** Indices of the pixels of a piece, and what they lie in. */
export type Piece = { pixels: Int32Array; box: Rect };

/** A piece in view is small below this share of what was touched ... */
const SMALL = 0.1;
/** ... and far from it where it is farther away than this share of its longer side. */
const FAR = 0.25;
/** An untouched piece this many times as large as all that was touched is the object itself. */
const WHOLE = 2;

/** Pieces of what is not 0 in `mask`, the largest first; corners that touch hang together. */
export function piecesOf(mask: ArrayLike<number>, { width, height }: Size): Piece[] {
  const left = new Uint8Array(width * height);
  let count = 0;
  for (let p = 0; p < left.length; p++) if (mask[p]) count += left[p] = 1;
  const found = new Int32Array(count);
  const pieces: Piece[] = [];
  let end = 0;
  for (let p = 0; end < count; p++) {
    if (!left[p]) continue;
    const start = end;
    const box: Rect = [width, height, 0, 0];
    left[p] = 0;
    found[end++] = p;
    for (let n = start; n < end; n++) {
      const [x, y] = [found[n]! % width, Math.floor(found[n]! / width)];
      box[0] = Math.min(box[0], x);
      box[1] = Math.min(box[1], y);
      box[2] = Math.max(box[2], x + 1);
      box[3] = Math.max(box[3], y + 1);
      for (let row = Math.max(0, y - 1); row <= Math.min(height - 1, y + 1); row++) {
        for (let column = Math.max(0, x - 1); column <= Math.min(width - 1, x + 1); column++) {
          const next = row * width + column;
          if (!left[next]) continue;
          left[next] = 0;
          found[end++] = next;
        }
      }
    }
    pieces.push({ pixels: found.subarray(start, end), box });
  }
  return pieces.sort((a, b) => b.pixels.length - a.pixels.length);
}

/** The part of the picture that is on the screen, in whole pixels of the video. */
export function seenOf(view: View, video: Size, screen: Size): Rect {
  const [left, top] = toVideo(view, [0, 0]);
  const [right, bottom] = toVideo(view, [screen.width, screen.height]);
  const within = (at: number, most: number) => Math.min(most, Math.max(0, at));
  return [
    within(Math.ceil(left), video.width),
    within(Math.ceil(top), video.height),
    within(Math.floor(right) + 1, video.width),
    within(Math.floor(bottom) + 1, video.height),
  ];
}

/** What places lie in. */
export function around(places: Point[]): Rect {
  const [columns, rows] = [
    places.map(([x]) => Math.round(x)),
    places.map(([, y]) => Math.round(y)),
  ];
  return [Math.min(...columns), Math.min(...rows), Math.max(...columns) + 1, Math.max(...rows) + 1];
}

/** How many of a piece's pixels lie in `rect`. */
function within(piece: Piece, [left, top, right, bottom]: Rect, width: number): number {
  let count = 0;
  for (const p of piece.pixels) {
    const [x, y] = [p % width, Math.floor(p / width)];
    if (x >= left && x < right && y >= top && y < bottom) count += 1;
  }
  return count;
}

/** Pixels between two boxes, 0 where they touch. */
function gap(a: Rect, b: Rect): number {
  const across = Math.max(0, a[0] - b[2], b[0] - a[2]);
  const down = Math.max(0, a[1] - b[3], b[1] - a[3]);
  return Math.hypot(across, down);
}

/**
 * Pieces of a mask that was corrected at `touched` and seen in `seen` only: those that were not
 * touched and lie mostly out of sight, or are small and far from what was touched. What is much
 * larger than all that was touched is the object itself, and never one of them.
 */
export function leftOver(pieces: Piece[], width: number, seen: Rect, touched: Rect): Piece[] {
  const [left, top, right, bottom] = touched;
  const near: Rect = [left - 1, top - 1, right + 1, bottom + 1];
  const meant = pieces.filter((piece) => within(piece, near, width) > 0);
  const size = meant.reduce((sum, piece) => sum + piece.pixels.length, 0);
  const largest = pieces[0];
  if (largest && !meant.includes(largest) && largest.pixels.length > WHOLE * size) {
    meant.push(largest);
  }
  const all = meant.reduce((sum, piece) => sum + piece.pixels.length, 0);
  const isFar = (box: Rect) =>
    meant.every((one) => {
      const side = Math.max(one.box[2] - one.box[0], one.box[3] - one.box[1]);
      return gap(one.box, box) > FAR * side;
    });
  return pieces.filter((piece) => {
    if (meant.includes(piece)) return false;
    if (within(piece, seen, width) < piece.pixels.length / 2) return true;
    return piece.pixels.length < SMALL * all && isFar(piece.box);
  });
}

/** What is said of pieces that are left over. */
export function piecesLine(name: string, count: number, frame: number): string {
  const [pieces, counted] = count === 1 ? ["piece", "counts"] : ["pieces", "count"];
  return `${name} has ${count} more ${pieces} on frame ${frame} that ${counted} as marked too.`;
}
