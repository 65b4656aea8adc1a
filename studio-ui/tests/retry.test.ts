import assert from "node:assert/strict";
import { test } from "node:test";
import { Retry } from "../src/core/retry.ts";

test("what failed waits, each time twice as long, and half a minute at most", () => {
  const retry = new Retry();
  assert.ok(retry.may(3, 0));
  const pauses = Array.from({ length: 9 }, () => retry.fail(3, 0));
  assert.deepEqual(pauses.slice(0, 4), [500, 1000, 2000, 4000]);
  assert.equal(pauses[8], 30_000);
  assert.ok(!retry.may(3, 29_999));
  assert.ok(retry.may(3, 30_000));
  assert.ok(retry.may(4, 0));
});

test("what came is asked for at once the next time, and pauses begin anew", () => {
  const retry = new Retry();
  retry.fail(3, 0);
  retry.fail(3, 500);
  retry.done(3);
  assert.ok(retry.may(3, 501));
  assert.equal(retry.fail(3, 600), 500);
  retry.clear();
  assert.ok(retry.may(3, 601));
});
