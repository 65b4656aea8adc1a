// What the server says the project is, and what follows from it. No DOM, no network.

import type { Quad } from "./quad.ts";
import type { SmallCopy } from "./scrub.ts";
import { merged, named, type Stretch } from "./timeline.ts";
import type { Point } from "./view.ts";

export type Kind = "object" | "point" | "box" | "keypoints";
export type Joint = Point | null | "gone";
export type Format = {
  name: string;
  /** For people, and what it is listed under. */
  title: string;
  group: string;
  tool: string;
  /** What its columns mean. */
  about?: string | null;
  kinds: string[];
  suffix: string;
  extra: string | null;
  available: boolean;
  /** It shows the film, in its colours where it was coloured. */
  inColors?: boolean;
};
export type Item = {
  key: string;
  kind: Kind;
  id: number;
  name: string;
  color: string;
  visible: boolean;
  locked: boolean;
  joints: string[] | null;
  edges: [number, number][] | null;
  /** Nobody chose its colour, and it has no mark yet. */
  colorIsFree?: boolean;
};
export type FrameMarks = {
  objects?: number[];
  points?: Record<string, Point | null>;
  boxes?: Record<string, [number, number, number, number] | null>;
  keypoints?: Record<string, Joint[]>;
  gone?: number[];
};
export type Quality = "fast" | "normal" | "best";
export type Job = {
  kind: string;
  done: number;
  total: number;
  frame: number | null;
  message: string;
};
export type Video = {
  name: string;
  width: number;
  height: number;
  frames: number;
  fps: number;
  times: number[];
  /** Names `times`: where the server was told this name, it leaves them out. */
  timesKey?: string;
  hasAudio: boolean;
  missing: boolean;
  /** Whether the project has a video of its own; not said by a server that cannot copy it. */
  copied?: boolean;
};
export type Result = {
  /** Names what is long in it, as `timesKey` does. */
  key?: string;
  start: number;
  end: number;
  stale: Stretch[];
  /** The same by key of what is to be tracked again. */
  staleOf?: Record<string, Stretch[]>;
  cuts: number[];
  reliability: Record<string, (number | null)[]>;
  present: Record<string, boolean[]>;
  /** By kind: what is less sure than this is doubtful. */
  doubtfulBelow: Record<Kind, number>;
  /** Frames that corrections were to leave as they were, by "Only this part". */
  held?: Stretch[];
  /** What tracking would do now: all, stale or held stretches, what was stopped, nothing. */
  next?: "all" | "span" | "rest" | "held" | null;
};
/** color: null where it is of the eraser. */
export type ColorStroke = { color: string | null; radius: number; points: Point[] };
/** stillKey: tells this coloured picture from others. */
export type ColorReference = {
  still: boolean;
  stillKey?: string | null;
  /** The strokes correct colours that the frame had. */
  copied?: boolean;
  strokes: ColorStroke[];
};
export type ColorResult = {
  key: string;
  start: number;
  end: number;
  complete: boolean;
  stale: boolean;
  /** Frames of the clip that these references do not colour yet. */
  staleRanges: Stretch[];
  /** Null on frames that have no colours. */
  reliability?: (number | null)[];
  doubtfulBelow: number;
  lookAt: { first: number; last: number; reliability: number }[];
};
export type Texture = {
  id: number;
  key: string;
  name: string;
  frame: number;
  quad: Quad;
  size: [number, number];
};
export type Project = {
  folder: string;
  path?: string;
  name: string;
  video: Video;
  objects: Item[];
  /** What a thing that is added now gets, "#rrggbb". */
  nextColor?: string;
  marks: Record<string, FrameMarks>;
  result: Result | null;
  undo: { undo: string | null; redo: string | null };
  job: Job | null;
  /** Where one was when it was closed. */
  place?: { frame?: number; loop?: Stretch | null };
  /** Null where the film is not worth one; not there with a server that makes none. */
  smallCopy?: SmallCopy | null;
  settings: { quality: Quality; range: Stretch | null; saturation?: number };
  /** Not there with a server that cannot colour. */
  textures?: Texture[];
  color?: { references: Record<string, ColorReference>; result: ColorResult | null };
};
/** `key` names it where its picture is asked for. */
export type Recent = { path: string; name: string; when: string | number; key: string };
export type State = {
  revision: number;
  app: { version: string; formats: Format[] };
  project: Project | null;
  recent: Recent[];
  demo: boolean;
};

