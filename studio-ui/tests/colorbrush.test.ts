import assert from "node:assert/strict";
import { test } from "node:test";
import { waiting } from "../src/colorwork.ts";
import * as store from "../src/store.ts";
import { colorBrush } from "../src/tools/colorbrush.ts";
import type { Pen } from "../src/tools/tool.ts";
import type { Viewer } from "../src/viewer.ts";

const pen = (x: number, y: number) =>
  ({ at: [x, y], screen: [x, y], trail: [[x, y]], other: false }) as unknown as Pen;

function stage(there: Set<number>) {
  const color = { stroke: null as unknown };
  const viewer = {
    video: { width: 100, height: 60 },
    frames: { get: (frame: number) => (there.has(frame) ? {} : undefined) },
    color,
    redraw: () => {},
  };
  const make = (rubber: boolean) => colorBrush(viewer as unknown as Viewer, rubber);
  return { color, brush: make(false), eraser: make(true) };
}

test("no stroke begins on a frame whose picture is not there", () => {
  const there = new Set([3]);
  const { color, brush } = stage(there);
  store.frame.value = 60;
  brush.down(pen(10, 10));
  brush.move(pen(20, 10));
  brush.up(pen(20, 10));
  assert.equal(color.stroke, null);
  assert.deepEqual(waiting.value, []);
  assert.deepEqual(
    store.toasts.value.map((toast) => toast.text),
    ["One moment: this frame is still loading"],
  );
  there.add(60);
  brush.down(pen(10, 10));
  assert.notEqual(color.stroke, null);
  brush.cancel();
  assert.equal(color.stroke, null);
});

test("the eraser begins where there are strokes, and is one without a colour", () => {
  const { color, eraser } = stage(new Set([60]));
  eraser.down(pen(10, 10));
  assert.equal(color.stroke, null);
  assert.ok(store.toasts.value.some(({ text }) => /no strokes/.test(text)));
  const before = { color: "#112233", radius: 2, points: [[1, 1]] as [number, number][] };
  waiting.value = [{ frame: 60, stroke: before }];
  eraser.down(pen(10, 10));
  eraser.move(pen(20, 10));
  const radius = store.brushSize.value / 2;
  const points = [
    [10, 10],
    [20, 10],
  ];
  assert.deepEqual(color.stroke, { color: null, radius, points });
  eraser.up(pen(20, 10));
  assert.equal(color.stroke, null);
  assert.deepEqual(
    waiting.value.map((one) => one.stroke.color),
    ["#112233", null],
  );
  waiting.value = [];
});

test("a click of the eraser takes a whole stroke, and says so where there is none", () => {
  const { eraser } = stage(new Set([60]));
  const stroke = { color: "#112233", radius: 2, points: [[20, 20]] as [number, number][] };
  waiting.value = [{ frame: 60, stroke }];
  store.toasts.value = [];
  eraser.down(pen(20, 20));
  eraser.up(pen(20, 20));
  assert.equal(waiting.value.length, 1, "no stroke of the eraser is added");
  assert.equal(store.toasts.value.length, 0);
  eraser.down(pen(50, 50));
  eraser.move(pen(51, 50));
  eraser.up(pen(51, 50));
  assert.ok(store.toasts.value.some(({ text }) => /no stroke here/.test(text)));
  assert.equal(waiting.value.length, 1);
  waiting.value = [];
});

test("brush and eraser have sizes of their own", () => {
  store.tool.value = "brush";
  store.brushSize.value = 12;
  store.tool.value = "eraser";
  store.brushSize.value = 40;
  assert.equal(store.brushSize.peek(), 40);
  store.tool.value = "brush";
  assert.equal(store.brushSize.value, 12);
});
