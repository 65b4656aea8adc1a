import assert from "node:assert/strict";
import { test } from "node:test";
import * as color from "../src/core/color.ts";
import type { Project } from "../src/core/state.ts";

const staleRanges: [number, number][] = [];
const result = {
  ...{ key: "k", start: 2, end: 6, complete: true, stale: false, staleRanges, lookAt: [] },
};

function project(given: Project["color"]): Project {
  return { color: given, objects: [], marks: {}, result: null } as unknown as Project;
}

test("references are frames, in order", () => {
  const one = project({
    references: { "12": { still: true, strokes: [] }, "3": { still: false, strokes: [] } },
    result: null,
  });
  assert.deepEqual(color.referenceFrames(one), [3, 12]);
  assert.equal(color.referenceOn(one, 12)?.still, true);
  assert.equal(color.referenceOn(one, 4), null);
  assert.deepEqual(color.referenceFrames(project(undefined)), []);
});

test("the button offers what there is to do", () => {
  const references = { "0": { still: true, strokes: [] } };
  const label = (given: Project["color"]) => color.colorLabel(project(given));
  assert.equal(label({ references: {}, result: null }).ready, false);
  assert.deepEqual(label({ references, result: null }), { text: "Colour", ready: true });
  assert.deepEqual(label({ references, result }), { text: "Coloured", ready: false });
  const old = { ...result, stale: true };
  assert.deepEqual(label({ references, result: old }), { text: "Colour again", ready: true });
  assert.equal(label({ references, result: { ...result, complete: false } }).ready, true);
});

test("a stroke keeps its ends apart and its count in bounds", () => {
  const line = Array.from({ length: 9000 }, (_, n): [number, number] => [n / 2, 7.123]);
  const found = color.thinned(line, 5);
  assert.ok(found.length <= 2000 && found.length > 1000);
  assert.deepEqual(found[0], [0, 7.1]);
  assert.deepEqual(color.thinned([[1, 1]], 100), [[1, 1]]);
  const stroke = { color: "#112233", radius: 3, points: found };
  assert.equal(color.withStroke([], stroke)?.length, 1);
  assert.equal(color.withStroke(Array(500).fill(stroke), stroke), null);
});

test("the timeline shows colours as one strip", () => {
  const shown = color.asTimeline(
    project({
      references: {},
      result: { ...result, stale: true, staleRanges: [[4, 50]], reliability: [1, 0.2, 1, 1] },
    }),
  );
  assert.deepEqual(
    shown.objects.map((item) => item.name),
    ["Colours"],
  );
  assert.deepEqual(shown.result?.reliability.color, [1, 0.2, 1, 1]);
  assert.deepEqual(shown.result?.stale, [[4, 6]]);
  assert.equal(color.asTimeline(project({ references: {}, result: null })).result, null);
  assert.equal(color.isColoured(shown, 5), true);
  assert.equal(color.isColoured(shown, 6), false);
});