export type Event =
  | { type: "state"; revision: number }
  | {
      type: "progress";
      job: string;
      done: number;
      total: number;
      /** The frame that was done last; null while none can be shown yet. */
      frame: number | null;
      message?: string;
      places?: Places;
    }
  | {
      type: "done" | "failed" | "stopped";
      kind: string;
      message: string;
      download?: string;
      path?: string;
      notes?: string[];
    }
  | ({ type: "smallCopy" } & SmallCopy)
  | { type: "worker"; which: "decoder" | "model"; message: string };

export type Tracks = {
  start: number;
  points: Record<
    string,
    {
      x: (number | null)[];
      y: (number | null)[];
      visible: boolean[];
      confidence: (number | null)[];
    }
  >;
  boxes: Record<
    string,
    Record<"x" | "y" | "width" | "height", (number | null)[]> & { visible: boolean[] }
  >;
  keypoints: Record<string, { joints: (Point | null)[][]; visible: boolean[][] }>;
};

/** Where things are on one frame that was tracked just now: each ends with whether it is seen. */
export type Places = {
  points?: Record<string, [x: number | null, y: number | null, seen: boolean]>;
  boxes?: Record<string, [...(number | null)[], boolean]>;
  keypoints?: Record<string, ([x: number, y: number, seen: boolean] | null)[]>;
};

/** Tracks with the places of one more frame; what they have of others stays. */
export function withPlaces(tracks: Tracks | null, frame: number, places: Places): Tracks {
  const next: Tracks = tracks ?? { start: 0, points: {}, boxes: {}, keypoints: {} };
  const i = frame - next.start;
  for (const [id, [x, y, seen]] of Object.entries(places.points ?? {})) {
    next.points[id] ??= { x: [], y: [], visible: [], confidence: [] };
    const track = next.points[id];
    track.x[i] = x;
    track.y[i] = y;
    track.visible[i] = seen;
  }
  for (const [id, given] of Object.entries(places.boxes ?? {})) {
    next.boxes[id] ??= { x: [], y: [], width: [], height: [], visible: [] };
    const track = next.boxes[id];
    const [x, y, width, height, seen] = given as [number, number, number, number, boolean];
    track.x[i] = x;
    track.y[i] = y;
    track.width[i] = width;
    track.height[i] = height;
    track.visible[i] = seen;
  }
  for (const [id, joints] of Object.entries(places.keypoints ?? {})) {
    next.keypoints[id] ??= { joints: [], visible: [] };
    const track = next.keypoints[id];
    track.joints[i] = joints.map((joint) => joint && [joint[0], joint[1]]);
    track.visible[i] = joints.map((joint) => Boolean(joint?.[2]));
  }
  return { ...next };
}

/** The job after an event: progress moves it on, an end takes it away. */
export function jobAfter(job: Job | null, event: Event): Job | null {
  switch (event.type) {
    case "progress":
      return {
        kind: event.job,
        done: event.done,
        total: event.total,
        frame: event.frame,
        message: event.message ?? job?.message ?? "",
      };
    case "done":
    case "failed":
    case "stopped":
      return null;
    default:
      return job;
  }
}

