import assert from "node:assert/strict";
import { test } from "node:test";
import * as core from "../src/core/tools.ts";

test("adding keeps the tool that can mark what is added", () => {
  for (const tool of ["select", "brush", "polygon"] as const) {
    assert.equal(core.toolFor("object", tool), tool);
  }
  assert.equal(core.toolFor("object", "eraser"), "brush");
  for (const tool of ["hand", "box", "point", "skeleton", "picture", "color"] as const) {
    assert.equal(core.toolFor("object", tool), "select");
  }
  assert.equal(core.toolFor("keypoints", "brush"), "skeleton");
  assert.equal(core.toolFor("box", "box"), "box");
});

test("what is said names the tool, and that it is another one", () => {
  assert.match(core.addedLine("object 2", "brush", "brush"), /object 2.*the tool is Brush/);
  assert.match(core.addedLine("object 2", "select", "hand"), /tool is Smart select now/);
});

test("the tool in hand is one that its mode has", () => {
  for (const mode of ["track", "color"] as const) {
    const names = core.toolsOf(mode, true).map(({ name }) => name);
    for (const { name } of core.TOOLS) assert.ok(names.includes(core.inHand(mode, name)));
  }
  assert.equal(core.inHand("track", core.FIRST_TOOL), "select");
  assert.equal(core.inHand("color", "brush"), "color");
  assert.equal(core.inHand("color", "eraser"), "eraser", "strokes are erased too");
});
