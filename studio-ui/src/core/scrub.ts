// Which frames to ask for, and which one to show till the one asked for is there. No DOM.

/** A request younger than this (ms) may end: it shows something while the handle moves on. */
const YOUNG = 150;
/** The same for a small picture, which is nearly there. */
const YOUNG_SMALL = 1000;

/** Of the frames held, the nearest to `frame`; of two, the one before it. Null where none is. */
export function nearestHeld(held: Iterable<number>, frame: number): number | null {
  let best: number | null = null;
  for (const one of held) {
    const nearer = best === null || Math.abs(one - frame) < Math.abs(best - frame);
    const before = best !== null && frame - one === best - frame && one < best;
    if (nearer || before) best = one;
  }
  return best;
}

/** Frames around the playhead, the one on show first, in the order in which they are wanted. */
export function around(frame: number, frames: number, ahead: number, behind: number): number[] {
  const found = [frame];
  for (let n = 1; n <= Math.max(ahead, behind); n++) {
    if (n <= ahead) found.push(frame + n);
    if (n <= behind) found.push(frame - n);
  }
  return found.filter((one) => one >= 0 && one < frames);
}

/**
 * While the handle is dragged there is one request at a time: whether the newest frame may be asked
 * for now, and whether the one on its way is given up for it.
 */
export function scrubStep(
  under: { frame: number; since: number; small?: boolean } | null,
  wanted: number,
  now: number,
): "ask" | "replace" | "wait" {
  if (under === null) return "ask";
  const young = under.small ? YOUNG_SMALL : YOUNG;
  if (under.frame === wanted || now - under.since < young) return "wait";
  return "replace";
}

/** Frames [start, end) of which the film's small copy has a picture each; making: more come. */
export type SmallCopy = { there: [number, number][]; making: boolean };

export function hasSmall(copy: SmallCopy | null, frame: number): boolean {
  return copy?.there.some(([start, end]) => start <= frame && frame < end) ?? false;
}

/** How far the small copy is, while it is made; "" else. */
export function copyLine(copy: SmallCopy | null, frames: number): string {
  if (!copy?.making || !frames) return "";
  const done = copy.there.reduce((sum, [start, end]) => sum + end - start, 0);
  return `Getting ready for quick scrubbing: ${Math.floor((100 * done) / frames)} %`;
}