/** A state as sent, with the long lists that were left out because the client has them. */
export function filled(next: State, now: State | null): State {
  const [video, held] = [next.project?.video, now?.project?.video];
  if (video && held && !video.times && video.timesKey === held.timesKey) video.times = held.times;
  const [result, before] = [next.project?.result, now?.project?.result];
  if (result && before && !result.reliability && result.key === before.key) {
    const { cuts, reliability, present } = before;
    Object.assign(result, { cuts, reliability, present });
  }
  const [color, colored] = [next.project?.color?.result, now?.project?.color?.result];
  if (color && colored && !color.reliability && color.key === colored.key) {
    if (colored.reliability) color.reliability = colored.reliability;
  }
  return next;
}

/** True where a newly fetched state must not replace the one on show. */
export function isOlder(next: State, now: State | null): boolean {
  return now !== null && next.revision < now.revision;
}

export function itemOf(project: Project | null, key: string | null): Item | null {
  return project?.objects.find((item) => item.key === key) ?? null;
}

/** The object to keep picked when the list changed: the one picked last that is there, else the first. */
export function pickedAfter(project: Project | null, recent: (string | null)[]): string | null {
  const there = recent.findLast((key) => itemOf(project, key));
  return there ?? project?.objects[0]?.key ?? null;
}

type Mode = "track" | "color";

/**
 * What a project is opened for: what it has, objects or colours; where it has both, as `last`, and
 * where neither, as `wished`.
 */
export function modeFor(project: Project, last: Mode, wished: Mode = "track"): Mode {
  const { color, objects, result } = project;
  const colors = Boolean(color && (color.result || Object.keys(color.references).length));
  const tracks = Boolean(objects.length || result);
  if (colors === tracks) return colors ? last : wished;
  return colors ? "color" : "track";
}

export function marksOn(project: Project | null, frame: number): FrameMarks {
  return project?.marks[String(frame)] ?? {};
}

const mark = (values: Record<string, unknown> | undefined, id: number) =>
  values && String(id) in values ? values[String(id)] : undefined;

/** What is said of an object on a frame: marked, gone, or nothing. */
export function markOf(marks: FrameMarks, item: Item): "marked" | "gone" | null {
  switch (item.kind) {
    case "object":
      if (marks.gone?.includes(item.id)) return "gone";
      return marks.objects?.includes(item.id) ? "marked" : null;
    case "keypoints": {
      const joints = mark(marks.keypoints, item.id) as Joint[] | null | undefined;
      if (joints === undefined) return null;
      if (joints === null || (joints.length > 0 && joints.every((joint) => joint === "gone"))) {
        return "gone";
      }
      return joints.some((joint) => joint !== null) ? "marked" : null;
    }
    default: {
      const at = mark(item.kind === "point" ? marks.points : marks.boxes, item.id);
      return at === undefined ? null : at === null ? "gone" : "marked";
    }
  }
}

/**
 * Whom a first click of smart select is for: the picked object; where that is marked on this frame
 * already and the click is not on it, the object that the click is on, else a new one (`key` null).
 * `there`: the id under the click. `said`: the click was said to correct the picked object.
 */
export function selectTarget(
  picked: Item | null,
  marks: FrameMarks,
  there: number,
  items: Item[],
  said = false,
): { key: string | null; locked: boolean } {
  const isMarked = (id: number) => marks.objects?.includes(id) ?? false;
  let item = picked?.kind === "object" ? picked : null;
  if (!(item && said) && (!item || isMarked(item.id)) && there !== item?.id) {
    item = items.find(({ kind, id }) => kind === "object" && id === there) ?? null;
  }
  return { key: item?.key ?? null, locked: item?.locked ?? false };
}

/** The id that is mostly in a part of the frame; the largest of several; 0: none. held: pixels. */
export function mostlyIn(held: ReadonlyMap<number, number>, ids: ArrayLike<number>): number {
  const all = new Map<number, number>();
  for (let p = 0; p < ids.length; p++) {
    const id = ids[p]!;
    if (held.has(id)) all.set(id, (all.get(id) ?? 0) + 1);
  }
  const most = [...held].filter(([id, count]) => 2 * count > all.get(id)!);
  return most.sort((one, other) => other[1] - one[1])[0]?.[0] ?? 0;
}

