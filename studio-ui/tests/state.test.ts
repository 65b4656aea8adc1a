import assert from "node:assert/strict";
import { test } from "node:test";
import { parseSkeleton, skeletonText, templates } from "../src/core/skeletons.ts";
import * as core from "../src/core/state.ts";

const item = (kind: core.Kind, id: number): core.Item => ({
  key: `${kind}:${id}`,
  kind,
  id,
  name: `${kind} ${id}`,
  color: "#112233",
  visible: true,
  locked: false,
  joints: kind === "keypoints" ? ["a", "b"] : null,
  edges: null,
});

function project(more: Partial<core.Project> = {}): core.Project {
  return {
    folder: "f",
    name: "n",
    video: {
      ...{ name: "v", width: 4, height: 4, frames: 100, fps: 25, times: [] },
      ...{ hasAudio: false, missing: false },
    },
    objects: [item("object", 1), item("point", 1), item("box", 2), item("keypoints", 1)],
    marks: {},
    result: null,
    undo: { undo: null, redo: null },
    job: null,
    settings: { quality: "normal", range: null },
    ...more,
  };
}

const result = (stale: [number, number][]): core.Result => ({
  ...{ start: 0, end: 100, stale, cuts: [], reliability: {}, present: {} },
  doubtfulBelow: { object: 0.749, box: 0.7, point: 0.595, keypoints: 0.499 },
});

test("what is said of each kind of thing on a frame", () => {
  const marks: core.FrameMarks = {
    objects: [1],
    points: { "1": null },
    boxes: { "2": [0, 0, 2, 2] },
    keypoints: { "1": ["gone", "gone"] },
  };
  const all = project().objects.map((one) => core.markOf(marks, one));
  assert.deepEqual(all, ["marked", "gone", "marked", "gone"]);
  assert.deepEqual(
    project().objects.map((one) => core.markOf({}, one)),
    [null, null, null, null],
  );
  assert.equal(core.markOf({ gone: [1] }, item("object", 1)), "gone");
  assert.equal(core.markOf({ keypoints: { "1": [null, [1, 2]] } }, item("keypoints", 1)), "marked");
  assert.equal(core.markOf({ keypoints: { "1": [null, null] } }, item("keypoints", 1)), null);
});

test("the track button: nothing marked, marked, tracked, changed since", () => {
  const marks = { "40": { objects: [1] }, "7": { gone: [1] }, "9": { objects: [77] } };
  assert.deepEqual(core.trackLabel(project()), { text: "Track", ready: false });
  assert.deepEqual(core.trackLabel(project({ marks })), { text: "Track", ready: true });
  assert.deepEqual(core.markedFrames(project({ marks })), [7, 40]);
  const tracked = (stale: [number, number][]) =>
    core.trackLabel(project({ marks, result: result(stale) }));
  assert.deepEqual(tracked([]), { text: "Tracked", ready: false });
  const next = (step: "all" | "span" | "rest" | null) =>
    core.trackLabel(project({ marks, result: { ...result([]), end: 31, next: step } }));
  assert.deepEqual(next(null), { text: "Tracked", ready: false });
  assert.deepEqual(next("rest"), { text: "Track on from frame 31", ready: true });
  assert.deepEqual(next("all"), { text: "Track again (all)", ready: true });
  const held = { ...result([]), held: [[1, 30]] as [number, number][] };
  const tell = (more: Partial<core.Result>, range: [number, number] | null = null) =>
    core.trackLabel(
      project({ marks, result: { ...held, ...more }, settings: { quality: "normal", range } }),
    );
  assert.deepEqual(tell({ next: "held" }), { text: "The rest too (frames 1-29)", ready: true });
  const two: [number, number][] = [
    [1, 30],
    [50, 100],
  ];
  assert.equal(tell({ next: "held", held: two }).text, "The rest too (2 stretches)");
  assert.deepEqual(tell({ next: null }), { text: "Tracked", ready: false });
  assert.equal(tell({ next: "span", stale: two }, [40, 60]).text, "Track again (frames 50-99)");
  const waits = { text: "Tracked (frames 40-49)", ready: false };
  assert.deepEqual(tell({ next: null, stale: two }, [40, 50]), waits);
  const part = { marks, result: { ...result([]), next: "all" as const } };
  const settings = { quality: "normal" as const, range: [5, 9] as [number, number] };
  assert.equal(core.trackLabel(project({ ...part, settings })).text, "Track again (frames 5-8)");
  assert.equal(
    tracked([
      [12, 30],
      [30, 61],
    ]).text,
    "Track again (frames 12-60)",
  );
  assert.equal(
    tracked([
      [1, 2],
      [30, 61],
    ]).text,
    "Track again (2 stretches)",
  );
});

