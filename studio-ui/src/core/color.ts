// The colour flow: what follows from references and results. No DOM, no network.

import type { ColorReference, ColorStroke, Item, Kind, Project } from "./state.ts";
import { merged, named } from "./timeline.ts";
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

/** The colours of all strokes, those used most first. */
export function usedColors(project: Project): string[] {
  const counts = new Map<string, number>();
  for (const { strokes } of Object.values(project.color?.references ?? {})) {
    for (const { color } of strokes) {
      if (color) counts.set(color.toLowerCase(), (counts.get(color.toLowerCase()) ?? 0) + 1);
    }
  }
  return [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).map(([color]) => color);
}

/**
 * The colour in use after a step back or on, where that changed one colour in the strokes and
 * nothing else in them: the colour in use goes along, as it did when it was changed.
 */
export function colorAfter(before: Project | null, after: Project | null, inUse: string): string {
  const [old, now] = [before, after].map((project) => project?.color?.references ?? {});
  const changes = new Set<string>();
  for (const [frame, { strokes }] of Object.entries(old!)) {
    const others = now![frame]?.strokes ?? [];
    if (others.length !== strokes.length) return inUse;
    for (const [n, { color, ...where }] of strokes.entries()) {
      const { color: other, ...there } = others[n]!;
      if (JSON.stringify(where) !== JSON.stringify(there)) return inUse;
      if (color !== other) changes.add(`${color} ${other}`.toLowerCase());
    }
  }
  const [from, to] = [...changes][0]?.split(" ") ?? [];
  return changes.size === 1 && from === inUse.toLowerCase() ? to! : inUse;
}

/** Whether a frame has been coloured, as far as the state tells. */
export function isColoured(project: Project | null, frame: number): boolean {
  const result = project?.color?.result;
  if (!result || frame < result.start || frame >= result.end) return false;
  return result.reliability?.[frame - result.start] !== null;
}

export type ColorViewName = "color" | "saturation" | "confidence";
/** lines: the strokes without their colours. */
type Given = { still: string; strokes: string[]; lines: string };

/** What a coloured picture of a frame shows; those of the same `text` are the same picture. */
export type Look = {
  text: string;
  of: "reference" | "result";
  /** Of the result: what is on disk, or what the job under way has done. */
  key: string;
  /** The job under way or, where there is none, the last one. */
  run: string;
  view: ColorViewName;
  /** The colours that are given on the frame. */
  given: Given | null;
};

const known = new WeakMap<ColorReference, Given>();
function givenBy(reference: ColorReference | null): Given | null {
  if (!reference) return null;
  let given = known.get(reference);
  if (!given) {
    const still = reference.still
      ? `still ${reference.stillKey}`
      : reference.copied
        ? "copied"
        : "";
    const { strokes } = reference;
    given = {
      still,
      strokes: strokes.map((stroke) => JSON.stringify(stroke)),
      lines: JSON.stringify(strokes.map(({ radius, points }) => [radius, points])),
    };
    known.set(reference, given);
  }
  return given;
}

/**
 * The coloured picture to show of a frame: the reference as it will be used, till colours that were
 * made with it are there, else what was copied. Null where there is none. `saturation`: how strong
 * its colours are, the preview's too. `job`: the colouring under way and the last frame that it has
 * done; `runs`: how many there were, this one included.
 */
export function lookOf(
  project: Project | null,
  frame: number,
  how: {
    view: ColorViewName;
    saturation: number;
    job: { frame: number | null } | null;
    runs: number;
  },
): Look | null {
  const reference = referenceOn(project, frame);
  const result = project?.color?.result;
  const first = project?.settings?.range?.[0] ?? 0;
  const reached = how.job?.frame ?? -1;
  const done = frame >= first && frame <= reached;
  const there = done || isColoured(project, frame);
  const given = givenBy(reference);
  const { view } = how;
  const run = `run ${how.runs}`;
  if (given && !done && (!there || !result || result.stale)) {
    const text = `reference ${how.saturation} ${given.still} ${given.strokes.join()}`;
    return { text, of: "reference", key: "", run, view: "color", given };
  }
  if (!there) return null;
  const key = done ? run : (result?.key.split("-").at(-1) ?? "");
  const saturation = view === "color" ? how.saturation : 1;
  return { text: `${view} ${saturation} ${key}`, of: "result", key, run, view, given };
}

const same = (one: Given | null, other: Given | null) =>
  JSON.stringify(one) === JSON.stringify(other);

/** Whether one only has more strokes than the other, on the same ground. */
const differInMore = (one: Given | null, other: Given | null) =>
  one !== null &&
  one.still === other?.still &&
  one.strokes.every((stroke, n) => [undefined, stroke].includes(other.strokes[n]));

