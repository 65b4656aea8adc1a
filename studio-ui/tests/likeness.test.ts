import assert from "node:assert/strict";
import { test } from "node:test";
import * as core from "../src/core/likeness.ts";

const [WIDTH, HEIGHT, FACTOR] = [192, 108, 4];
type Rgb = [number, number, number];

/** RGBA of a picture of discs and a slope. */
function picture(of: (x: number, y: number) => Rgb): Uint8ClampedArray {
  const pixels = new Uint8ClampedArray(4 * WIDTH * HEIGHT);
  for (let p = 0; p < WIDTH * HEIGHT; p++) {
    pixels.set([...of(p % WIDTH, Math.floor(p / WIDTH)), 255], 4 * p);
  }
  return pixels;
}
const scene = (x: number, y: number) =>
  (Math.hypot(x - 60, y - 50) < 25 ? 210 : Math.hypot(x - 140, y - 70) < 20 ? 20 : 90) + y / 4;
const other = (x: number, y: number) => (Math.hypot(x - 100, y - 20) < 40 ? 40 : 160) - x / 4;
const grey = picture((x, y) => [scene(x, y), scene(x, y), scene(x, y)]);
const like = (still: Uint8ClampedArray, frame = grey) => core.likeness(frame, still, WIDTH, FACTOR);

test("a coloured picture of a frame is like it, in other light and a little moved too", () => {
  const tinted = picture((x, y) => [scene(x, y) * 1.1, scene(x, y) * 0.9, scene(x, y) * 0.6]);
  const moved = picture((x, y) => {
    const value = 255 * (scene(x + 3, y - 2) / 255) ** 1.5;
    return [value, value * 0.8, value];
  });
  assert.ok(like(tinted) > 0.98);
  assert.ok(like(moved) > core.LIKE + 0.1, `${like(moved)}`);
});

test("a picture of something else, upside down or flat, is not", () => {
  const something = picture((x, y) => [other(x, y), other(x, y), 80]);
  const turned = picture((x, y) => [0, scene(WIDTH - x, HEIGHT - y), 0]);
  const flat = picture(() => [9, 90, 9]);
  for (const one of [something, turned, flat]) assert.ok(like(one) < core.LIKE, `${like(one)}`);
  assert.equal(like(something, flat), 1, "nothing can be said of a black frame");
});

test("pictures are compared in the shape of the frame, from their middle", () => {
  assert.deepEqual(core.smallSize(1920, 1080), { width: 48, height: 27 });
  assert.deepEqual(core.smallSize(100, 1000), { width: 5, height: 48 });
  const frame = { width: 200, height: 100 };
  assert.deepEqual(core.fitted({ width: 400, height: 400 }, frame), [0, 100, 400, 200]);
  assert.deepEqual(core.fitted({ width: 90, height: 20 }, frame), [25, 0, 40, 20]);
});

test("blocks are averaged and an even picture stays even when it is blurred", () => {
  const found = core.boxed(new Float32Array([1, 3, 5, 7, 1, 3, 5, 7]), 4, 2);
  assert.deepEqual([...found], [2, 6]);
  assert.deepEqual([...core.blurred(new Float32Array(12).fill(7), 4)], Array(12).fill(7));
});
