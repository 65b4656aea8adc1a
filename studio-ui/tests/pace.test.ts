import assert from "node:assert/strict";
import { test } from "node:test";
import { paceAfter, timeLeft } from "../src/core/pace.ts";
import type { Job } from "../src/core/state.ts";

const job = (done: number, total = 1000, kind = "track"): Job => ({
  ...{ kind, done, total, frame: done, message: "" },
});

test("a pace begins with a job's first frame, and anew with another job", () => {
  assert.equal(paceAfter(null, null, 0), null);
  assert.equal(paceAfter(null, job(0), 0), null);
  const first = paceAfter(null, job(1), 500);
  assert.deepEqual(first, { kind: "track", since: 500, from: 1 });
  assert.equal(paceAfter(first, job(9), 900), first);
  assert.deepEqual(paceAfter(first, job(2, 9, "color"), 950)?.kind, "color");
  const again = paceAfter({ kind: "track", since: 5, from: 7 }, job(2), 950);
  assert.deepEqual(again, { kind: "track", since: 950, from: 2 });
  assert.equal(paceAfter(first, null, 900), null);
});

test("in colouring it begins with the second frame", () => {
  const color = (done: number) => job(done, 65, "color");
  assert.equal(paceAfter(null, color(1), 500), null);
  assert.deepEqual(paceAfter(null, color(2), 9500), { kind: "color", since: 9500, from: 2 });
});

test("the time left is told once it can be", () => {
  const pace = { kind: "track", since: 0, from: 1 };
  assert.equal(timeLeft(pace, job(3), 60000), "");
  assert.equal(timeLeft(pace, job(11), 3000), "");
  assert.equal(timeLeft(pace, job(11, 0), 30000), "");
  assert.equal(timeLeft(pace, job(11, 21), 5000), "a few seconds left");
  assert.equal(timeLeft(pace, job(11, 60), 5000), "about 30 s left");
  assert.equal(timeLeft(pace, job(101, 251), 50000), "about 1 min left");
  assert.equal(timeLeft(pace, job(101, 1001), 50000), "about 8 min left");
  assert.equal(timeLeft(pace, job(101, 14401), 50000), "about 1 h 59 min left");
  assert.equal(timeLeft(null, job(11), 5000), "");
});