test("a job goes on with progress and ends with its end", () => {
  const progress = { type: "progress", job: "track", done: 3, total: 9, frame: 2 } as const;
  const job = core.jobAfter(null, progress);
  const told = { kind: "track", done: 3, total: 9, frame: 2, message: "" };
  assert.deepEqual(job, told);
  assert.equal(core.jobAfter(job, { type: "state", revision: 4 }), job);
  for (const type of ["done", "failed", "stopped"] as const) {
    assert.equal(core.jobAfter(job, { type, kind: "track", message: "" }), null);
  }
});

test("an older state never replaces a newer one", () => {
  const at = (revision: number) => ({ revision }) as core.State;
  assert.ok(core.isOlder(at(3), at(4)));
  assert.ok(!core.isOlder(at(4), at(4)));
  assert.ok(!core.isOlder(at(1), null));
});

test("the object picked last stays picked while it is there", () => {
  assert.equal(core.pickedAfter(project(), ["object:1", "box:2"]), "box:2");
  assert.equal(core.pickedAfter(project(), ["box:2", "object:7"]), "box:2"); // one undone
  assert.equal(core.pickedAfter(project(), ["box:9"]), "object:1");
  assert.equal(core.pickedAfter(project(), [null]), "object:1");
  assert.equal(core.pickedAfter(null, ["box:2"]), null);
});

test("a project is opened for what it has", () => {
  const colored = { references: { "0": { still: true, strokes: [] } }, result: null };
  const none = { references: {}, result: null };
  const grey = { ...project(), objects: [] };
  assert.equal(core.modeFor({ ...grey, color: none }, "color"), "track");
  assert.equal(core.modeFor({ ...grey, color: colored }, "track"), "color");
  assert.equal(core.modeFor({ ...project(), color: none }, "color"), "track");
  assert.equal(core.modeFor({ ...project(), color: colored }, "color"), "color");
  assert.equal(core.modeFor(grey, "color"), "track");
  assert.equal(core.modeFor({ ...grey, color: none }, "track", "color"), "color");
  assert.equal(core.modeFor({ ...project(), color: none }, "track", "color"), "track");
});

test("names count on from what is there", () => {
  assert.equal(core.nextName(project(), "object"), "object 2");
  assert.equal(core.nextName(project(), "keypoints"), "skeleton 2");
});

test("every template ties joints that it has, and can be written and read", () => {
  for (const skeleton of Object.values(templates())) {
    for (const [a, b] of skeleton.edges) {
      assert.ok(skeleton.joints[a] && skeleton.joints[b] && a !== b);
    }
    const again = parseSkeleton(skeletonText(skeleton));
    assert.deepEqual(again.joints, skeleton.joints);
    const sorted = (edges: [number, number][]) => edges.map((e) => [...e].sort().join()).sort();
    assert.deepEqual(sorted(again.edges), sorted(skeleton.edges));
  }
});

test("a skeleton with a joint twice, or tied to nothing, is refused in one line", () => {
  assert.throws(() => parseSkeleton("a\na"), /twice/);
  assert.throws(() => parseSkeleton("a: b\nb"), /must stand above/);
  assert.throws(() => parseSkeleton(" \n"), /one joint a line/);
});

test("a first click is for the picked object; beside its mark for what is there, or a new one", () => {
  const [one, two] = [item("object", 1), item("object", 2)];
  const marked: core.FrameMarks = { objects: [1] };
  const key = (picked: core.Item | null, marks: core.FrameMarks, there: number) =>
    core.selectTarget(picked, marks, there, [one, two]).key;
  assert.equal(key(one, {}, 0), "object:1");
  assert.equal(key(one, {}, 2), "object:1");
  assert.equal(key(one, marked, 1), "object:1");
  assert.equal(key(one, marked, 0), null);
  assert.equal(key(one, marked, 2), "object:2");
  const said = (there: number) => core.selectTarget(one, marked, there, [one, two], true).key;
  assert.deepEqual([said(0), said(2)], ["object:1", "object:1"]);
  assert.equal(core.selectTarget(item("point", 1), marked, 2, [one, two], true).key, "object:2");
  assert.equal(key(item("point", 1), {}, 0), null);
  assert.equal(key(null, marked, 1), "object:1");
  assert.equal(core.selectTarget({ ...one, locked: true }, {}, 0, []).locked, true);
});

