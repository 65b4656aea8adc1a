// What is on a frame besides masks: points, boxes, skeletons, from marks or else from tracks.

import { type FrameMarks, type Item, type Joint, markOf, type Tracks } from "./core/state.ts";
import { inside, type Point, type Size, toScreen, type View } from "./core/view.ts";

export type Box = [number, number, number, number];
export type Shape =
  | { kind: "point"; item: Item; at: Point; sure: boolean; marked: boolean }
  | { kind: "box"; item: Item; at: Box; sure: boolean; marked: boolean }
  | { kind: "keypoints"; item: Item; joints: Joint[]; seen: boolean[]; marked: boolean };

/**
 * Where a thing is on a frame, null where nothing of it is to be seen there: what a track has lost
 * and left outside of the picture is not drawn.
 */
export function shapeOf(
  item: Item,
  marks: FrameMarks,
  tracks: Tracks | null,
  frame: number,
  video: Size,
): Shape | null {
  const id = String(item.id);
  const i = tracks ? frame - tracks.start : -1;
  if (item.kind === "point") {
    const marked = marks.points?.[id];
    if (marked) return { kind: "point", item, at: marked, sure: true, marked: true };
    if (marked === null) return null;
    const track = tracks?.points?.[id];
    const [x, y] = [track?.x[i], track?.y[i]];
    if (x == null || y == null || !inside(video, [x, y])) return null;
    return { kind: "point", item, at: [x, y], sure: track?.visible[i] ?? true, marked: false };
  }
  if (item.kind === "box") {
    const marked = marks.boxes?.[id];
    if (marked) return { kind: "box", item, at: marked, sure: true, marked: true };
    if (marked === null) return null;
    const track = tracks?.boxes?.[id];
    const at = [track?.x[i], track?.y[i], track?.width[i], track?.height[i]];
    if (at.some((value) => value == null)) return null;
    const [left, top, wide, high] = at as Box;
    if (left + wide <= 0 || top + high <= 0 || left >= video.width || top >= video.height)
      return null;
    const sure = track?.visible[i] ?? true;
    return { kind: "box", item, at: at as Box, sure, marked: false };
  }
  if (item.kind === "keypoints") {
    const marked = marks.keypoints?.[id];
    const track = tracks?.keypoints?.[id];
    const tracked = track?.joints[i];
    if (!marked && !tracked) return null;
    const count = item.joints?.length ?? 0;
    const joints = Array.from({ length: count }, (_, n) => {
      const at = tracked?.[n] ?? null;
      return marked?.[n] ?? (at && inside(video, at) ? at : null);
    });
    const seen = joints.map((_, n) => Boolean(marked?.[n]) || (track?.visible[i]?.[n] ?? true));
    return { kind: "keypoints", item, joints, seen, marked: Boolean(marked) };
  }
  return null;
}

/** Whether a tracked thing that is not marked here is not found on this frame. */
export function isLost(
  item: Item,
  marks: FrameMarks,
  tracks: Tracks | null,
  frame: number,
  video: Size,
): boolean {
  if (item.kind === "object" || markOf(marks, item) !== null || !tracks) return false;
  const table = { point: tracks.points, box: tracks.boxes, keypoints: tracks.keypoints };
  const known = table[item.kind]?.[String(item.id)]?.visible[frame - tracks.start];
  if (known === undefined) return false;
  const shape = shapeOf(item, marks, tracks, frame, video);
  if (!shape) return true;
  return shape.kind === "keypoints" ? !shape.seen.includes(true) : !shape.sure;
}

function dot(ctx: CanvasRenderingContext2D, at: Point, color: string, full: boolean, radius = 5) {
  ctx.beginPath();
  ctx.arc(at[0], at[1], radius, 0, 2 * Math.PI);
  ctx.fillStyle = full ? color : "rgba(0,0,0,0.25)";
  ctx.fill();
  ctx.lineWidth = 3.5;
  ctx.strokeStyle = "rgba(0,0,0,0.45)";
  ctx.stroke();
  ctx.lineWidth = 1.75;
  ctx.strokeStyle = full ? "#fff" : color;
  ctx.stroke();
}

/** A line that is seen on light and on dark. */
export function twoTone(ctx: CanvasRenderingContext2D, color: string, width = 2) {
  ctx.lineJoin = "round";
  ctx.lineCap = "round";
  ctx.strokeStyle = "rgba(0,0,0,0.5)";
  ctx.lineWidth = width + 2;
  ctx.stroke();
  ctx.strokeStyle = color;
  ctx.lineWidth = width;
  ctx.stroke();
}

export function drawShape(
  ctx: CanvasRenderingContext2D,
  view: View,
  shape: Shape,
  picked: boolean,
) {
  const color = shape.item.color;
  if (shape.kind === "point") {
    dot(ctx, toScreen(view, shape.at), color, shape.sure, picked ? 7 : 5);
    return;
  }
  if (shape.kind === "box") {
    const [x, y, w, h] = shape.at;
    const [left, top] = toScreen(view, [x, y]);
    ctx.beginPath();
    ctx.rect(left, top, w * view.scale, h * view.scale);
    ctx.setLineDash(shape.sure ? [] : [6, 5]);
    twoTone(ctx, color, picked ? 3 : 2);
    ctx.setLineDash([]);
    return;
  }
  for (const [a, b] of shape.item.edges ?? []) {
    const [from, to] = [shape.joints[a], shape.joints[b]];
    if (!Array.isArray(from) || !Array.isArray(to)) continue;
    ctx.beginPath();
    ctx.moveTo(...toScreen(view, from));
    ctx.lineTo(...toScreen(view, to));
    twoTone(ctx, color);
  }
  shape.joints.forEach((joint, n) => {
    if (Array.isArray(joint)) {
      dot(ctx, toScreen(view, joint), color, shape.seen[n] ?? true, picked ? 5.5 : 4.5);
    }
  });
}

/** Where a point, a box's middle or a mask's centre was over the last frames, fading. */
export function drawTrail(
  ctx: CanvasRenderingContext2D,
  view: View,
  places: (Point | null)[],
  color: string,
) {
  ctx.lineCap = "round";
  for (let n = 1; n < places.length; n++) {
    const [from, to] = [places[n - 1], places[n]];
    if (!from || !to) continue;
    const [a, b] = [toScreen(view, from), toScreen(view, to)];
    const age = n / places.length;
    for (const [width, style] of [
      [2 + 2 * age + 2, `rgba(0,0,0,${0.35 * age})`],
      [1 + 2.5 * age, color],
    ] as const) {
      ctx.globalAlpha = style === color ? 0.15 + 0.85 * age : 1;
      ctx.strokeStyle = style;
      ctx.lineWidth = width;
      ctx.beginPath();
      ctx.moveTo(...a);
      ctx.lineTo(...b);
      ctx.stroke();
    }
  }
  ctx.globalAlpha = 1;
}
