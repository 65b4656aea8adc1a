import assert from "node:assert/strict";
import { test } from "node:test";
import { TOOLS } from "../src/core/tools.ts";
import * as core from "../src/core/words.ts";

test("nothing said to fingers speaks of a mouse or of keys", () => {
  const all: core.Words[] = [
    ...Object.values(core.TOOL_HINTS),
    ...Object.values(core.SAID),
    core.jointWords("head", 1, 17),
  ];
  const foreign = /click|mouse|button|alt\b|shift|enter|backspace|hover|point at|\bdrop/i;
  for (const { touch } of all) assert.doesNotMatch(touch, foreign);
  assert.match(core.jointWords("head", 1, 17).mouse, /head \(1 of 17\)/);
});

test("what Only this part does is said, and when one wants it", () => {
  assert.match(core.partWords(false, null, null), /^Choose a part first, with "Loop from here"/);
  const ready = core.partWords(false, null, [3, 9]);
  assert.match(ready, /^Track does only frames 3-8 then: to try on a short piece first/);
  assert.match(ready, /leave the rest as it is\. What is tracked elsewhere stays$/);
  assert.match(core.partWords(true, null, [3, 9]), /^Colour does .* not needed\. What is coloured/);
  const on = core.partWords(false, [3, 9], [3, 9]);
  assert.equal(
    on,
    "Track does only frames 3-8, and leaves the rest as it is. Press for the whole clip",
  );
  const moved = core.partWords(true, [3, 9], [4, 9]);
  assert.match(moved, /^Colour does only frames 3-8, .* Press to take the looped part instead$/);
});

test("the first step is of the tool in hand", () => {
  assert.equal(core.firstStep("select"), core.SAID.firstStep);
  assert.match(core.firstStep("point").mouse, /^Click a place/);
  assert.match(core.firstStep("point").touch, /^Tap a place/);
  assert.match(core.firstStep("box").mouse, /box round/);
});

test("the second step tells of what goes on, in the part where one is", () => {
  assert.equal(core.secondStep("track", null), "Press Track");
  assert.equal(core.secondStep("color", "export"), "Press Colour");
  assert.match(core.secondStep("color", "color"), /^Colouring: /);
  assert.match(core.secondStep("track", "track"), /^Tracking: /);
  assert.equal(core.secondStep("track", "color"), "Colouring first, then press Track");
  assert.equal(core.secondStep("color", "track"), "Tracking first, then press Colour");
});

test("every tool has its hint", () => {
  assert.deepEqual(TOOLS.map(({ name }) => name).sort(), Object.keys(core.TOOL_HINTS).sort());
});