test("a region never takes what another has marked", () => {
  const [mask, ids] = [
    [0, 9, 9, 0, 9],
    [1, 1, 0, 2, 2],
  ];
  const region = (kept: number[]) => [...core.regionOf(mask, ids, new Set(kept))];
  assert.deepEqual(region([]), [0, 1, 1, 0, 1]);
  assert.deepEqual(region([1, 2]), [0, 0, 1, 0, 0]);
  assert.deepEqual(region([2]), [0, 1, 1, 0, 0]);
});

test("what the tracker found on a frame is told", () => {
  const present = { "object:1": [true, false] };
  const done = project({ result: { ...result([]), start: 4, present } });
  const one = done.objects[0]!;
  assert.deepEqual(
    [3, 4, 5, 6].map((frame) => core.isTracked(done, one, frame)),
    [false, true, false, false],
  );
  assert.equal(core.isTracked(project({ result: null }), one, 4), false);
});

test("what the tracker says of an object on a frame has a word", () => {
  const present = { "object:1": [true, true, false] };
  const reliability = { "object:1": [0.9, 0.2, 0.1] };
  const done = project({ result: { ...result([]), start: 4, present, reliability } });
  const one = done.objects[0]!;
  assert.deepEqual(
    [3, 4, 5, 6, 7].map((frame) => core.trackedAs(done, one, frame)),
    [null, "tracked", "doubtful", "not found", null],
  );
  assert.equal(core.trackedAs(project({ result: null }), one, 4), null);
});

test("a point that is not seen is hidden where its place is likely right, else lost", () => {
  const present = { "point:1": [true, false, false, true, false] };
  const reliability = { "point:1": [0.6, 0.7, 0.2, 0.5, null] };
  const done = project({ result: { ...result([]), start: 4, present, reliability } });
  const one = { key: "point:1", kind: "point", id: 1 } as core.Item;
  assert.deepEqual(
    [4, 5, 6, 7, 8].map((frame) => core.trackedAs(done, one, frame)),
    ["tracked", "hidden", "lost", "doubtful", "lost"],
  );
});

test("what a state leaves out is taken from the one before, where it is the same", () => {
  const before = project({ result: { ...result([]), key: "r", reliability: { a: [1] } } });
  before.video = { ...before.video, timesKey: "t", times: [0, 1] };
  const held = { project: before } as core.State;
  const sent = (timesKey: string, key: string): core.State => {
    const { times: _, ...video } = { ...before.video, timesKey };
    const left = { start: 0, end: 100, stale: [[0, 4]], key };
    return { project: { ...before, video, result: left } } as unknown as core.State;
  };
  const next = core.filled(sent("t", "r"), held).project!;
  assert.deepEqual(next.video.times, [0, 1]);
  assert.deepEqual(next.result?.reliability, { a: [1] });
  assert.deepEqual(next.result?.stale, [[0, 4]]);
  const other = core.filled(sent("u", "q"), held).project!;
  assert.equal(other.video.times, undefined);
  assert.equal(other.result?.reliability, undefined);
});

test("places of frames that are being tracked make tracks", () => {
  const first = core.withPlaces(null, 3, {
    points: { "1": [4, 5, true] },
    boxes: { "2": [1, 2, 30, 40, false] },
    keypoints: { "1": [[7, 8, true], null] },
  });
  const both = core.withPlaces(first, 5, { points: { "1": [null, null, false] } });
  assert.deepEqual([both.points["1"]!.x[3], both.points["1"]!.y[3]], [4, 5]);
  assert.equal(both.points["1"]!.x[4], undefined, "nothing is known of a frame between");
  assert.equal(both.points["1"]!.x[5], null);
  const box = both.boxes["2"]!;
  assert.deepEqual(
    [box.x[3], box.y[3], box.width[3], box.height[3], box.visible[3]],
    [1, 2, 30, 40, false],
  );
  assert.deepEqual(both.keypoints["1"]!.joints[3], [[7, 8], null]);
  assert.deepEqual(both.keypoints["1"]!.visible[3], [true, false]);
});
