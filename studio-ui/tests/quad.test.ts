import assert from "node:assert/strict";
import { test } from "node:test";
import * as quads from "../src/core/quad.ts";

const square: quads.Quad = [
  [0, 0],
  [10, 0],
  [10, 10],
  [0, 10],
];

test("a picture begins in the middle, in its own shape", () => {
  const quad = quads.middleQuad({ width: 200, height: 100 }, { width: 300, height: 300 });
  assert.deepEqual(quad[0], [99.5, 124.5]);
  assert.deepEqual(quad[2], [199.5, 174.5]);
  assert.ok(quads.isConvex(quad));
});

test("crossed and dented quads hold no picture", () => {
  assert.ok(quads.isConvex(square));
  assert.ok(!quads.isConvex([square[1], square[0], square[2], square[3]]));
  assert.ok(!quads.isConvex([[8, 8], square[1], square[2], square[3]]));
});

test("corners and insides are found", () => {
  assert.equal(quads.cornerAt(square, [9, 1], 2), 1);
  assert.equal(quads.cornerAt(square, [5, 5], 2), null);
  assert.ok(quads.isInside(square, [5, 5]) && !quads.isInside(square, [11, 5]));
});

test("the unit square goes to the corners, and its middle to where the diagonals cross", () => {
  const quad: quads.Quad = [
    [0, 0],
    [10, 0],
    [8, 6],
    [2, 6],
  ];
  const at = quads.onQuad(quad);
  const corners = [at(0, 0), at(1, 0), at(1, 1), at(0, 1)];
  corners.forEach((corner, n) => {
    corner.forEach((value, axis) => {
      assert.ok(Math.abs(value - quad[n]![axis]!) < 1e-9);
    });
  });
  const [x, y] = at(0.5, 0.5);
  assert.ok(Math.abs(x - 5) < 1e-9 && Math.abs(y - 3.75) < 1e-9);
});
