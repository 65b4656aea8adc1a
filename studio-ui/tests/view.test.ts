import assert from "node:assert/strict";
import { test } from "node:test";
import {
  clampTo,
  fit,
  frameWidth,
  inside,
  keepInSight,
  lookAt,
  type Point,
  pinch,
  toScreen,
  toVideo,
  type View,
  zoomAt,
} from "../src/core/view.ts";

const close = (a: number, b: number) => assert.ok(Math.abs(a - b) < 1e-6, `${a} is not ${b}`);
const closeTo = (a: Point, b: Point) => {
  close(a[0], b[0]);
  close(a[1], b[1]);
};
const views: View[] = [
  { scale: 1, x: 0, y: 0 },
  { scale: 0.37, x: -120.5, y: 33 },
  { scale: 12, x: 400, y: -900.25 },
];

test("screen and video places are each other's inverse", () => {
  for (const view of views) {
    for (const at of [
      [0, 0],
      [17.25, -3],
      [640, 359],
    ] as Point[]) {
      closeTo(toVideo(view, toScreen(view, at)), at);
    }
  }
});

test("the origin is the centre of the top-left pixel", () => {
  closeTo(toScreen({ scale: 10, x: 100, y: 50 }, [0, 0]), [105, 55]);
});

test("a fitted video is in the middle, whole, and touches the margin", () => {
  const view = fit({ width: 640, height: 360 }, { width: 1000, height: 500 }, 20);
  close(view.scale, 460 / 360);
  closeTo(toScreen(view, [319.5, 179.5]), [500, 250]);
  close(view.y, 20);
});

test("zooming keeps what is under the pointer", () => {
  for (const view of views) {
    const at: Point = [321, 77];
    const before = toVideo(view, at);
    closeTo(toVideo(zoomAt(view, at, 1.7), at), before);
    closeTo(toVideo(zoomAt(view, at, 1e9), at), before);
  }
});

test("two fingers keep what they are on", () => {
  const view = views[1]!;
  const [before, now]: [Point, Point][] = [
    [
      [100, 100],
      [300, 200],
    ],
    [
      [80, 140],
      [480, 340],
    ],
  ];
  const after = pinch(view, before!, now!);
  close(after.scale, view.scale * 2);
  closeTo(toVideo(after, now![0]), toVideo(view, before![0]));
  closeTo(toVideo(after, now![1]), toVideo(view, before![1]));
});

test("the picture cannot be lost", () => {
  const [video, screen] = [
    { width: 100, height: 50 },
    { width: 800, height: 600 },
  ];
  const far = keepInSight({ scale: 2, x: 5000, y: -5000 }, video, screen, 40);
  assert.deepEqual(far, { scale: 2, x: 760, y: -60 });
});

test("pixels reach half a pixel out from their centres", () => {
  const video = { width: 10, height: 5 };
  assert.ok(inside(video, [-0.5, 4.49]));
  assert.ok(!inside(video, [9.5, 2]));
  assert.deepEqual(clampTo(video, [-3, 99]), [0, 4]);
});

test("frames are asked for at a width that is enough, and no wider than the video", () => {
  const video = { width: 1920, height: 1080 };
  assert.equal(frameWidth(video, 0.4, 1), 960);
  assert.equal(frameWidth(video, 0.4, 2), 1920);
  assert.equal(frameWidth(video, 8, 2), 1920);
  assert.equal(frameWidth({ width: 500, height: 300 }, 1, 1), 500);
});

test("a part is looked at in the middle, with what is around it, and not from too near", () => {
  const [video, screen] = [
    { width: 1000, height: 500 },
    { width: 848, height: 648 },
  ];
  const whole = fit(video, screen);
  const speck = lookAt(video, screen, [900, 100, 904, 104]);
  assert.ok(speck.scale > 2 * whole.scale && speck.scale <= 4 * whole.scale);
  closeTo(toVideo(speck, [424, 324]), [901.5, 101.5]);
  const far = lookAt(video, screen, [0, 0, 1000, 500]);
  assert.deepEqual(far, whole);
});