/**
 * The region that smart select is at, as 1 where it is: what was found (`mask`), without what others
 * have marked (`kept`). `ids`: what is on the frame.
 */
export function regionOf(
  mask: ArrayLike<number>,
  ids: ArrayLike<number>,
  kept: ReadonlySet<number>,
): Uint8Array {
  const found = new Uint8Array(mask.length);
  for (let p = 0; p < found.length; p++) {
    found[p] = mask[p]! > 0 && !kept.has(ids[p] ?? 0) ? 1 : 0;
  }
  return found;
}

/** Whether the tracker has found an object on a frame. */
export function isTracked(project: Project, item: Item, frame: number): boolean {
  const { result } = project;
  return Boolean(result?.present[item.key]?.[frame - result.start]);
}

/**
 * What the tracker says of a thing on a frame where it is not marked; null: it did not look. Points,
 * boxes and skeletons that are not seen are somewhere all the same: "hidden" where that is likely
 * right, else "lost".
 */
export function trackedAs(
  project: Project,
  item: Item,
  frame: number,
): "tracked" | "doubtful" | "not found" | "hidden" | "lost" | null {
  const { result } = project;
  const at = result ? frame - result.start : -1;
  const present = result?.present[item.key]?.[at];
  if (!result || at < 0 || frame >= result.end || present === undefined) return null;
  if (!present && item.kind === "object") return "not found";
  const sure = result.reliability[item.key]?.[at];
  const doubtful = typeof sure === "number" && sure < result.doubtfulBelow[item.kind];
  if (!present) return doubtful || typeof sure !== "number" ? "lost" : "hidden";
  return doubtful ? "doubtful" : "tracked";
}

/** Frames with a mark of any object, or of one. */
export function markedFrames(project: Project, item?: Item): number[] {
  return Object.keys(project.marks)
    .map(Number)
    .filter((frame) => {
      const marks = marksOn(project, frame);
      return (item ? [item] : project.objects).some((one) => markOf(marks, one) !== null);
    })
    .sort((a, b) => a - b);
}

/** What the Track button says, and whether there is anything to do. */
export function trackLabel(project: Project | null): { text: string; ready: boolean } {
  if (!project || !markedFrames(project).length) return { text: "Track", ready: false };
  if (!project.result) return { text: "Track", ready: true };
  const { next, end, held } = project.result;
  const { range } = project.settings;
  const all = merged(project.result.stale);
  const stale = range ? all.filter(([from, to]) => from < range[1] && range[0] < to) : all;
  if (next === "all") return { text: `Track again (${range ? named(range) : "all"})`, ready: true };
  if (next === "rest") return { text: `Track on from frame ${end}`, ready: true };
  if (next === "held" && held?.length) return { text: `The rest too (${few(held)})`, ready: true };
  if (all.length && next === null && range)
    return { text: `Tracked (${named(range)})`, ready: false };
  if (stale.length === 0) return { text: "Tracked", ready: false };
  return { text: `Track again (${few(stale)})`, ready: true };
}

function few(stretches: Stretch[]): string {
  return stretches.length === 1 ? named(stretches[0]!) : `${stretches.length} stretches`;
}

/** Whether there is anything to take away. */
export function canExport(project: Project): boolean {
  return Boolean(project.result || project.color?.result || project.textures?.length);
}

/** The name of the next thing of a kind, "object 3": the third, whatever the others are called. */
export function nextName(project: Project | null, kind: Kind): string {
  const word = kind === "keypoints" ? "skeleton" : kind;
  const items = project?.objects ?? [];
  const taken = new Set(items.map((item) => item.name));
  const count = items.filter((item) => item.kind === kind).length;
  for (let n = count + 1; ; n++) if (!taken.has(`${word} ${n}`)) return `${word} ${n}`;
}
