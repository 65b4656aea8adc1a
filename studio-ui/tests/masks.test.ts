import assert from "node:assert/strict";
import { test } from "node:test";
import { deflateSync } from "node:zlib";
import { centres, colour, compose, maskOf, meanUnder, parseColor } from "../src/core/masks.ts";
import { base64, decodePng, encodePng } from "../src/core/png.ts";

function chunk(name: string, body: Uint8Array): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  return Buffer.concat([length, Buffer.from(name), body, Buffer.alloc(4)]);
}

/** A PNG whose rows use every filter in turn; `rows` are the raw bytes. */
function png(rows: number[][], width: number, depth: number, kind = 0): Uint8Array {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(rows.length, 4);
  header[8] = depth;
  header[9] = kind;
  const step = Math.max(1, depth >> 3);
  const paeth = (a: number, b: number, c: number) => {
    const [pa, pb, pc] = [Math.abs(b - c), Math.abs(a - c), Math.abs(a + b - 2 * c)];
    return pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
  };
  const filtered = rows.flatMap((row, y) => {
    const filter = y % 5;
    const bytes = row.map((value, i) => {
      const a = i >= step ? row[i - step]! : 0;
      const b = y ? rows[y - 1]![i]! : 0;
      const c = y && i >= step ? rows[y - 1]![i - step]! : 0;
      const guess = [0, a, b, (a + b) >> 1, paeth(a, b, c)][filter]!;
      return (value - guess) & 255;
    });
    return [filter, ...bytes];
  });
  const data = deflateSync(Buffer.from(filtered));
  const middle = data.length >> 1;
  return Buffer.concat([
    Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]),
    chunk("IHDR", header),
    chunk("IDAT", data.subarray(0, middle)),
    chunk("IDAT", data.subarray(middle)),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

const rows = (height: number, length: number) =>
  Array.from({ length: height }, (_, y) =>
    Array.from({ length }, (_, x) => (x * 31 + y * 57 + x * y * 7) & 255),
  );

test("8-bit greys and palette places are read as they are, through every row filter", async () => {
  const bytes = rows(11, 13);
  for (const kind of [0, 3]) {
    const found = await decodePng(png(bytes, 13, 8, kind));
    assert.deepEqual([found.width, found.height], [13, 11]);
    assert.deepEqual([...found.values], bytes.flat());
  }
});

test("16-bit ids keep both bytes", async () => {
  const bytes = rows(11, 26);
  const found = await decodePng(png(bytes, 13, 16));
  const flat = bytes.flat();
  const ids = Array.from({ length: 13 * 11 }, (_, p) => (flat[2 * p]! << 8) | flat[2 * p + 1]!);
  assert.deepEqual([...found.values], ids);
});

test("1-bit masks are unpacked", async () => {
  const found = await decodePng(png([[0b10110000, 0b10000000]], 9, 1));
  assert.deepEqual([...found.values], [1, 0, 1, 1, 0, 0, 0, 0, 1]);
});

test("what is written is read again", async () => {
  const values = Uint8Array.from({ length: 60 }, (_, p) => (p % 7 ? 0 : 255));
  const found = await decodePng(await encodePng(10, 6, values));
  assert.deepEqual([found.width, found.height], [10, 6]);
  assert.deepEqual([...found.values], [...values]);
});

test("no PNG, a coloured one and a cut one are refused", async () => {
  await assert.rejects(decodePng(new Uint8Array(20)), /no PNG/);
  await assert.rejects(decodePng(png(rows(2, 6), 2, 8, 2)), /greyscale/);
  await assert.rejects(decodePng(png(rows(2, 5), 9, 8)), /cut short/);
});

test("base64 is that of everyone else", () => {
  const data = Uint8Array.from({ length: 20000 }, (_, i) => (i * 37) & 255);
  assert.equal(base64(data), Buffer.from(data).toString("base64"));
});

test("marks lie over results; what is marked or gone loses its tracked pixels", () => {
  const result = Uint16Array.from([1, 1, 2, 3, 0]);
  const marks = Uint16Array.from([0, 1, 0, 0, 1]);
  assert.deepEqual([...compose(5, result, marks, [1], [3])], [0, 1, 2, 0, 1]);
  assert.deepEqual([...compose(3, null, null, [], [])], [0, 0, 0]);
  assert.deepEqual([...result], [1, 1, 2, 3, 0]);
});

test("the mask of an object, or null where it has no pixel", () => {
  const ids = Uint16Array.from([4, 0, 4]);
  assert.deepEqual([...maskOf(ids, 4)!], [255, 0, 255]);
  assert.equal(maskOf(ids, 5), null);
});

test("centres are means of places", () => {
  const found = centres(Uint16Array.from([7, 0, 7, 0, 0, 0, 0, 9, 0]), 3);
  assert.deepEqual(found.get(7), [1, 0]);
  assert.deepEqual(found.get(9), [1, 2]);
});

test("colours: edges stand out, hidden objects and what is outside have none", () => {
  const size = { width: 5, height: 5 };
  const ids = new Uint16Array(25).fill(1);
  ids[0] = 2;
  ids[4] = 0;
  const palette = new Map([
    [1, { color: parseColor("#102030"), visible: true }],
    [2, { color: parseColor("#ff0000"), visible: false }],
  ]);
  const out = colour(ids, size, [0, 0, 5, 5], palette, "overlay");
  const pixel = (p: number) => [...out.subarray(4 * p, 4 * p + 4)];
  assert.deepEqual(pixel(12), [16, 32, 48, 110]);
  assert.deepEqual(pixel(1), [16, 32, 48, 255]);
  assert.deepEqual(pixel(0), [0, 0, 0, 0]);
  assert.deepEqual(pixel(4), [0, 0, 0, 0]);
  assert.equal(colour(ids, size, [0, 0, 5, 5], palette, "outline")[4 * 12 + 3], 0);
  assert.equal(colour(ids, size, [0, 0, 5, 5], palette, "solid")[4 * 12 + 3], 255);
});

test("a part is coloured as it is in the whole", () => {
  const size = { width: 6, height: 6 };
  const ids = Uint16Array.from({ length: 36 }, (_, p) => (p % 5 ? 1 : 0));
  const palette = new Map([[1, { color: parseColor("#aabbcc"), visible: true }]]);
  const whole = colour(ids, size, [0, 0, 6, 6], palette, "overlay");
  const part = colour(ids, size, [2, 1, 5, 4], palette, "overlay");
  for (let y = 0; y < 3; y++) {
    for (let x = 0; x < 3; x++) {
      const from = 4 * ((y + 1) * 6 + x + 2);
      const to = 4 * (y * 3 + x);
      assert.deepEqual([...part.subarray(to, to + 4)], [...whole.subarray(from, from + 4)]);
    }
  }
});

test("the mean colour under a mask is that of the picture there, whatever its size", () => {
  const pixels = [255, 0, 0, 255, 0, 16, 0, 255, 9, 9, 9, 255, 0, 0, 254, 255];
  const small = { width: 2, height: 2 };
  const size = { width: 4, height: 4 };
  const mask = new Uint8Array(16);
  assert.equal(meanUnder(mask, size, pixels, small), null);
  mask[1] = 255;
  assert.equal(meanUnder(mask, size, pixels, small), "#ff0000");
  mask[15] = 255;
  assert.equal(meanUnder(mask, size, pixels, small), "#80007f");
  mask[2] = mask[3] = 255;
  assert.equal(meanUnder(mask, size, pixels, small), "#400840");
});
