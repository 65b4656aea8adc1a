import assert from "node:assert/strict";
import { test } from "node:test";
import * as timeline from "../src/core/timeline.ts";

test("the least sure frames are a few, apart, in time's order, and none where all are sure", () => {
  const sure = Array.from({ length: 100 }, () => 1);
  const dips = sure.with(20, 0.7).with(21, 0.71).with(60, 0.6).with(90, 0.9);
  const other = sure.with(62, 0.8).with(35, 0.65);
  const found = timeline.leastSure({ a: dips, b: [...other, null] }, ["a", "b"], 5);
  assert.deepEqual(found, [
    { key: "a", stretch: [25, 26], at: 25 },
    { key: "b", stretch: [40, 41], at: 40 },
    { key: "a", stretch: [65, 66], at: 65 },
  ]);
  assert.deepEqual(timeline.leastSure({ a: [...sure, null] }, ["a"], 0), []);
  assert.deepEqual(timeline.leastSure({}, [], 0), []);
});

test("the frame on show is the last that has begun, with uneven times too", () => {
  const times = [0, 0.04, 0.05, 0.2, 1];
  const wanted: [number, number][] = [
    [-1, 0],
    [0, 0],
    [0.039, 0],
    [0.05, 2],
    [0.19, 2],
    [0.2, 3],
    [9, 4],
  ];
  for (const [seconds, frame] of wanted) assert.equal(timeline.frameAtTime(times, seconds), frame);
  assert.equal(timeline.endTime(times, 3), 0.2);
  assert.ok(Math.abs(timeline.endTime(times, 5) - 1.8) < 1e-9);
});

test("stretches of true, and stretches that touch made one", () => {
  assert.deepEqual(timeline.stretchesOf([true, true, false, true], 10), [
    [10, 12],
    [13, 14],
  ]);
  assert.deepEqual(
    timeline.merged([
      [5, 9],
      [0, 2],
      [2, 3],
      [7, 12],
      [4, 4],
    ]),
    [
      [0, 3],
      [5, 12],
    ],
  );
});

test("doubtful is below a limit; where nothing is known nothing is doubted", () => {
  assert.deepEqual(timeline.doubtful([0.9, 0.4, null, 0.1, 0.2, 0.5], 100, 0.5), [
    [101, 102],
    [103, 105],
  ]);
});

test("a few sure frames between doubtful ones part no stretch, more of them do", () => {
  const sure = [0.1, 0.9, 0.9, 0.9, 0.1, 0.9, 0.9, 0.9, 0.9, 0.2];
  assert.deepEqual(timeline.doubtful(sure, 10, 0.5), [
    [10, 15],
    [19, 20],
  ]);
  assert.deepEqual(timeline.doubtful(sure.with(2, 0.3), 10, 0.5)[0], [10, 15]);
  const settled: (number | null)[] = [...sure];
  settled[2] = null;
  assert.deepEqual(timeline.doubtful(settled, 10, 0.5).length, 3);
});

test("the next stretch begins after this frame, or is the first again", () => {
  const stretches: timeline.Stretch[] = [
    [30, 40],
    [5, 9],
    [8, 12],
  ];
  assert.equal(timeline.nextStart(stretches, 0), 5);
  assert.equal(timeline.nextStart(stretches, 5), 30);
  assert.equal(timeline.nextStart(stretches, 31), 5);
  assert.equal(timeline.previousStart(stretches, 30), 5);
  assert.equal(timeline.previousStart(stretches, 5), 30);
  assert.equal(timeline.nextStart([], 5), null);
});

