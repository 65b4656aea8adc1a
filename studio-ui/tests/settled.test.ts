import assert from "node:assert/strict";
import { test } from "node:test";
import { isGone, unsettled } from "../src/core/settled.ts";
import type { Item, Project } from "../src/core/state.ts";
import { type Stretch, stretchesOf } from "../src/core/timeline.ts";

const ball = { key: "object:1", kind: "object", id: 1 } as Item;

function project(marks: Project["marks"], present: number[], stale: Stretch[] = []): Project {
  const reliability = { "object:1": [0.9, 0.9, 0.1, 0.1, 0.1, 0.9, 0.1, 0.9] };
  const shown = { "object:1": present.map(Boolean) };
  const doubtfulBelow = { object: 0.5, box: 0, point: 0, keypoints: 0 };
  const span = { start: 10, end: 18, stale, cuts: [], doubtfulBelow };
  const result = { ...span, reliability, present: shown, staleOf: { "object:1": stale } };
  return { marks, objects: [ball], result } as unknown as Project;
}
const doubts = (one: Project) =>
  stretchesOf(
    unsettled(one, ball).map((sure) => sure !== null && sure < 0.5),
    10,
  );
const THERE = [1, 1, 1, 1, 1, 1, 1, 1];

test("what nobody has looked at stays doubtful", () => {
  assert.deepEqual(doubts(project({}, THERE)), [
    [12, 15],
    [16, 17],
  ]);
  assert.deepEqual(unsettled({ result: null } as Project, ball), []);
});

test("what was confirmed as gone is settled for as long as it is absent", () => {
  const gone = { "13": { gone: [1] } };
  assert.deepEqual(doubts(project(gone, [1, 1, 0, 0, 0, 1, 0, 1])), [[16, 17]]);
  assert.deepEqual(doubts(project(gone, [1, 1, 1, 0, 0, 1, 0, 1])), [
    [12, 13],
    [16, 17],
  ]);
  const other = { "13": { gone: [2] } };
  assert.equal(doubts(project(other, [1, 1, 0, 0, 0, 1, 0, 1])).length, 2);
});

test("around what was said to be gone the track says so too, where it is absent", () => {
  const gone = project({ "13": { gone: [1] } }, [1, 1, 0, 0, 0, 1, 0, 1]);
  const said = [10, 11, 12, 13, 14, 15, 16, 17].map((frame) => isGone(gone, ball, frame));
  assert.deepEqual(said, [false, false, true, true, true, false, false, false]);
  assert.equal(isGone(project({}, [1, 1, 0, 0, 0, 1, 0, 1]), ball, 12), false);
});

test("a mark settles its frame; the rest of its stretch only till it is tracked anew", () => {
  const mark = { "13": { objects: [1] } };
  assert.deepEqual(doubts(project(mark, THERE, [[11, 18]])), [[16, 17]]);
  assert.deepEqual(doubts(project(mark, THERE)), [
    [12, 13],
    [14, 15],
    [16, 17],
  ]);
  assert.equal(doubts(project({ "99": { objects: [1] } }, THERE)).length, 2);
});
