// Which frames to ask for, and which one to show till the one asked for is there. No DOM.

/** A request younger than this may end: it shows something while the handle moves on. */
const YOUNG = 150;

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
  under: { frame: number; since: number } | null,
  wanted: number,
  now: number,
): "ask" | "replace" | "wait" {
  if (under === null) return "ask";
  if (under.frame === wanted || now - under.since < YOUNG) return "wait";
  return "replace";
}
