import assert from "node:assert/strict";
import { test } from "node:test";
import { nameOf, SHORTCUTS } from "../src/shortcuts.ts";

const press = (key: string, more: Partial<Parameters<typeof nameOf>[0]> = {}) =>
  nameOf({ key, ctrlKey: false, metaKey: false, shiftKey: false, ...more });

test("no key does two things, and each is said in a few words", () => {
  const all = SHORTCUTS.flatMap(({ list }) => list);
  const keys = all.flatMap((one) => one.keys.map((key) => key.toLowerCase()));
  assert.equal(new Set(keys).size, keys.length);
  for (const { text } of all) assert.ok(text.length < 60, text);
});

test("every key of the list is one that a keyboard can send", () => {
  const keys = SHORTCUTS.flatMap(({ list }) => list.flatMap((one) => one.keys));
  for (const name of keys) {
    const parts = name.split(/\+(?=.)/);
    const [ctrlKey, shiftKey] = [parts.includes("Ctrl"), parts.includes("Shift")];
    assert.equal(press(parts.at(-1)!, { ctrlKey, shiftKey }), name.toLowerCase());
  }
});

test("shift counts with letters and arrows, and is part of other signs", () => {
  assert.equal(press("N", { shiftKey: true }), "shift+n");
  assert.equal(press("N"), "n", "with caps lock");
  assert.equal(press("ArrowLeft", { shiftKey: true }), "shift+arrowleft");
  assert.equal(press("?", { shiftKey: true }), "?");
  assert.equal(press("z", { metaKey: true }), "ctrl+z");
});
