import assert from "node:assert/strict";
import { test } from "node:test";
import type { Shown } from "../src/core/shown.ts";
import * as shown from "../src/core/shown.ts";

/** The same numbers each time. */
function* numbers(seed: number): Generator<number, never> {
  let now = seed;
  while (true) {
    now = (now * 1103515245 + 12345) % 2147483648;
    yield now / 2147483648;
  }
}

test("a place on the timeline is the frame whose middle it is next to", () => {
  for (const frames of [1, 7, 500]) {
    const all = shown.whole(frames);
    for (let frame = 0; frame < frames; frame++) {
      const x = shown.xOfFrame(frame, 911, all);
      assert.equal(shown.frameAtX(x, 911, all, frames), frame);
    }
    assert.equal(shown.frameAtX(-5, 911, all, frames), 0);
    assert.equal(shown.frameAtX(9999, 911, all, frames), frames - 1);
  }
});

test("beyond an end lies the last frame in sight", () => {
  const part: Shown = [100.5, 120.25];
  assert.equal(shown.frameAtX(-50, 800, part, 9000), 100);
  assert.equal(shown.frameAtX(900, 800, part, 9000), 120);
  assert.equal(shown.frameAtX(900, 800, [100, 120], 9000), 119);
  for (let frame = 101; frame < 120; frame++) {
    assert.equal(shown.frameAtX(shown.xOfFrame(frame, 800, part), 800, part, 9000), frame);
  }
});

test("what is zoomed stays in the clip, keeps its place, and goes back to the whole", () => {
  const random = numbers(7);
  const next = () => random.next().value;
  for (let round = 0; round < 300; round++) {
    const frames = 1 + Math.floor(next() * 100_000);
    let part = shown.whole(frames);
    for (let turn = 0; turn < 20; turn++) {
      const at = part[0] + next() * (part[1] - part[0]);
      const x = shown.xOf(at, 1000, part);
      const by = Math.exp((next() - 0.4) * 3);
      const now = shown.zoomed(part, by, at, frames);
      const length = now[1] - now[0];
      assert.ok(now[0] >= 0 && now[1] <= frames + 1e-6, String(now));
      assert.ok(length >= Math.min(8, frames) - 1e-6 && length <= frames + 1e-6);
      assert.ok(at >= now[0] - 1e-6 && at <= now[1] + 1e-6, "what is zoomed at is in sight");
      const free = now[0] > 1e-6 && now[1] < frames - 1e-6;
      if (free) assert.ok(Math.abs(shown.xOf(at, 1000, now) - x) < 1e-3);
      part = shown.moved(now, (next() - 0.5) * frames, frames);
      assert.ok(part[0] >= 0 && part[1] <= frames + 1e-6);
      assert.ok(Math.abs(part[1] - part[0] - length) < 1e-6, "moving keeps the length");
    }
    const back = shown.zoomed(part, 1e-9, part[0], frames);
    assert.ok(shown.isWhole(back, frames));
  }
});

test("a frame out of sight comes in with what follows it, one in sight moves nothing", () => {
  const part: Shown = [100, 200];
  assert.equal(shown.withFrame(part, 100, 1000), part);
  assert.equal(shown.withFrame(part, 199, 1000), part);
  assert.deepEqual(shown.withFrame(part, 200, 1000), [190, 290]);
  assert.deepEqual(shown.withFrame(part, 99, 1000), [10, 110]);
  assert.deepEqual(shown.withFrame(part, 999, 1000), [900, 1000]);
  assert.deepEqual(shown.withFrame(part, 0, 1000), [0, 100]);
  const few: Shown = [3.5, 11.5];
  assert.deepEqual(shown.withFrame(few, 3, 40), [3, 11], "half in sight: it moves by that half");
  assert.deepEqual(shown.withFrame(few, 11, 40), [4, 12]);
  for (let frame = 0; frame < 40; frame++) {
    const [from, to] = shown.withFrame(few, frame, 40);
    assert.ok(from <= frame && frame + 1 <= to);
  }
});

test("a short stretch is zoomed to with room on both sides, and is seen to be short", () => {
  const hour = shown.whole(90_000);
  assert.ok(shown.isSmall([500, 560], hour));
  assert.ok(!shown.isSmall([0, 45_000], hour));
  const [from, to] = shown.zoomedTo([500, 560], 90_000);
  assert.ok(from > 480 && from < 500 && to > 560 && to < 580);
  assert.ok(!shown.isSmall([500, 560], [from, to]));
  assert.deepEqual(shown.zoomedTo([0, 10], 12), [0, 12]);
});
