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

type Asked = { frame: number; rough: boolean; answer: (text: string, small?: boolean) => void };

/** A server whose answers are given by hand, in any order; it does not heed that one is given up. */
function server() {
  const asked: Asked[] = [];
  const get = (frame: number, _width: number, _signal: AbortSignal, rough: boolean) =>
    new Promise<{ blob: Blob; frame: number; small: boolean }>((resolve) => {
      const answer = (text: string, small = false) =>
        resolve({ blob: new Blob([text]), frame, small });
      asked.push({ frame, rough, answer });
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

const textOf = (cache: FrameCache, frame: number) =>
  (cache.get(frame) as unknown as Made | undefined)?.text;

test("a small picture is shown till the whole one is there, and not asked for again", async () => {
  const { asked, get } = server();
  const cache = new FrameCache(() => {}, get);
  cache.reset(100);
  cache.scrubTo(7);
  asked[0]!.answer("small", true);
  await settled();
  assert.equal(textOf(cache, 7), "small");
  assert.ok(!cache.has(7), "it is not what is wanted");
  for (let n = 0; n < 5; n++) cache.scrubTo(7); // the handle rests
  assert.equal(asked.length, 1);
  cache.want([7]);
  assert.deepEqual([asked.length, asked[1]!.rough], [2, false]);
  asked[1]!.answer("whole");
  await settled();
  assert.equal(textOf(cache, 7), "whole");
  assert.ok(cache.has(7));
});

test("a small picture that comes late does not replace the whole one", async () => {
  const { asked, get } = server();
  const cache = new FrameCache(() => {}, get);
  cache.reset(100);
  cache.want([7, 8], true);
  assert.deepEqual(
    asked.map(({ frame, rough }) => [frame, rough]),
    [
      [7, true],
      [7, false],
      [8, false],
    ],
  );
  asked[1]!.answer("whole");
  await settled();
  asked[0]!.answer("small", true);
  await settled();
  assert.equal(textOf(cache, 7), "whole");
  assert.ok(cache.has(7));
});

test("a step to a frame that is on its way asks for no small picture of it", async () => {
  const { asked, get } = server();
  const cache = new FrameCache(() => {}, get);
  cache.reset(100);
  cache.want([7, 8]);
  cache.want([8, 9], true);
  cache.want([8, 9], true); // the state has changed
  assert.deepEqual(
    asked.map(({ frame, rough }) => [frame, rough]),
    [
      [7, false],
      [8, false],
      [9, false],
    ],
  );
});
