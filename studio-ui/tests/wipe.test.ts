import assert from "node:assert/strict";
import { test } from "node:test";
import { fit } from "../src/core/view.ts";
import { GRIP, gripAt, isOnGrip, lineX, shareAt } from "../src/core/wipe.ts";

const video = { width: 400, height: 200 };
const screen = { width: 848, height: 448 };
const view = fit(video, screen);

test("the handle hangs on the bottom of the line and leaves the picture to the brush", () => {
  const grip = gripAt(view, video, screen, 0.5)!;
  assert.deepEqual(grip, [424, 424]);
  assert.equal(lineX(view, video, 0.5), 424);
  assert.ok(isOnGrip(grip, [424 + GRIP, 424], false));
  for (const y of [24, 100, 224, 400]) assert.ok(!isOnGrip(grip, [424, y], true), `${y}`);
  assert.ok(isOnGrip(grip, [424 - GRIP - 8, 424], true) && !isOnGrip(grip, [402, 424], false));
});

test("zoomed in it stays on the screen, and is not there where the line is not", () => {
  const near = { scale: 8, x: -1200, y: -500 };
  assert.deepEqual(gripAt(near, video, screen, 0.5), [400, screen.height - GRIP - 4]);
  assert.equal(gripAt(near, video, screen, 0.9), null);
  assert.equal(gripAt({ ...near, y: 460 }, video, screen, 0.5), null);
  assert.equal(isOnGrip(null, [0, 0], true), false);
});

test("a place on the screen is a share of the picture, and back", () => {
  for (const share of [0, 0.25, 1]) {
    assert.ok(Math.abs(shareAt(view, video, lineX(view, video, share)) - share) < 1e-12);
  }
  assert.deepEqual([shareAt(view, video, -50), shareAt(view, video, 5000)], [0, 1]);
});
