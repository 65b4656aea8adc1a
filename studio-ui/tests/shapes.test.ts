import assert from "node:assert/strict";
import { test } from "node:test";
import type { Item, Tracks } from "../src/core/state.ts";
import { isLost, shapeOf } from "../src/shapes.ts";

const video = { width: 100, height: 60 };
const item = (kind: Item["kind"]): Item =>
  ({ key: `${kind}:1`, kind, id: 1, joints: ["a", "b"], edges: [] }) as unknown as Item;
const tracks: Tracks = {
  start: 10,
  points: {
    "1": {
      x: [50, -7, 99, null],
      y: [30, 30, 59.4, null],
      visible: [true, false, true, false],
      confidence: [],
    },
  },
  boxes: {
    "1": {
      x: [5, -30, 0, 0],
      y: [5, 5, 0, 0],
      width: [9, 20, 9, 9],
      height: [9, 9, 9, 9],
      visible: [true, false, false, true],
    },
  },
  keypoints: {
    "1": {
      joints: [
        [
          [5, 5],
          [130, 5],
        ],
        [
          [-9, 5],
          [130, 5],
        ],
        [
          [5, 5],
          [6, 6],
        ],
        [
          [5, 5],
          [6, 6],
        ],
      ],
      visible: [
        [true, true],
        [false, false],
        [false, false],
        [true, false],
      ],
    },
  },
};
const at = (kind: Item["kind"], frame: number) => shapeOf(item(kind), {}, tracks, frame, video);
const lost = (kind: Item["kind"], frame: number) => isLost(item(kind), {}, tracks, frame, video);

test("a point that a track has left outside of the picture is not drawn but said to be lost", () => {
  assert.equal(at("point", 10)?.kind, "point");
  assert.equal(at("point", 11), null);
  assert.equal(at("point", 12)?.kind, "point");
  assert.deepEqual(
    [10, 11, 12, 13].map((n) => lost("point", n)),
    [false, true, false, true],
  );
  assert.equal(lost("point", 99), false, "nothing is said of frames that are not tracked");
});

test("boxes and joints outside of the picture are not drawn either", () => {
  assert.deepEqual(
    [10, 11, 12, 13].map((n) => at("box", n) !== null),
    [true, false, true, true],
  );
  assert.deepEqual(
    [10, 11, 12, 13].map((n) => lost("box", n)),
    [false, true, true, false],
  );
  const joints = at("keypoints", 10);
  assert.deepEqual(joints?.kind === "keypoints" && joints.joints, [[5, 5], null]);
  assert.deepEqual(
    [10, 11, 12, 13].map((n) => lost("keypoints", n)),
    [false, true, true, false],
  );
});

test("what is marked or gone on a frame is not lost there", () => {
  const marks = {
    points: { "1": null },
    boxes: { "1": [0, 0, 2, 2] as [number, number, number, number] },
  };
  assert.equal(isLost(item("point"), marks, tracks, 11, video), false);
  assert.equal(isLost(item("box"), marks, tracks, 11, video), false);
  assert.equal(isLost(item("object"), {}, tracks, 11, video), false);
});
