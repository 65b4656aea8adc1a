// Four corners of a picture that is placed on a frame: top left, top right, bottom right, bottom left.

import type { Point } from "./view.ts";

export type Quad = [Point, Point, Point, Point];

/** A quad of a picture's shape in the middle of a frame, a third of it in size. */
export function middleQuad(
  picture: { width: number; height: number },
  video: { width: number; height: number },
): Quad {
  const scale = Math.min(video.width / picture.width, video.height / picture.height) / 3;
  const [w, h] = [(picture.width * scale) / 2, (picture.height * scale) / 2];
  const [x, y] = [(video.width - 1) / 2, (video.height - 1) / 2];
  return [
    [x - w, y - h],
    [x + w, y - h],
    [x + w, y + h],
    [x - w, y + h],
  ];
}

const turn = (a: Point, b: Point, c: Point) =>
  (b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0]);

/** Whether a picture can lie on it: all corners turn clockwise, none is flat. */
export function isConvex(quad: Quad): boolean {
  return quad.every((_, n) => turn(quad[n]!, quad[(n + 1) % 4]!, quad[(n + 2) % 4]!) > 1);
}

export function isInside(quad: Quad, at: Point): boolean {
  return quad.every((corner, n) => turn(corner, quad[(n + 1) % 4]!, at) >= 0);
}

/** Index of the corner within `reach` of a place; null where none is. */
export function cornerAt(quad: Quad, at: Point, reach: number): number | null {
  const near = quad.map(([x, y]) => Math.hypot(x - at[0], y - at[1]));
  const least = Math.min(...near);
  return least <= reach ? near.indexOf(least) : null;
}

/** Where a place of the unit square lies on the quad, in perspective. */
export function onQuad([a, b, c, d]: Quad): (u: number, v: number) => Point {
  const [dx, dy] = [a[0] - b[0] + c[0] - d[0], a[1] - b[1] + c[1] - d[1]];
  const [x1, y1, x2, y2] = [b[0] - c[0], b[1] - c[1], d[0] - c[0], d[1] - c[1]];
  const whole = x1 * y2 - x2 * y1 || 1e-9;
  const g = (dx * y2 - x2 * dy) / whole;
  const h = (x1 * dy - dx * y1) / whole;
  return (u, v) => {
    const w = g * u + h * v + 1;
    return [
      ((b[0] - a[0] + g * b[0]) * u + (d[0] - a[0] + h * d[0]) * v + a[0]) / w,
      ((b[1] - a[1] + g * b[1]) * u + (d[1] - a[1] + h * d[1]) * v + a[1]) / w,
    ];
  };
}
