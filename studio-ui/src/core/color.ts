// The colour flow: what follows from references and results. No DOM, no network.

import type { ColorReference, ColorStroke, Item, Project } from "./state.ts";
import type { Point } from "./view.ts";

export const SWATCHES: [name: string, color: string][] = [
  ["Skin", "#d9a27e"],
  ["Dark skin", "#8a5a3c"],
  ["Brown", "#6b4a2f"],
  ["Sand", "#cdb58a"],
  ["Grass", "#6d8a3f"],
  ["Leaf", "#3f6b3a"],
  ["Sky", "#8fb8dc"],
  ["Deep blue", "#2f4f82"],
  ["Red", "#a83a32"],
  ["Orange", "#cf7f33"],
  ["Yellow", "#d9bf56"],
  ["Grey", "#808080"],
];

const MOST_POINTS = 2000;
const MOST_STROKES = 500;

export function referenceFrames(project: Project): number[] {
  return Object.keys(project.color?.references ?? {})
    .map(Number)
    .sort((a, b) => a - b);
}

export function referenceOn(project: Project | null, frame: number): ColorReference | null {
  return project?.color?.references[String(frame)] ?? null;
}

/** Whether a frame has been coloured, as far as the state tells. */
export function isColoured(project: Project | null, frame: number): boolean {
  const result = project?.color?.result;
  return Boolean(result && frame >= result.start && frame < result.end);
}

/** What the button says, and whether there is anything to do. */
export function colorLabel(project: Project): { text: string; ready: boolean } {
  const result = project.color?.result;
  if (!referenceFrames(project).length) return { text: "Colour", ready: false };
  if (!result) return { text: "Colour", ready: true };
  if (result.stale || !result.complete) return { text: "Colour again", ready: true };
  return { text: "Coloured", ready: false };
}

/** Points of a stroke, no nearer to each other than a fifth of its radius, and not too many. */
export function thinned(points: Point[], radius: number): Point[] {
  const found: Point[] = [];
  const least = Math.max(0.5, radius / 5);
  for (const [x, y] of points) {
    const last = found.at(-1);
    if (!last || Math.hypot(x - last[0], y - last[1]) >= least) {
      found.push([Math.round(x * 10) / 10, Math.round(y * 10) / 10]);
    }
  }
  const every = Math.ceil(found.length / MOST_POINTS);
  return every > 1 ? found.filter((_, n) => n % every === 0) : found;
}

/** Strokes of a frame with one more; null where there is no room for it. */
export function withStroke(before: ColorStroke[], more: ColorStroke): ColorStroke[] | null {
  return before.length < MOST_STROKES ? [...before, more] : null;
}

const STRIP = "#7d88e6";

/** How the timeline shows colours: references as marks, how sure the colours are as a strip. */
export function asTimeline(project: Project): Project {
  const result = project.color?.result ?? null;
  const color: Item = {
    ...{ key: "color", kind: "object", id: 0, name: "Colours", color: STRIP },
    ...{ visible: true, locked: false, joints: null, edges: null },
  };
  return {
    ...project,
    objects: [color],
    result: result && {
      start: result.start,
      end: result.end,
      stale: result.staleRanges
        .map(([a, b]): [number, number] => [Math.max(a, result.start), Math.min(b, result.end)])
        .filter(([a, b]) => a < b),
      cuts: [],
      reliability: { color: result.reliability ?? [] },
      present: {},
    },
  };
}
