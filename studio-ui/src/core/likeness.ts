// Whether a coloured picture shows a frame: how alike their light and dark are, coarsely.

/** Cells along the longer side that pictures are compared in. */
export const CELLS = 48;

/**
 * Less alike than this, a picture is not of the frame. Of 420 pictures of a frame of real clips, in
 * other light, contrast and tint, a little moved, cropped and badly compressed, 3 are below it, all
 * of one black frame but one; of 1671 pictures of other clips 99 % are.
 */
export const LIKE = 0.7;

/** Size of the small pictures that stand for a video's frames. */
export function smallSize(width: number, height: number): { width: number; height: number } {
  const scale = CELLS / Math.max(width, height);
  const side = (length: number) => Math.max(4, Math.round(length * scale));
  return { width: side(width), height: side(height) };
}

/** The middle part of a picture that has the shape of a frame: x, y, width, height. */
export function fitted(
  picture: { width: number; height: number },
  frame: { width: number; height: number },
): [number, number, number, number] {
  const scale = Math.min(picture.width / frame.width, picture.height / frame.height);
  const [width, height] = [frame.width * scale, frame.height * scale];
  return [(picture.width - width) / 2, (picture.height - height) / 2, width, height];
}

/** Luminance of RGBA pixels. */
export function luminance(pixels: ArrayLike<number>): Float32Array {
  const found = new Float32Array(pixels.length / 4);
  for (let i = 0; i < found.length; i++) {
    const [r, g, b] = [pixels[4 * i]!, pixels[4 * i + 1]!, pixels[4 * i + 2]!];
    found[i] = 0.299 * r + 0.587 * g + 0.114 * b;
  }
  return found;
}

/** Blurred by (1 2 1) along both sides, so that a shift by a cell changes little. */
export function blurred(values: Float32Array, width: number): Float32Array {
  const height = values.length / width;
  const along = (from: Float32Array, count: number, step: number, lines: number, gap: number) => {
    const to = new Float32Array(from.length);
    for (let line = 0; line < lines; line++) {
      for (let i = 0; i < count; i++) {
        const at = line * gap + i * step;
        const before = i > 0 ? at - step : at;
        const after = i < count - 1 ? at + step : at;
        to[at] = (from[before]! + 2 * from[at]! + from[after]!) / 4;
      }
    }
    return to;
  };
  return along(along(values, width, 1, height, width), height, width, width, 1);
}

/** Means of blocks of `factor` by `factor`. */
export function boxed(values: Float32Array, width: number, factor: number): Float32Array {
  const [columns, rows] = [width / factor, values.length / width / factor];
  const found = new Float32Array(columns * rows);
  for (let i = 0; i < values.length; i++) {
    const [x, y] = [i % width, Math.floor(i / width)];
    const cell = Math.floor(y / factor) * columns + Math.floor(x / factor);
    found[cell]! += values[i]! / factor ** 2;
  }
  return found;
}

/**
 * How alike a frame and a picture are in light and dark, -1 to 1; 1 where the frame is flat, so
 * that nothing can be said. Both RGBA, `width` pixels wide, `factor` times as large as they are
 * compared.
 */
export function likeness(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  width: number,
  factor: number,
): number {
  const small = (pixels: ArrayLike<number>) =>
    blurred(boxed(luminance(pixels), width, factor), width / factor);
  const frame = small(a);
  return isFlat(frame) ? 1 : correlation(frame, small(b));
}

const mean = (values: Float32Array) => values.reduce((sum, v) => sum + v, 0) / values.length;

/** Less than one level of spread is noise. */
const isFlat = (values: Float32Array) => {
  const middle = mean(values);
  return mean(values.map((value) => (value - middle) ** 2)) < 1;
};

/** Correlation of two pictures, -1 to 1; 0 where one of them is flat. */
export function correlation(a: Float32Array, b: Float32Array): number {
  if (isFlat(a) || isFlat(b)) return 0;
  const [ma, mb] = [mean(a), mean(b)];
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i]! - ma, b[i]! - mb];
    ab += x * y;
    aa += x * x;
    bb += y * y;
  }
  return ab / Math.sqrt(aa * bb);
}
