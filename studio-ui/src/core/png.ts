// Greyscale PNG, read and written without a canvas: a canvas would lose the second byte of 16-bit
// ids and may shift values through a colour profile.

export type Grey = { width: number; height: number; values: Uint16Array };

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];

async function through(
  data: Uint8Array,
  stream: CompressionStream | DecompressionStream,
): Promise<Uint8Array> {
  const piped = new Blob([data as BlobPart]).stream().pipeThrough(stream);
  return new Uint8Array(await new Response(piped).arrayBuffer());
}

function paeth(a: number, b: number, c: number): number {
  const pa = Math.abs(b - c);
  const pb = Math.abs(a - c);
  const pc = Math.abs(a + b - 2 * c);
  if (pa <= pb && pa <= pc) return a;
  return pb <= pc ? b : c;
}

/** Undoes the row filters of inflated PNG data in place; returns the rows without filter bytes. */
function unfilter(data: Uint8Array, stride: number, height: number, step: number): Uint8Array {
  const out = new Uint8Array(stride * height);
  for (let row = 0; row < height; row++) {
    const filter = data[row * (stride + 1)]!;
    const from = row * (stride + 1) + 1;
    const to = row * stride;
    if (filter === 0) {
      out.set(data.subarray(from, from + stride), to);
      continue;
    }
    if (filter === 2) {
      const up = row ? to - stride : -1;
      for (let i = 0; i < stride; i++) out[to + i] = data[from + i]! + (up < 0 ? 0 : out[up + i]!);
      continue;
    }
    if (filter > 4) throw new Error(`PNG row filter ${filter} is unknown`);
    for (let i = 0; i < stride; i++) {
      const a = i >= step ? out[to + i - step]! : 0;
      const b = row ? out[to + i - stride]! : 0;
      const c = row && i >= step ? out[to + i - stride - step]! : 0;
      const guess = filter === 1 ? a : filter === 3 ? (a + b) >> 1 : paeth(a, b, c);
      out[to + i] = data[from + i]! + guess;
    }
  }
  return out;
}

function samples(rows: Uint8Array, stride: number, size: [number, number], depth: number) {
  const [width, height] = size;
  if (depth === 8) return new Uint16Array(rows);
  const values = new Uint16Array(width * height);
  if (depth === 16) {
    for (let p = 0; p < values.length; p++) values[p] = (rows[2 * p]! << 8) | rows[2 * p + 1]!;
    return values;
  }
  const most = (1 << depth) - 1;
  for (let p = 0; p < values.length; p++) {
    const bit = (p % width) * depth;
    const byte = rows[Math.floor(p / width) * stride + (bit >> 3)]!;
    values[p] = (byte >> (8 - depth - (bit & 7))) & most;
  }
  return values;
}

/** Values of a PNG of greys or of palette places (not interlaced), as they are in the file. */
export async function decodePng(file: Uint8Array): Promise<Grey> {
  if (SIGNATURE.some((byte, i) => file[i] !== byte)) throw new Error("this is no PNG file");
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const parts: Uint8Array[] = [];
  let [width, height, depth, kind, interlaced] = [0, 0, 0, 0, 0];
  for (let at = 8; at + 12 <= file.length; ) {
    const length = view.getUint32(at);
    const name = String.fromCharCode(...file.subarray(at + 4, at + 8));
    const body = file.subarray(at + 8, at + 8 + length);
    if (name === "IHDR") {
      [width, height] = [view.getUint32(at + 8), view.getUint32(at + 12)];
      [depth, kind, interlaced] = [body[8]!, body[9]!, body[12]!];
    } else if (name === "IDAT") parts.push(body);
    else if (name === "IEND") break;
    at += 12 + length;
  }
  if ((kind !== 0 && kind !== 3) || interlaced) throw new Error("expected a plain greyscale PNG");
  const packed = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let end = 0;
  for (const part of parts) {
    packed.set(part, end);
    end += part.length;
  }
  const data = await through(packed, new DecompressionStream("deflate"));
  const stride = Math.ceil((width * depth) / 8);
  if (data.length < (stride + 1) * height) throw new Error("the PNG file is cut short");
  const rows = unfilter(data, stride, height, Math.max(1, depth >> 3));
  return { width, height, values: samples(rows, stride, [width, height], depth) };
}

let table: Uint32Array | undefined;

function crc(data: Uint8Array): number {
  table ??= Uint32Array.from({ length: 256 }, (_, n) => {
    let c = n;
    for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
    return c >>> 0;
  });
  let c = 0xffffffff;
  for (const byte of data) c = table[(c ^ byte) & 255]! ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}

function chunk(name: string, body: Uint8Array): Uint8Array {
  const out = new Uint8Array(12 + body.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, body.length);
  for (let i = 0; i < 4; i++) out[4 + i] = name.charCodeAt(i);
  out.set(body, 8);
  view.setUint32(8 + body.length, crc(out.subarray(4, 8 + body.length)));
  return out;
}

/** An 8-bit greyscale PNG of `values`, row by row. */
export async function encodePng(width: number, height: number, values: Uint8Array) {
  const rows = new Uint8Array((width + 1) * height);
  for (let row = 0; row < height; row++) {
    rows.set(values.subarray(row * width, (row + 1) * width), row * (width + 1) + 1);
  }
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header[8] = 8;
  const data = await through(rows, new CompressionStream("deflate"));
  const parts = [
    Uint8Array.from(SIGNATURE),
    chunk("IHDR", header),
    chunk("IDAT", data),
    chunk("IEND", new Uint8Array(0)),
  ];
  const file = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let end = 0;
  for (const part of parts) {
    file.set(part, end);
    end += part.length;
  }
  return file;
}

export function base64(data: Uint8Array): string {
  let text = "";
  for (let i = 0; i < data.length; i += 8192) {
    text += String.fromCharCode(...data.subarray(i, i + 8192));
  }
  return btoa(text);
}
