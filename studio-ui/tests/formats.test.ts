import assert from "node:assert/strict";
import { test } from "node:test";
import {
  doubtLine,
  filesLine,
  fits,
  grouped,
  leftOut,
  likeliest,
  missingLine,
  outOfDate,
  parted,
  placeLine,
  whenMade,
  whyNot,
} from "../src/core/formats.ts";
import type { Format, Project } from "../src/core/state.ts";

const format = (
  name: string,
  title: string,
  group: string,
  more: Partial<Format> = {},
): Format => ({
  ...{ name, title, group, tool: "some tool", kinds: ["object"], suffix: ".json" },
  ...{ extra: null, available: true },
  ...more,
});
const COCO = format("coco", "COCO", "Masks", { tool: "pycocotools" });
const DLC = format("deeplabcut-csv", "DeepLabCut, CSV", "Points", {
  kinds: ["keypoints", "point"],
});
const TIDY = format("tidy-csv", "Table, CSV", "Tables");

test("formats are in their groups, in order", () => {
  const groups = grouped([COCO, DLC, format("mot", "MOT", "Masks"), TIDY], "", "coco");
  assert.deepEqual(
    groups.map(({ title, formats }) => [title, ...formats.map(({ name }) => name)]),
    [
      ["Masks", "coco", "mot"],
      ["Points", "deeplabcut-csv"],
      ["Tables", "tidy-csv"],
    ],
  );
});

test("what is typed is found in names, slugs, groups and tools; the chosen one stays", () => {
  const names = (typed: string, chosen = "") =>
    grouped([COCO, DLC, TIDY], typed, chosen).flatMap(({ formats }) =>
      formats.map(({ name }) => name),
    );
  assert.deepEqual(names("  "), ["coco", "deeplabcut-csv", "tidy-csv"]);
  assert.deepEqual(names("CSV"), ["deeplabcut-csv", "tidy-csv"]);
  assert.deepEqual(names("csv deeplab"), ["deeplabcut-csv"]);
  assert.deepEqual(names("pyco"), ["coco"]);
  assert.deepEqual(names("points"), ["deeplabcut-csv"]);
  assert.deepEqual(names("tidy-"), ["tidy-csv"]);
  assert.deepEqual(names("nothing"), []);
  assert.deepEqual(names("csv", "coco"), ["coco", "deeplabcut-csv", "tidy-csv"]);
  assert.ok(fits(format("x", "É", "g"), "e"));
});

test("of those that fit the one that is called so and takes most is meant", () => {
  const table = { ...TIDY, kinds: ["object", "box", "point", "keypoints"] };
  const mot = format("mot", "MOT", "Masks", { tool: "a csv", kinds: ["object", "box"] });
  assert.equal(likeliest([mot, DLC, table], "csv")?.name, "tidy-csv");
  assert.equal(likeliest([mot, DLC], "csv")?.name, "deeplabcut-csv");
  assert.equal(likeliest([COCO, mot, DLC], "mask")?.name, "mot");
  assert.equal(likeliest([COCO, TIDY], "o")?.name, "coco");
  assert.equal(likeliest([], "csv"), undefined);
});

test("a format that cannot be chosen says why", () => {
  const objects = new Set(["object"]);
  assert.equal(whyNot(COCO, objects, true), null);
  assert.equal(whyNot(COCO, objects, false), "track first");
  assert.equal(whyNot(DLC, objects, true), "for skeletons, points");
  const color = format("coloured", "Coloured", "Video", { kinds: ["color"] });
  assert.equal(whyNot(color, new Set(["color"]), false), null);
  const absent = format("sleap", "SLEAP", "Points", { available: false, extra: "pose" });
  assert.equal(whyNot(absent, objects, true), "needs chromatrack[pose]");
});

