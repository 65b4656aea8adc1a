// Whether a drag goes round something, or over it.

import type { Point } from "./view.ts";

const LEAST = 24; // CSS px: the least diameter of a loop
const ROUND = 0.3; // of a circle's area, at its length: a drag there and back has less
const GAP = 0.3; // of its diameter: how far its end may be from its start

/** Twice the area that a ring goes round, with a sign. */
function twiceArea(ring: readonly Point[]): number {
  return ring.reduce((sum, [x, y], n) => {
    const [u, v] = ring[(n + 1) % ring.length]!;
    return sum + x * v - u * y;
  }, 0);
}

/** Whether a drag comes back to where it began, round something. scale: CSS px per unit. */
export function isLoop(places: readonly Point[], scale: number): boolean {
  const [first, last] = [places[0], places.at(-1)];
  if (!first || !last || places.length < 6) return false;
  const length = places.reduce((sum, [x, y], n) => {
    const [u, v] = places[(n + 1) % places.length]!;
    return sum + Math.hypot(u - x, v - y);
  }, 0);
  const area = Math.abs(twiceArea(places)) / 2;
  const diameter = 2 * Math.sqrt(area / Math.PI);
  const gap = Math.hypot(last[0] - first[0], last[1] - first[1]);
  const round = (4 * Math.PI * area) / length ** 2;
  return diameter * scale >= LEAST && round >= ROUND && gap <= GAP * diameter;
}
