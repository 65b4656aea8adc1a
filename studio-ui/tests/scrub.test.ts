import assert from "node:assert/strict";
import { test } from "node:test";
import { around, copyLine, hasSmall, nearestHeld, scrubStep } from "../src/core/scrub.ts";

test("the nearest frame held stands in, the earlier one of two", () => {
  assert.equal(nearestHeld([], 5), null);
  assert.equal(nearestHeld([0, 9, 100], 12), 9);
  assert.equal(nearestHeld([7, 3], 5), 3);
  assert.equal(nearestHeld([3, 7], 5), 3);
  assert.equal(nearestHeld([5, 4], 5), 5);
});

test("frames around the playhead are within the clip, nearest first", () => {
  assert.deepEqual(around(5, 100, 3, 1), [5, 6, 4, 7, 8]);
  assert.deepEqual(around(0, 3, 5, 2), [0, 1, 2]);
  assert.deepEqual(around(99, 100, 2, 2), [99, 98, 97]);
});

test("one request at a time while scrubbing; a slow one gives way to the newest", () => {
  assert.equal(scrubStep(null, 4, 0), "ask");
  assert.equal(scrubStep({ frame: 4, since: 0 }, 4, 999), "wait");
  assert.equal(scrubStep({ frame: 3, since: 0 }, 4, 100), "wait");
  assert.equal(scrubStep({ frame: 3, since: 0 }, 4, 200), "replace");
  assert.equal(scrubStep({ frame: 3, since: 0, small: true }, 4, 200), "wait", "nearly there");
  assert.equal(scrubStep({ frame: 3, since: 0, small: true }, 4, 1200), "replace");
});

test("which frames the small copy has, and how far it is", () => {
  const copy = {
    there: [
      [0, 250],
      [500, 600],
    ] as [number, number][],
    making: true,
  };
  const asked = [0, 249, 250, 499, 500, 599, 600];
  assert.deepEqual(
    asked.map((frame) => hasSmall(copy, frame)),
    [true, true, false, false, true, true, false],
  );
  assert.equal(hasSmall(null, 0), false);
  assert.equal(copyLine(copy, 1000), "Getting ready for quick scrubbing: 35 %");
  assert.equal(
    copyLine({ there: [], making: true }, 1000),
    "Getting ready for quick scrubbing: 0 %",
  );
  assert.equal(copyLine({ ...copy, making: false }, 1000), "", "it is done, or can go no further");
  assert.equal(copyLine(null, 1000), "");
});