const ERASER = '{"color":null';

/** Whether one only has strokes of the other, and what was erased. */
const differInLess = (one: Given | null, other: Given | null) =>
  one !== null &&
  one.still === other?.still &&
  one.strokes.every((stroke) => stroke.startsWith(ERASER) || other.strokes.includes(stroke));

/**
 * Whether a picture that is on show may stay till the one that is wanted is there: where it shows
 * the same colours, lacks but strokes that are drawn over it meanwhile, or has what is undone or
 * erased, or in another colour.
 * What was cleared or replaced may not.
 */
export function mayStay(shown: Look, wanted: Look | null): boolean {
  if (!wanted) return false;
  if (shown.text === wanted.text && shown.of === wanted.of) return true;
  if (shown.of === "reference" && wanted.of === "reference") {
    const recoloured =
      shown.given?.lines === wanted.given?.lines && shown.given?.still === wanted.given?.still;
    if (recoloured) return true;
    return differInLess(shown.given, wanted.given) || differInLess(wanted.given, shown.given);
  }
  if (shown.of === "reference") {
    if (wanted.view !== "color") return false;
    const undone = shown.given?.still === "copied" && !wanted.given;
    return undone || same(shown.given, wanted.given);
  }
  if (wanted.of === "reference") {
    // Strokes that correct lie on what is on show, whatever that was made with.
    if (shown.view !== "color") return false;
    return wanted.given?.still === "copied" || differInMore(shown.given, wanted.given);
  }
  return shown.view === wanted.view && [wanted.key, wanted.run].includes(shown.key);
}

/** How many of a frame's strokes are in the picture that is on show of it; the rest is not yet. */
export function strokesIn(shown: Look | null, wanted: Look | null): number {
  if (wanted?.of !== "reference") return Number.POSITIVE_INFINITY;
  return differInMore(shown?.given ?? null, wanted.given) ? shown!.given!.strokes.length : 0;
}

/** A colour that is told apart on this one: black or white. */
export function readableOn(color: string): string {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const part = Number.parseInt(color.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000000" : "#ffffff";
}

const ANY = ". Each frame takes its colours from all coloured frames, so a stroke may change any";

/** What the button says, whether there is anything to do, and why. */
export function colorLabel(project: Project): { text: string; ready: boolean; why: string } {
  const result = project.color?.result;
  const text = result ? "Colour again" : "Colour";
  const goOn = (from: number) => `Colour on from frame ${from}`;
  if (!referenceFrames(project).length) {
    const why = result
      ? "No frame has colours of its own any more: paint one, or use a picture"
      : "Colour a frame first";
    return { text: "Colour", ready: false, why };
  }
  if (!result) return { text, ready: true, why: "Copies these colours to all frames" };
  const left = merged(result.staleRanges);
  if (!left.length) return { text: "Coloured", ready: false, why: "Nothing has changed since" };
  const which = left.length === 1 ? named(left[0]!) : `${left.length} stretches`;
  const first = left[0]![0];
  const count = left.reduce((sum, [from, to]) => sum + to - from, 0);
  const all = count >= result.end - result.start;
  const isRest = first > result.start && (first >= result.end || !all); // it was stopped
  const everything = all && !project.settings?.range;
  return {
    text: isRest ? goOn(first) : `${text} (${everything ? "all" : which})`,
    ready: true,
    why: `These colours are not yet on ${which}${all && !isRest ? ANY : ""}`,
  };
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

function distance([x, y]: Point, [ax, ay]: Point, [bx, by]: Point): number {
  const [dx, dy] = [bx - ax, by - ay];
  const length = dx * dx + dy * dy;
  const part = length ? Math.max(0, Math.min(1, ((x - ax) * dx + (y - ay) * dy) / length)) : 0;
  return Math.hypot(x - ax - part * dx, y - ay - part * dy);
}

/** Number of the stroke under a place, the one painted last of several; null: there is none. */
export function strokeAt(strokes: ColorStroke[], at: Point): number | null {
  const isUnder = ({ color, radius, points }: ColorStroke) =>
    color !== null &&
    points.some((point, n) => distance(at, points[n - 1] ?? point, point) <= Math.max(radius, 2));
  const found = strokes.findLastIndex(isUnder);
  return found < 0 ? null : found;
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
      doubtfulBelow: Object.assign({} as Record<Kind, number>, { object: result.doubtfulBelow }),
      // Where a frame has no colours, nothing is sure of them.
      present: { color: (result.reliability ?? []).map((sure) => sure !== null) },
    },
  };
}
