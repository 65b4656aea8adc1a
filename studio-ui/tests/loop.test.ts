import assert from "node:assert/strict";
import { test } from "node:test";
import { isLoop } from "../src/core/loop.ts";
import { mostlyIn } from "../src/core/state.ts";
import type { Point } from "../src/core/view.ts";

/** Part of an ellipse, in steps of six degrees. */
const ellipse = (wide: number, high: number, turns = 1): Point[] =>
  Array.from({ length: Math.round(60 * turns) + 1 }, (_, n) => {
    const angle = (n / 60) * 2 * Math.PI;
    return [300 + wide * Math.cos(angle), 200 + high * Math.sin(angle)];
  });

test("a loop comes back to where it began, or nearly so, or goes on a little", () => {
  for (const turns of [0.93, 1, 1.1]) assert.equal(isLoop(ellipse(80, 60, turns), 1), true);
  assert.equal(isLoop(ellipse(80, 60, 0.7), 1), false);
});

test("a loop may be long, not as thin as a drag there and back", () => {
  assert.equal(isLoop(ellipse(120, 22), 1), true);
  assert.equal(isLoop(ellipse(120, 8), 1), false);
});

test("a loop may be a rectangle, in either direction", () => {
  const side = (from: Point, to: Point): Point[] =>
    Array.from({ length: 10 }, (_, n) => [
      from[0] + ((to[0] - from[0]) * n) / 10,
      from[1] + ((to[1] - from[1]) * n) / 10,
    ]);
  const corners: Point[] = [
    [0, 0],
    [200, 0],
    [200, 90],
    [0, 90],
  ];
  const ring = corners.flatMap((corner, n) => side(corner, corners[(n + 1) % 4]!));
  assert.equal(isLoop(ring, 1), true);
  assert.equal(isLoop([...ring].reverse(), 1), true);
});

test("a loop is as large as a hand means it, on the screen", () => {
  assert.equal(isLoop(ellipse(8, 8), 1), false);
  assert.equal(isLoop(ellipse(8, 8), 4), true);
});

test("a loop is no line, zigzag or click", () => {
  const line: Point[] = Array.from({ length: 40 }, (_, n) => [10 * n, 3 * n]);
  const zigzag: Point[] = Array.from({ length: 80 }, (_, n) => [
    n < 40 ? 5 * n : 5 * (80 - n),
    n % 2 ? 60 : 0,
  ]);
  for (const places of [line, zigzag, [[5, 5]] as Point[], []]) {
    assert.equal(isLoop(places, 1), false);
  }
});

test("a loop goes round what is mostly in it, the largest of several, or nothing", () => {
  const ids = [0, 1, 1, 1, 1, 2, 2, 3];
  const held = (found: Record<number, number>) =>
    mostlyIn(new Map(Object.entries(found).map(([id, count]) => [Number(id), count])), ids);
  assert.equal(held({ 1: 3 }), 1);
  assert.equal(held({ 1: 3, 2: 2, 3: 1 }), 1);
  assert.equal(held({ 1: 2, 3: 1 }), 3);
  assert.equal(held({ 1: 2, 2: 1 }), 0);
  assert.equal(held({}), 0);
});
