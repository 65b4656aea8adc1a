import assert from "node:assert/strict";
import { test } from "node:test";
import {
  erase,
  grow,
  paint,
  polygon,
  type Rect,
  stroke,
  sweep,
  union,
} from "../src/core/raster.ts";
import type { Point } from "../src/core/view.ts";

const size = { width: 40, height: 30 };

function drawn(shape: (visit: (row: number, from: number, to: number) => void) => Rect | null) {
  const mask = new Uint16Array(size.width * size.height);
  const dirty = shape((row, from, to) =>
    paint(mask, row * size.width + from, row * size.width + to, 1, new Set()),
  );
  return { mask, dirty };
}

function distance([x, y]: Point, [ax, ay]: Point, [bx, by]: Point): number {
  const length = (bx - ax) ** 2 + (by - ay) ** 2;
  const t = length
    ? Math.max(0, Math.min(1, ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length))
    : 0;
  return Math.hypot(x - ax - t * (bx - ax), y - ay - t * (by - ay));
}

/** Numbers that are the same every run. */
function random(seed: number) {
  let state = seed;
  return () => {
    state = (state * 1664525 + 1013904223) % 2 ** 32;
    return state / 2 ** 32;
  };
}

test("a stroke covers the pixels at most a radius from its line, and only those", () => {
  const next = random(7);
  for (let n = 0; n < 200; n++) {
    const place = (): Point => [next() * 50 - 5, next() * 40 - 5];
    const from = place();
    const to = n % 5 ? place() : from;
    const radius = 0.5 + next() * 9;
    const { mask } = drawn((visit) => stroke(size, from, to, radius, visit));
    for (let p = 0; p < mask.length; p++) {
      const far = distance([p % size.width, Math.floor(p / size.width)], from, to);
      if (Math.abs(far - radius) < 1e-6) continue;
      assert.equal(mask[p], far < radius ? 1 : 0, `pixel ${p} of stroke ${n}`);
    }
  }
});

test("the dirty rectangle holds every pixel painted, and no row or column more", () => {
  const { mask, dirty } = drawn((visit) => stroke(size, [10, 10], [22, 15], 3, visit));
  let bounds: Rect | null = null;
  mask.forEach((value, p) => {
    const [x, y] = [p % size.width, Math.floor(p / size.width)];
    if (value) bounds = union(bounds, [x, y, x + 1, y + 1]);
  });
  assert.deepEqual(dirty, bounds);
});

test("a stroke outside the picture paints nothing", () => {
  assert.equal(drawn((visit) => stroke(size, [-50, -50], [-20, -60], 4, visit)).dirty, null);
});

test("a polygon holds the pixels whose centres are inside", () => {
  const corners: Point[] = [
    [2.5, 2.5],
    [12.5, 2.5],
    [12.5, 8.5],
    [2.5, 8.5],
  ];
  const { mask, dirty } = drawn((visit) => polygon(size, corners, visit));
  assert.equal(
    mask.reduce((sum, value) => sum + value, 0),
    10 * 6,
  );
  assert.deepEqual(dirty, [3, 3, 13, 9]);
});

test("a polygon that crosses itself has a hole (even-odd)", () => {
  const star: Point[] = [0, 2, 4, 1, 3].map((n) => [
    20 + 13 * Math.sin((2 * Math.PI * n) / 5),
    15 - 13 * Math.cos((2 * Math.PI * n) / 5),
  ]);
  const { mask } = drawn((visit) => polygon(size, star, visit));
  assert.equal(mask[15 * size.width + 20], 0);
  assert.equal(mask[4 * size.width + 20], 1);
});

test("two corners are no polygon", () => {
  assert.equal(
    drawn((visit) =>
      polygon(
        size,
        [
          [1, 1],
          [9, 9],
        ],
        visit,
      ),
    ).dirty,
    null,
  );
});

test("paint spares locked objects, erase takes from one object only", () => {
  const ids = Uint16Array.from([0, 1, 2, 3, 3]);
  paint(ids, 0, 4, 9, new Set([2]));
  assert.deepEqual([...ids], [9, 9, 2, 9, 3]);
  erase(ids, 0, 5, 9);
  assert.deepEqual([...ids], [0, 0, 2, 0, 3]);
});

test("a rectangle grows to the picture's edge at most", () => {
  assert.deepEqual(grow([1, 5, 39, 10], 3, size), [0, 2, 40, 13]);
});

test("what an eraser leaves over goes with it, and nothing else", () => {
  const before = new Uint16Array(size.width * size.height);
  const at = (row: number, column: number) => row * size.width + column;
  const fill = (top: number, left: number, bottom: number, right: number) => {
    for (let row = top; row < bottom; row++) before.fill(1, at(row, left), at(row, right));
  };
  fill(0, 0, 20, 20); // the object
  before[at(25, 25)] = 1; // a dot that was painted by itself, where the eraser did not come
  before[at(12, 30)] = 2; // of another object
  const ids = before.slice();
  for (let row = 5; row < 12; row++) ids.fill(0, at(row, 5), at(row, 20));
  ids[at(8, 10)] = ids[at(8, 11)] = ids[at(9, 11)] = 1; // left over in the middle
  const wanted = ids.slice();
  wanted[at(8, 10)] = wanted[at(8, 11)] = wanted[at(9, 11)] = 0;
  sweep(ids, before, size, [5, 5, 26, 26], 1);
  assert.deepEqual(ids, wanted);
});

test("a small object is not swept away", () => {
  const before = new Uint16Array(size.width * size.height);
  before.fill(1, 0, 20);
  const ids = before.slice();
  ids[5] = 0;
  const wanted = ids.slice();
  sweep(ids, before, size, [0, 0, 20, 1], 1);
  assert.deepEqual(ids, wanted);
});
