import assert from "node:assert/strict";
import { test } from "node:test";
import { FrameCache } from "../src/frames.ts";

type Made = { text: string; width: number; height: number; close(): void };
Object.assign(globalThis, {
  createImageBitmap: async (blob: Blob): Promise<Made> => {
    return { text: await blob.text(), width: 4, height: 4, close: () => {} };
  },
});
const settled = () => new Promise((resolve) => setTimeout(resolve, 5));

/** A server whose answers are given by hand, in any order; it does not heed that one is given up. */
function server() {
  const asked: { frame: number; answer: (text: string) => void }[] = [];
  const get = (frame: number) =>
    new Promise<{ blob: Blob; frame: number }>((resolve) => {
      asked.push({ frame, answer: (text) => resolve({ blob: new Blob([text]), frame }) });
    });
  return { asked, get };
}

test("a late answer to an older request is never held", async () => {
  const { asked, get } = server();
  let now: { text: string } | null = { text: "red strokes" };
  const loaded: number[] = [];
  const cache = new FrameCache(
    (frame) => loaded.push(frame),
    get,
    () => now,
  );
  cache.reset(100);
  cache.want([3]);
  now = null; // cleared
  cache.want([]);
  now = { text: "blue strokes" };
  cache.want([3]);
  asked[0]!.answer("red");
  await settled();
  assert.equal(cache.get(3), undefined);
  asked[1]!.answer("blue");
  await settled();
  assert.equal((cache.get(3) as unknown as Made).text, "blue");
  assert.equal(cache.lookOf(3)?.text, "blue strokes");
  assert.deepEqual(loaded, [3]);
  assert.ok(cache.has(3));
  now = { text: "green strokes" };
  assert.ok(!cache.has(3), "what is held is not what is wanted");
});

test("what is wanted changes while it is on its way, and nobody gives it up", async () => {
  const { asked, get } = server();
  let text = "old";
  const cache = new FrameCache(
    () => {},
    get,
    () => ({ text }),
  );
  cache.reset(100);
  cache.want([0]);
  text = "new";
  asked[0]!.answer("old");
  await settled();
  assert.equal(cache.get(0), undefined);
});

test("another video never shows a frame of the one before it", async () => {
  const { asked, get } = server();
  const cache = new FrameCache(() => {}, get);
  cache.reset(100);
  cache.scrubTo(7);
  cache.reset(0, true);
  asked[0]!.answer("before");
  await settled();
  assert.equal(cache.get(7), undefined);
});
