// The handle of the wipe's line: where it is, and what counts as being on it. In CSS pixels.

import { type Point, type Size, toScreen, type View } from "./view.ts";

/** Radius of the handle as it is drawn. */
export const GRIP = 13;
/** How far from its middle a press still takes it: what is drawn, and for a finger a little more. */
const REACH = { fine: GRIP + 2, coarse: GRIP + 9 } as const;

/** Place of the line on the screen, `share` of the picture's width from its left. */
export function lineX(view: View, video: Size, share: number): number {
  return toScreen(view, [share * video.width - 0.5, 0])[0];
}

/**
 * Middle of the handle: where the line leaves the picture at the bottom, or the screen. There it
 * covers the least of what is painted on. Null where the line is not on the screen.
 */
export function gripAt(view: View, video: Size, screen: Size, share: number): Point | null {
  const x = lineX(view, video, share);
  const [, top] = toScreen(view, [0, -0.5]);
  const [, bottom] = toScreen(view, [0, video.height - 0.5]);
  if (x < 0 || x > screen.width || bottom < 0 || top > screen.height) return null;
  return [x, Math.max(top, Math.min(bottom, screen.height - GRIP - 4))];
}

export function isOnGrip(grip: Point | null, at: Point, coarse: boolean): boolean {
  if (!grip) return false;
  return Math.hypot(at[0] - grip[0], at[1] - grip[1]) <= REACH[coarse ? "coarse" : "fine"];
}

/** Share of the picture's width that is left of a place on the screen. */
export function shareAt(view: View, video: Size, x: number): number {
  return Math.min(1, Math.max(0, (x - view.x) / (view.scale * video.width)));
}