test("what shows a coloured film says that it does, and how many frames have no colours", () => {
  const cut = format("cutout", "Cut-outs", "Video", { inColors: true });
  const reliability = [1, null, 1, 1];
  const project = {
    objects: [],
    video: { frames: 6 },
    result: { start: 0, end: 6 },
    color: { result: { start: 2, end: 6, reliability } },
  } as unknown as Project;
  assert.deepEqual(leftOut(project, cut), ["In the film's colours; 3 frames have none yet."]);
  const whole = { ...project, result: { start: 4, end: 6 } } as unknown as Project;
  assert.ok(leftOut(whole, cut).includes("In the film's colours."));
  const before = { ...project, result: { start: 0, end: 2 } } as unknown as Project;
  assert.ok(leftOut(before, cut).includes("None of its frames has colours yet."));
  assert.deepEqual(leftOut(project, COCO), []);
  assert.deepEqual(leftOut({ ...project, color: { references: {}, result: null } }, cut), []);
});

test("it is said where tracks are doubtful, and how that is drawn", () => {
  const drawn = { name: "outlines" } as Format;
  const item = (key: string, kind: string, visible = true) => ({ key, kind, name: key, visible });
  const reliability = {
    "object:1": [0.9, 0.8, null, 0.2],
    "object:2": [0.1, 0.1, 0.1, 0.1],
    "box:1": [0.8, 0.9, 0.9, 0.7],
  };
  const project = {
    objects: [item("object:1", "object"), item("object:2", "object", false), item("box:1", "box")],
    marks: {},
    result: {
      start: 5,
      end: 9,
      reliability,
      present: {},
      doubtfulBelow: { object: 0.875, box: 0.75 },
    },
  } as unknown as Project;
  assert.equal(
    doubtLine(project, drawn, true),
    'Doubtful: object:1 on frames 6, 8; box:1 on frame 8. Lines are dashed there, with a "?" at the name.',
  );
  assert.match(doubtLine(project, drawn, false)!, /frame 8, and drawn there as if it were sure/);
  const sure = { ...project, objects: [item("object:2", "object", false)] } as unknown as Project;
  assert.equal(doubtLine(sure, drawn, true), null);
  assert.equal(doubtLine({ ...project, result: null }, drawn, true), null);
  const absent = { ...project.result!, present: { "object:1": [true, false, true, false] } };
  const boxes = doubtLine({ ...project, result: absent }, drawn, true);
  assert.match(boxes!, /^Doubtful: box:1 on frame 8\./, "what is not there is not drawn");
  const cut = { name: "cutout-prores" } as Format;
  const lost = "Not found, and not shown: object:1 on frames 6, 8.";
  assert.equal(missingLine({ ...project, result: absent }, drawn), lost);
  assert.equal(missingLine({ ...project, result: absent }, cut), lost);
  assert.equal(missingLine({ ...project, result: absent }, { name: "coco" } as Format), null);
  const objects = project.objects.map((one) => ({ ...one, id: 1 }));
  const said = { ...project, objects, result: absent, marks: { 6: { gone: [1] } } };
  assert.equal(
    missingLine(said as unknown as Project, drawn),
    "Not found, and not shown: object:1 on frame 8.",
  );
  assert.equal(missingLine(project, drawn), null);
  const told = "Doubtful: object:1 on frames 6, 8, and cut out there as if it were sure.";
  assert.equal(doubtLine(project, cut, true), told, "boxes are not cut out");
  assert.equal(doubtLine(project, { name: "coco" } as Format, true), null);
  const often = { "object:1": Array.from({ length: 12 }, (_, n) => (n % 3 ? 0.1 : 0.9)) };
  const many = doubtLine(
    { ...project, result: { ...project.result!, reliability: often } },
    cut,
    true,
  );
  assert.match(many!, /^Doubtful: object:1 on 8 frames, and/);
  const once = { "object:1": Array.from({ length: 12 }, (_, n) => (n > 3 ? 0.1 : 0.9)) };
  const one = doubtLine(
    { ...project, result: { ...project.result!, reliability: once } },
    cut,
    true,
  );
  assert.match(one!, /^Doubtful: object:1 on frames 9-16, and/);
});

test("a path is parted before the name of its file", () => {
  assert.deepEqual(parted("/a/b c/coco.json"), ["/a/b c", "/coco.json"]);
  assert.deepEqual(parted("C:\\a\\x.mp4"), ["C:\\a", "\\x.mp4"]);
  assert.deepEqual(parted("/coco.json"), ["", "/coco.json"]);
  assert.deepEqual(parted("coco.json"), ["", "coco.json"]);
});

