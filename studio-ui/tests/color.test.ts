import assert from "node:assert/strict";
import { test } from "node:test";
import * as color from "../src/core/color.ts";
import type { Project } from "../src/core/state.ts";

const staleRanges: [number, number][] = [];
const stale: [number, number][] = [[2, 4]];
const result = {
  ...{
    key: "k",
    start: 2,
    end: 6,
    complete: true,
    stale: false,
    staleRanges,
    lookAt: [],
    doubtfulBelow: 0.46,
  },
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

test("the colour in use goes along when a change of it is undone, and done again", () => {
  const stroke = (tint: string | null, x = 0) => ({
    ...{ color: tint, radius: 4, points: [[x, 0]] as [number, number][] },
  });
  const painted = (...tints: (string | null)[][]) =>
    project({
      references: Object.fromEntries(
        tints.map((some, frame) => [
          String(frame),
          { still: false, strokes: some.map((tint, n) => stroke(tint, n)) },
        ]),
      ),
      result: null,
    });
  const red = painted(["#aa0000", "#00aa00", null], ["#AA0000"]);
  const green = painted(["#00aa00", "#00aa00", null], ["#00aa00"]); // one that was in use already
  assert.equal(color.colorAfter(green, red, "#00aa00"), "#aa0000");
  assert.equal(color.colorAfter(red, green, "#aa0000"), "#00aa00");
  assert.equal(color.colorAfter(green, red, "#0000aa"), "#0000aa", "another was chosen since");
  const gone = painted(["#00aa00"], ["#aa0000"]);
  assert.equal(color.colorAfter(red, gone, "#aa0000"), "#aa0000", "a stroke is undone");
  assert.equal(color.colorAfter(red, red, "#aa0000"), "#aa0000");
  const two = painted(["#0000aa", "#00ffff", null], ["#aa0000"]);
  assert.equal(color.colorAfter(red, two, "#aa0000"), "#aa0000");
  assert.equal(color.colorAfter(null, red, "#aa0000"), "#aa0000");
});

test("the button offers what there is to do", () => {
  const references = { "0": { still: true, strokes: [] } };
  const label = (given: Project["color"]) => color.colorLabel(project(given));
  assert.equal(label({ references: {}, result: null }).ready, false);
  const said = (given: Project["color"]) => [label(given).text, label(given).ready];
  assert.deepEqual(said({ references, result: null }), ["Colour", true]);
  assert.deepEqual(said({ references, result }), ["Coloured", false]);
  const old = { ...result, stale: true, staleRanges: stale };
  assert.deepEqual(said({ references, result: old }), ["Colour again (frames 2-3)", true]);
  assert.match(label({ references, result: old }).why, /not yet on frames 2-3/);
  const whole: [number, number][] = [[result.start, result.end]];
  const all = { ...result, stale: true, staleRanges: whole };
  assert.deepEqual(said({ references, result: all }), ["Colour again (all)", true]);
  assert.match(label({ references, result: all }).why, /a stroke may change any$/);
  const settings = { range: [0, 10] } as unknown as Project["settings"];
  const part = { ...project({ references, result: { ...all, staleRanges: [[0, 10]] } }), settings };
  assert.equal(color.colorLabel(part).text, "Colour again (frames 0-9)", "not all, but the part");
  assert.doesNotMatch(label({ references, result: old }).why, /may change any/);
  const stopped = { ...result, stale: true, staleRanges: [[6, 50]] as [number, number][] };
  assert.deepEqual(said({ references, result: stopped }), ["Colour on from frame 6", true]);
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

test("where there is nothing to colour, the button says why and does not offer it", () => {
  const label = (given: Project["color"]) => color.colorLabel(project(given));
  const references = { "0": { still: true, strokes: [] } };
  const flagged = { ...result, stale: true, complete: false };
  assert.deepEqual(label({ references, result: flagged }).ready, false);
  const cleared = label({ references: {}, result: { ...flagged, staleRanges: stale } });
  assert.equal(cleared.ready, false);
  assert.match(cleared.why, /No frame has colours of its own any more/);
  assert.match(label({ references: {}, result: null }).why, /Colour a frame first/);
});

test("a frame without colours among coloured ones is not taken for coloured", () => {
  const gap = project({ references: {}, result: { ...result, reliability: [1, null, 1, 1] } });
  assert.deepEqual(
    [1, 2, 3, 4, 6].map((frame) => color.isColoured(gap, frame)),
    [false, true, false, true, false],
  );
});

const stroke = (x: number) => ({
  color: "#112233",
  radius: 3,
  points: [[x, 1]] as [number, number][],
});
const how = { view: "color", saturation: 1, job: null, runs: 1 } as const;
const made = (strokes: number[], more: Partial<Project["color"]> = {}) =>
  project({
    references: strokes.length ? { "3": { still: false, strokes: strokes.map(stroke) } } : {},
    result: null,
    ...more,
  });
const look = (one: Project, frame = 3, more: Partial<Parameters<typeof color.lookOf>[2]> = {}) =>
  color.lookOf(one, frame, { ...how, ...more });

test("after Clear the old preview does not come back with the next stroke", () => {
  const before = look(made([1, 2]))!;
  assert.equal(before.of, "reference");
  assert.equal(look(made([])), null);
  assert.equal(color.mayStay(before, look(made([]))), false);
  assert.equal(color.mayStay(before, look(made([5]))), false);
  const undone = color.mayStay(before, look(made([1])));
  assert.equal(undone, true, "an undone stroke goes when there is a picture without it");
  assert.equal(color.mayStay(before, look(made([1, 2]))), true);
  assert.equal(color.mayStay(before, look(made([1, 2, 5]))), true, "the new one lies over it");
  const cleared = look(made([], { result: { ...result, stale: true } }))!;
  assert.equal(cleared.of, "result");
  assert.equal(color.mayStay(before, cleared), false);
});

test("while strokes are erased the colours of before stay on show", () => {
  const rubber = { ...stroke(0), color: null };
  const erased = (...left: number[]) => {
    const strokes = [...left.map(stroke), rubber];
    return look(project({ references: { "3": { still: false, strokes } }, result: null }))!;
  };
  const before = look(made([1, 2]))!;
  assert.equal(color.mayStay(before, erased(1, 2)), true);
  assert.equal(color.mayStay(before, erased(2)), true, "one went wholly");
  assert.equal(color.mayStay(erased(1, 2), before), true, "undone");
  assert.equal(color.mayStay(before, look(made([2]))), true, "with nothing else to erase");
  assert.equal(color.mayStay(before, erased(5)), false);
  assert.equal(color.strokesIn(before, erased(1, 2)), 2);
});

test("a colour that is changed everywhere leaves the picture on show till the new one comes", () => {
  const before = look(made([1, 2]))!;
  const strokes = [stroke(1), { ...stroke(2), color: "#445566" }];
  const one = project({ references: { "3": { still: false, strokes } }, result: null });
  assert.equal(color.mayStay(before, look(one)), true);
  const moved = { ...one.color!.references["3"]!, strokes: [stroke(4), stroke(5)] };
  const other = project({ references: { "3": moved }, result: null });
  assert.equal(color.mayStay(before, look(other)), false);
});

test("the colours in use are listed, those used most first, without the eraser", () => {
  const of = (...colors: (string | null)[]) => ({
    still: false,
    strokes: colors.map((one) => ({ ...stroke(1), color: one })),
  });
  const references = { "0": of("#aa0000", "#00bb00", null), "7": of("#00BB00", "#000001") };
  const found = color.usedColors(project({ references, result: null }));
  assert.deepEqual(found, ["#00bb00", "#000001", "#aa0000"]);
  assert.deepEqual(color.usedColors(project(undefined)), []);
});

test("another coloured picture of a frame is another look", () => {
  const still = (stillKey: string) =>
    look(project({ references: { "3": { still: true, stillKey, strokes: [] } }, result: null }))!;
  assert.notEqual(still("a").text, still("b").text);
  assert.equal(color.mayStay(still("a"), still("b")), false);
  assert.equal(color.mayStay(still("a"), still("a")), true);
});

test("copied colours stay on show for what is the same, and for nothing else", () => {
  const done = (key: string) => made([1, 2], { result: { ...result, key } });
  const now = look(done("ref-7"))!;
  assert.equal(color.mayStay(now, look(done("other-7"))), true, "the same is on disk");
  assert.equal(color.mayStay(now, look(done("ref-9"))), false);
  assert.equal(color.mayStay(now, look(done("ref-7"), 3, { saturation: 1.5 })), true);
  assert.equal(color.mayStay(now, look(done("ref-7"), 3, { view: "confidence" })), false);
  assert.equal(color.mayStay(look(made([1, 2]))!, now), true, "made with what was previewed");
  assert.equal(color.mayStay(look(made([1]))!, now), false);
});

test("while colours are copied, only what is done is asked for", () => {
  const job = { frame: 4 };
  const bare = project({
    references: { "0": { still: false, strokes: [stroke(1)] } },
    result: null,
  });
  const seen = [0, 3, 4, 5].map((frame) => look(bare, frame, { job })?.key ?? null);
  assert.deepEqual(seen, ["run 1", "run 1", "run 1", null]);
  assert.equal(look(bare, 0, { job: { frame: null } })?.of, "reference");
  const again = made([], { result: { ...result, key: "r-5" } });
  assert.equal(look(again, 5, { job })?.key, "5");
  assert.equal(color.mayStay(look(again, 5)!, look(again, 5, { job: { frame: 5 } })), false);
  const held = look(again, 5, { job: { frame: 5 } })!;
  assert.equal(color.mayStay(held, look(again, 5)), true);
  const second = look(again, 5, { job: { frame: 5 }, runs: 2 })!;
  assert.notEqual(second.text, held.text);
  assert.equal(color.mayStay(held, second), false, "what an earlier run has done");
  assert.equal(color.mayStay(held, look(again, 5, { runs: 2 })), false);
});

const corrected = (strokes: number[], key = "r-5") =>
  project({
    references: strokes.length
      ? { "3": { still: false, copied: true, strokes: strokes.map(stroke) } }
      : {},
    result: { ...result, key, stale: strokes.length > 0 },
  });

test("colours that are on show stay while a stroke on them spreads", () => {
  const coloured = look(corrected([]))!;
  const [one, two] = [look(corrected([1]))!, look(corrected([1, 2]))!];
  assert.deepEqual([coloured.of, one.of], ["result", "reference"]);
  assert.equal(color.mayStay(coloured, one), true, "the first stroke on a coloured frame");
  assert.equal(color.mayStay(one, two), true);
  assert.equal(color.mayStay(two, one), true, "undone");
  assert.equal(color.mayStay(one, coloured), true, "the first one undone");
  assert.equal(color.mayStay(look(corrected([]), 3, { view: "confidence" })!, one), false);
  const still = { still: true, stillKey: "a", strokes: [] };
  const replaced = look(
    project({ references: { "3": still }, result: { ...result, stale: true } }),
  );
  assert.equal(color.mayStay(one, replaced), false);
  assert.equal(color.mayStay(coloured, replaced), false);
  const more = made([1, 2, 3], { result: { ...result, key: "k-2", stale: true } });
  const before = look(made([1, 2], { result: { ...result, key: "k-2" } }))!;
  assert.equal(before.of, "result");
  assert.equal(color.mayStay(before, look(more)), true, "one more on a painted frame");
});

test("strokes that are not in the picture yet are known", () => {
  const [one, two] = [look(made([1]))!, look(made([1, 2]))!];
  assert.equal(color.strokesIn(null, two), 0);
  assert.equal(color.strokesIn(one, two), 1);
  assert.equal(color.strokesIn(two, two), 2);
  assert.equal(color.strokesIn(look(corrected([])), look(corrected([1]))), 0);
  assert.equal(color.strokesIn(two, look(made([7]))), 0);
  const done = look(made([1, 2], { result: { ...result, key: "k" } }));
  assert.equal(color.strokesIn(null, done), Number.POSITIVE_INFINITY, "they are in the colours");
});

test("a preview is as strong as the film, and its other views do not depend on that", () => {
  const text = (saturation: number, more = {}) => look(made([1], more), 3, { saturation })!.text;
  assert.notEqual(text(0.75), text(1));
  const weak = look(made([1]), 3, { saturation: 0.75 })!;
  assert.equal(color.mayStay(look(made([1]))!, weak), true);
  const sure = (saturation: number) =>
    look(corrected([]), 3, { saturation, view: "confidence" })!.text;
  assert.equal(sure(0.75), sure(1));
});

test("a sign on a colour is black or white, whichever is told apart", () => {
  const on = color.readableOn;
  assert.deepEqual(["#000000", "#ffffff", "#d9bf56", "#2f4f82"].map(on), [
    ...["#ffffff", "#000000", "#000000", "#ffffff"],
  ]);
});

test("the stroke under a place is the one painted last there, as wide as it is", () => {
  const line = (color: string | null, radius: number, ...points: [number, number][]) => ({
    ...{ color, radius, points },
  });
  const strokes = [
    line("#111111", 5, [10, 10], [50, 10]),
    line("#222222", 3, [30, 0], [30, 40]),
    line(null, 20, [30, 10]), // of the eraser: there is nothing to take away
    line("#333333", 0.5, [70, 70]),
  ];
  assert.equal(color.strokeAt(strokes, [20, 14]), 0, "between two points of it");
  assert.equal(color.strokeAt(strokes, [20, 16]), null);
  assert.equal(color.strokeAt(strokes, [32, 12]), 1);
  assert.equal(color.strokeAt(strokes, [30, 39]), 1);
  assert.equal(color.strokeAt(strokes, [71, 71]), 3, "a thin one is caught nearby");
  assert.equal(color.strokeAt([], [0, 0]), null);
});