test("every doubtful stretch of every object is visited where it is least sure, in time's order", () => {
  const sure = 0.9;
  const stops = timeline.doubtfulStops(
    {
      "object:2": [0.1, 0.1, null, 0.2, null, 0.3],
      "object:1": [sure, 0.2, 0.3, 0.1, 0.1, 0.2],
      "box:1": [0.1, sure, null, sure, sure, sure],
      "object:9": [0.1, 0.1, 0.1, 0.1, 0.1, 0.1], // of the run, but in the list no more
    },
    ["object:1", "object:2", "box:1"],
    100,
    (key) => (key === "box:1" ? 0.15 : 0.5),
  );
  const inOrder = ["object:2 100", "box:1 100", "object:1 103", "object:2 103", "object:2 105"];
  const named = ({ key, at }: timeline.Stop) => `${key} ${at}`;
  assert.deepEqual(stops.map(named), inOrder);

  for (const forward of [true, false]) {
    const visited: string[] = [];
    const words: boolean[] = [];
    let at = { frame: forward ? 0 : 9999, key: "object:1" as string | null };
    for (let n = 0; n < 2 * stops.length; n++) {
      const { stop, wrapped } = timeline.nextStop(stops, at, forward)!;
      at = { frame: stop.at, key: stop.key };
      visited.push(named(stop));
      words.push(wrapped);
    }
    const once = forward ? inOrder : [...inOrder].reverse();
    assert.deepEqual(visited, [...once, ...once]);
    assert.deepEqual(
      words.flatMap((wrapped, n) => (wrapped ? [n] : [])),
      [stops.length],
    );
  }
});

test("a long doubtful stretch is stopped at where it is least sure, again and again, to its end", () => {
  const ats = (values: (number | null)[]) =>
    timeline.doubtfulStops({ a: values }, ["a"], 100, () => 0.5).map(({ at }) => at);
  const flat = (n: number) => Array.from({ length: n }, () => 0.2);
  assert.deepEqual(ats(flat(11)), [100]);
  assert.deepEqual(ats(flat(30)), [100, 112, 124]);
  assert.deepEqual(ats(flat(600)), [100, 220, 340, 460, 580]);
  const twice = flat(60).map((value, i) => (i === 20 ? 0.05 : i === 50 ? 0.1 : value + i / 1000));
  assert.deepEqual(ats(twice), [100, 120, 132, 150]); // both of them, and no sure frame
  const short = [0.2, 0.3, ...Array.from({ length: 3 }, () => 0.9), ...flat(3)];
  assert.deepEqual(ats([...short, 0.1]), [108]);
});

test("it goes on from anywhere, and of another's least sure frame it takes that object", () => {
  const stops: timeline.Stop[] = [
    { key: "a", stretch: [5, 50], at: 10 },
    { key: "b", stretch: [20, 30], at: 20 },
  ];
  const go = (frame: number, key: string | null, forward = true) =>
    timeline.nextStop(stops, { frame, key }, forward);
  assert.deepEqual(go(12, "a"), { stop: stops[1], wrapped: false });
  assert.deepEqual(go(20, "a"), { stop: stops[1], wrapped: false });
  assert.deepEqual(go(20, "b"), { stop: stops[0], wrapped: true });
  assert.deepEqual(go(20, "b", false), { stop: stops[0], wrapped: false });
  assert.deepEqual(go(15, null, false), { stop: stops[0], wrapped: false });
  assert.deepEqual(go(10, "a", false), { stop: stops[1], wrapped: true });
  assert.equal(timeline.nextStop([], { frame: 0, key: null }), null);
  assert.deepEqual(timeline.nextStop([stops[0]!], { frame: 10, key: "a" }), {
    stop: stops[0],
    wrapped: true,
  });
});

test("ticks have room and are round numbers", () => {
  assert.equal(timeline.tickStep(48, 1108), 5);
  assert.equal(timeline.tickStep(90000, 1000), 10000);
  assert.equal(timeline.tickStep(3, 1000), 1);
});

test("times and stretches in words", () => {
  assert.equal(timeline.clock(0), "0:00.00");
  assert.equal(timeline.clock(61.239), "1:01.23");
  assert.equal(timeline.clock(3605.5), "1:00:05.50");
  assert.equal(timeline.named([12, 61]), "frames 12-60");
  assert.equal(timeline.named([3, 4]), "frame 3");
});