test("what will be replaced is said, and when it was made", () => {
  const now = new Date(2026, 4, 3, 0, 5);
  const made = (...at: [number, number, number, number, number]) =>
    new Date(...at).getTime() / 1000 + 31;
  assert.equal(whenMade(made(2026, 4, 3, 0, 2), now), "today at 00:02");
  assert.equal(whenMade(made(2026, 4, 2, 23, 59), now), "yesterday at 23:59");
  assert.equal(whenMade(made(2026, 4, 1, 9, 30), now), "on 1 May at 09:30");
  assert.equal(whenMade(made(2025, 11, 31, 9, 30), now), "on 31 Dec 2025 at 09:30");
  const place = {
    name: "coco.json",
    made: made(2026, 4, 3, 0, 2),
    older: false,
    free: "coco-3.json",
    files: [],
  };
  const old = placeLine({ ...place, older: true }, now);
  assert.equal(old, "coco.json was made today at 00:02, before the last tracking");
  assert.equal(placeLine(place, now), "coco.json was made today at 00:02");
  assert.equal(placeLine({ ...place, made: null }, now), null);
  const folder = (files: string[]) => filesLine({ ...place, name: "cutout-prores", files });
  assert.deepEqual(folder([]), []);
  assert.deepEqual(folder(["dog.mov"]), ["cutout-prores holds dog.mov."]);
  assert.deepEqual(folder(["dog.mov", "cat.mov", "all.mov"]), [
    "cutout-prores holds dog.mov, cat.mov; all.mov has all of them.",
  ]);
});

test("what is older than the marks or references is told before it is exported", () => {
  const video = format("coloured", "Coloured video", "Video", { kinds: ["color"] });
  const colored = (stale: boolean) =>
    ({
      color: { references: {}, result: { stale, staleRanges: stale ? [[3, 9]] : [] } },
      result: null,
    }) as unknown as Project;
  assert.equal(outOfDate(colored(false), video), null);
  assert.match(outOfDate(colored(true), video)!, /colours of frames 3-8 are older .* Press Colour/);
  assert.equal(outOfDate(colored(true), COCO), null);
  const tracked = (next: string | null, stale: [number, number][] = []) =>
    ({ result: { start: 0, end: 20, stale, next } }) as unknown as Project;
  assert.equal(outOfDate(tracked(null), COCO), null);
  assert.match(outOfDate(tracked("span", [[2, 5]]), COCO)!, /changed since .* on frames 2-4/);
  assert.match(outOfDate(tracked("all"), COCO)!, /Marks have changed/);
  assert.match(outOfDate(tracked("rest"), COCO)!, /up to frame 19 only/);
});

test("frames that were never coloured are not said to be older", () => {
  const color = format("coloured", "Coloured video", "Video", { kinds: ["color"] });
  const result = { start: 0, end: 6, stale: true, staleRanges: [[2, 4]] };
  const told = (reliability: (number | null)[]) =>
    outOfDate({ color: { result: { ...result, reliability } } } as unknown as Project, color);
  assert.match(told([1, 1, null, null, 1, 1])!, /^Frames 2-3 have no colours yet/);
  assert.match(told([1, 1, 1, null, 1, 1])!, /older than what you painted/);
});

test("what is left out is said before", () => {
  const items = [
    { kind: "object", name: "car", visible: true },
    { kind: "object", name: "glass", visible: false },
    { kind: "point", name: "nose", visible: true },
  ];
  const project = { objects: items, video: { frames: 50 } } as unknown as Project;
  assert.deepEqual(leftOut(project, COCO), [
    "Without glass: hidden.",
    "Without nose: COCO is for objects.",
  ]);
  const all = { ...project, objects: [items[0]] } as unknown as Project;
  assert.deepEqual(leftOut(all, COCO), []);
  const color = format("coloured", "Coloured video", "Video", { kinds: ["color"] });
  assert.deepEqual(leftOut(project, color), []);
  const part = { ...project, color: { result: { start: 15, end: 40 } } } as unknown as Project;
  assert.deepEqual(leftOut(part, color), ["Frames 15 to 39 are written: they have colours."]);
});
