import assert from "node:assert/strict";
import { test } from "node:test";
import { around, leftOver, piecesLine, piecesOf, seenOf } from "../src/core/pieces.ts";
import type { Rect } from "../src/core/raster.ts";

const size = { width: 100, height: 60 };
const all: Rect = [0, 0, 100, 60];

/** A mask of rectangles. */
function maskOf(...rects: Rect[]): Uint8Array {
  const mask = new Uint8Array(size.width * size.height);
  for (const [left, top, right, bottom] of rects) {
    for (let y = top; y < bottom; y++) mask.fill(255, y * 100 + left, y * 100 + right);
  }
  return mask;
}

function left(rects: Rect[], seen: Rect, touched: Rect): Rect[] {
  const pieces = piecesOf(maskOf(...rects), size);
  return leftOver(pieces, size.width, seen, touched).map((piece) => piece.box);
}

test("pieces that meet at a corner are one, and edges of the picture do not join", () => {
  assert.deepEqual(piecesOf(maskOf(), size), []);
  const corner = piecesOf(maskOf([2, 2, 4, 4], [4, 4, 6, 7]), size);
  assert.deepEqual(
    corner.map(({ box, pixels }) => [box, pixels.length]),
    [[[2, 2, 6, 7], 10]],
  );
  const edges = piecesOf(maskOf([98, 3, 100, 4], [0, 4, 3, 5]), size);
  assert.deepEqual(
    edges.map(({ box }) => box),
    [
      [0, 4, 3, 5],
      [98, 3, 100, 4],
    ],
  );
});

const HORSE: Rect = [10, 10, 40, 40];
const LEG: Rect = [12, 44, 18, 58];

test("a large piece in view is meant, and so is a small one beside what was touched", () => {
  assert.deepEqual(left([HORSE, [60, 10, 80, 40]], all, [12, 12, 14, 14]), []);
  assert.deepEqual(left([HORSE, [42, 10, 44, 12]], all, [12, 12, 14, 14]), []);
  assert.deepEqual(left([HORSE, LEG], all, [12, 12, 14, 14]), []);
});

test("a small piece far from what was touched is left over, though it is in view", () => {
  const fence: Rect = [90, 10, 93, 13];
  assert.deepEqual(left([HORSE, fence], all, [12, 12, 14, 14]), [fence]);
  assert.deepEqual(left([HORSE, fence], all, [12, 12, 92, 14]), [], "it was touched too");
});

test("a piece that lies mostly out of sight is left over, whatever its size", () => {
  const wall: Rect = [60, 10, 80, 40];
  const touched: Rect = [12, 12, 14, 14];
  assert.deepEqual(left([HORSE, wall], [0, 0, 50, 60], touched), [wall]);
  assert.deepEqual(left([HORSE, wall], [0, 0, 69, 60], touched), [wall]);
  assert.deepEqual(left([HORSE, wall], [0, 0, 70, 60], touched), [], "half of it is seen");
});

test("the object itself is not left over where a small piece of it was corrected", () => {
  const fence: Rect = [90, 10, 93, 13];
  const hoof: Rect = [12, 52, 16, 56];
  const seen: Rect = [8, 48, 24, 60];
  assert.deepEqual(left([HORSE, hoof, fence], seen, hoof), [fence]);
  assert.deepEqual(left([HORSE, fence], seen, hoof), [fence], "it was erased");
});

test("what is seen is that part of the picture which is on the screen", () => {
  const screen = { width: 400, height: 300 };
  assert.deepEqual(seenOf({ scale: 2, x: 50, y: 60 }, size, screen), all);
  assert.deepEqual(seenOf({ scale: 10, x: -200, y: -100 }, size, screen), [20, 10, 60, 40]);
  assert.deepEqual(seenOf({ scale: 10, x: 500, y: 0 }, size, screen), [0, 0, 0, 30]);
});

test("places lie in a rectangle of whole pixels", () => {
  assert.deepEqual(around([[3.4, 7]]), [3, 7, 4, 8]);
  assert.deepEqual(
    around([
      [3.4, 7],
      [1, 9.9],
    ]),
    [1, 7, 4, 11],
  );
});

test("one piece and several are told in one line", () => {
  assert.equal(
    piecesLine("Horse", 1, 12),
    "Horse has 1 more piece on frame 12 that counts as marked too.",
  );
  assert.equal(
    piecesLine("Horse", 2, 12),
    "Horse has 2 more pieces on frame 12 that count as marked too.",
  );
});
