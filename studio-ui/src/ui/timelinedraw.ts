// Draws the timeline's canvases: ruler, results, marks, loop, and a reliability strip per object.

import { parseColor } from "../core/masks.ts";
import { unsettled } from "../core/settled.ts";
import { atX, isWhole, type Shown, whole, xOf, xOfFrame } from "../core/shown.ts";
import { markedFrames, markOf, marksOn, type Project } from "../core/state.ts";
import { doubtful, merged, type Stretch, tickStep } from "../core/timeline.ts";

export const RULER = 26;
export const LANE = 20;
export const STRIP = 22;
export const OVERVIEW = 10;

export type Colors = Record<
  "text" | "muted" | "line" | "accent" | "warn" | "lane" | "panel",
  string
>;

const NAMES = ["text", "muted", "line", "accent", "warn", "lane", "panel"] as const;
let held: { theme: string; colors: Colors } | null = null;

/** The page's colours as a canvas takes them; asked for anew when the theme changes. */
export function colorsOf(element: Element): Colors {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const theme = `${document.documentElement.dataset.theme}/${dark}`;
  if (held?.theme === theme) return held.colors;
  const probe = element.appendChild(document.createElement("i"));
  const read = (name: string) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const colors = Object.fromEntries(NAMES.map((name) => [name, read(name)])) as Colors;
  probe.remove();
  held = { theme, colors };
  return colors;
}

/** Sets a canvas up for its place on the page; null where it has none. */
export function prepare(canvas: HTMLCanvasElement, height: number) {
  const width = canvas.clientWidth;
  if (!width) return null;
  const ratio = devicePixelRatio;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w) canvas.width = w;
  if (canvas.height !== h) canvas.height = h;
  const ctx = canvas.getContext("2d")!;
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.clearRect(0, 0, width, height);
  return { ctx, width };
}

/** Left edge and width of a stretch, as far as it is in sight; null where it is not. */
function span(stretch: Stretch, width: number, shown: Shown): [number, number] | null {
  const [from, to] = [xOf(stretch[0], width, shown), xOf(stretch[1], width, shown)];
  if (to < 0 || from > width) return null;
  const left = Math.max(0, from);
  return [left, Math.max(1, Math.min(width, to) - left)];
}

export function hatch(
  ctx: CanvasRenderingContext2D,
  [x, y, w, h]: [number, number, number, number],
  color: string,
) {
  ctx.save();
  ctx.beginPath();
  ctx.rect(x, y, w, h);
  ctx.clip();
  ctx.globalAlpha = 0.6;
  ctx.strokeStyle = color;
  ctx.lineWidth = 1.25;
  ctx.beginPath();
  for (let at = x - h - (x % 7); at < x + w; at += 7) {
    ctx.moveTo(at, y + h);
    ctx.lineTo(at + h, y);
  }
  ctx.stroke();
  ctx.restore();
}

export function drawPlayhead(
  ctx: CanvasRenderingContext2D,
  x: number,
  top: number,
  height: number,
  colors: Colors,
) {
  ctx.fillStyle = colors.accent;
  ctx.fillRect(Math.round(x) - 1, top, 2, height);
}

function drawTicks(ctx: CanvasRenderingContext2D, width: number, shown: Shown, colors: Colors) {
  ctx.font = "11px system-ui, sans-serif";
  ctx.textBaseline = "middle";
  const every = Math.max(1, tickStep(shown[1] - shown[0], width));
  for (let frame = Math.floor(shown[0] / every) * every; frame < shown[1]; frame += every) {
    const x = xOfFrame(frame, width, shown);
    if (x < 0) continue;
    ctx.fillStyle = colors.line;
    ctx.fillRect(Math.round(x), RULER - 5, 1, 5);
    ctx.fillStyle = colors.muted;
    const text = String(frame);
    const half = ctx.measureText(text).width / 2;
    if (x + half < width) ctx.fillText(text, Math.max(1, x - half), 8);
  }
}

function drawResult(
  ctx: CanvasRenderingContext2D,
  result: NonNullable<Project["result"]>,
  width: number,
  shown: Shown,
  colors: Colors,
) {
  const done = span([result.start, result.end], width, shown);
  if (!done) return;
  ctx.globalAlpha = 0.28;
  ctx.fillStyle = colors.accent;
  ctx.fillRect(done[0], RULER, done[1], LANE);
  ctx.globalAlpha = 1;
  for (const stretch of merged(result.stale)) {
    const stale = span(stretch, width, shown);
    if (!stale) continue;
    ctx.fillStyle = colors.lane;
    ctx.fillRect(stale[0], RULER, stale[1], LANE);
    hatch(ctx, [stale[0], RULER, stale[1], LANE], colors.muted);
  }
  for (const cut of result.cuts) {
    ctx.fillStyle = colors.text;
    ctx.fillRect(Math.round(xOf(cut, width, shown)) - 1, RULER, 2, LANE);
  }
}

/** What is not to be tracked is faint. */
function drawRest(
  ctx: CanvasRenderingContext2D,
  range: Stretch,
  { top, height, width }: { top: number; height: number; width: number },
  shown: Shown,
  colors: Colors,
) {
  ctx.globalAlpha = 0.75;
  ctx.fillStyle = colors.panel;
  const [x, end] = range.map((at) => Math.max(0, Math.min(width, xOf(at, width, shown))));
  ctx.fillRect(0, top, x!, height);
  ctx.fillRect(end!, top, width - end!, height);
  ctx.globalAlpha = 1;
}

function drawLoop(
  ctx: CanvasRenderingContext2D,
  loop: Stretch,
  width: number,
  shown: Shown,
  color: string,
) {
  const seen = span(loop, width, shown);
  if (!seen) return;
  ctx.fillStyle = color;
  ctx.fillRect(seen[0], RULER - 3, seen[1], 3);
  const [from, to] = loop.map((at) => xOf(at, width, shown));
  ctx.fillRect(from!, RULER - 7, 2, 7);
  ctx.fillRect(to! - 2, RULER - 7, 2, 7);
}

/** A mark; hollow without a fill. */
function drawDiamond(
  ctx: CanvasRenderingContext2D,
  [x, y]: [number, number],
  size: number,
  fill: string | null,
  colors: Colors,
) {
  ctx.beginPath();
  ctx.moveTo(x, y - size);
  ctx.lineTo(x + size, y);
  ctx.lineTo(x, y + size);
  ctx.lineTo(x - size, y);
  ctx.closePath();
  ctx.fillStyle = fill ?? colors.panel;
  ctx.fill();
  ctx.lineWidth = 1.5;
  ctx.strokeStyle = fill ? colors.panel : colors.text;
  ctx.stroke();
}

export type Playing = {
  frame: number;
  marked: number[];
  loop: Stretch | null;
  looping: boolean;
  job: number;
  shown: Shown;
  doubtful: Stretch[];
};

export function drawMain(
  canvas: HTMLCanvasElement,
  project: Project,
  view: Playing,
  colors: Colors,
) {
  const ready = prepare(canvas, RULER + LANE);
  if (!ready) return;
  const { ctx, width } = ready;
  const { shown } = view;
  drawTicks(ctx, width, shown, colors);
  ctx.fillStyle = colors.lane;
  ctx.beginPath();
  ctx.roundRect(0, RULER, width, LANE, 4);
  ctx.fill();
  if (project.result) drawResult(ctx, project.result, width, shown, colors);
  const range = project.settings.range;
  if (range) drawRest(ctx, range, { top: RULER, height: LANE, width }, shown, colors);
  if (view.job >= 0) {
    ctx.fillStyle = colors.accent;
    const wide = Math.max(3, width / (shown[1] - shown[0]));
    ctx.fillRect(xOf(view.job, width, shown), RULER + LANE - 3, wide, 3);
  }
  if (view.loop) {
    drawLoop(ctx, view.loop, width, shown, view.looping ? colors.accent : colors.muted);
  }
  for (const frame of view.marked) {
    const [x, y] = [xOfFrame(frame, width, shown), RULER + LANE / 2];
    drawDiamond(ctx, [x, y], 6, frame === view.frame ? colors.accent : colors.text, colors);
  }
  const head = xOfFrame(view.frame, width, shown);
  drawPlayhead(ctx, head, RULER - 6, LANE + 6, colors);
  ctx.beginPath();
  ctx.moveTo(head - 5, RULER - 11);
  ctx.lineTo(head + 5, RULER - 11);
  ctx.lineTo(head + 5, RULER - 6);
  ctx.lineTo(head, RULER - 1);
  ctx.lineTo(head - 5, RULER - 6);
  ctx.closePath();
  ctx.fill();
}

/** All of the clip in a thin line, and what of it the timeline shows; nothing where that is all. */
export function drawOverview(
  canvas: HTMLCanvasElement,
  project: Project,
  view: Playing,
  colors: Colors,
) {
  const ready = prepare(canvas, OVERVIEW);
  const frames = project.video.frames;
  if (!ready || isWhole(view.shown, frames)) return;
  const { ctx, width } = ready;
  const all = whole(frames);
  ctx.fillStyle = colors.lane;
  ctx.beginPath();
  ctx.roundRect(0, 2, width, OVERVIEW - 4, 3);
  ctx.fill();
  ctx.fillStyle = colors.accent;
  const done = project.result && span([project.result.start, project.result.end], width, all);
  ctx.globalAlpha = 0.28;
  if (done) ctx.fillRect(done[0], 2, done[1], OVERVIEW - 4);
  const [from, to] = view.shown.map((at) => xOf(at, width, all));
  const wide = Math.max(12, to! - from!);
  const left = Math.min(width - wide, (from! + to! - wide) / 2);
  ctx.fillStyle = colors.text;
  ctx.globalAlpha = 0.18;
  ctx.fillRect(Math.max(0, left), 0, wide, OVERVIEW);
  ctx.globalAlpha = 1;
  ctx.strokeStyle = colors.muted;
  ctx.strokeRect(Math.max(0, left) + 0.5, 0.5, wide - 1, OVERVIEW - 1);
  ctx.fillStyle = colors.warn;
  for (const stretch of view.doubtful) {
    const [x, w] = span(stretch, width, all) ?? [0, 0];
    ctx.fillRect(x, 2, w, 2);
  }
  ctx.fillStyle = colors.text;
  for (const frame of view.marked) {
    ctx.fillRect(xOfFrame(frame, width, all) - 1, 3, 2, OVERVIEW - 6);
  }
  drawPlayhead(ctx, xOfFrame(view.frame, width, all), 0, OVERVIEW, colors);
}

/** Per object: a bar as high as the track is reliable; what is doubtful stands out. */
export function drawStrips(
  canvas: HTMLCanvasElement,
  project: Project,
  { frame, job, shown }: Pick<Playing, "frame" | "job" | "shown">,
  colors: Colors,
) {
  const items = project.objects;
  const ready = prepare(canvas, items.length * STRIP);
  if (!ready) return;
  const { ctx, width } = ready;
  const result = project.result;
  items.forEach((item, row) => {
    const top = row * STRIP + 3;
    const room = STRIP - 6;
    ctx.fillStyle = colors.lane;
    ctx.beginPath();
    ctx.roundRect(0, top, width, room, 3);
    ctx.fill();
    const values = result?.reliability[item.key];
    if (!result || !values) return;
    const doubted = unsettled(project, item);
    const below = result.doubtfulBelow[item.kind];
    const present = result.present[item.key];
    const rgb = parseColor(item.color).join();
    // One column per pixel, as low as the least reliable of its frames.
    const x0 = Math.max(0, xOf(result.start, width, shown));
    const x1 = Math.min(width, xOf(result.end, width, shown));
    if (x1 <= x0) return;
    ctx.beginPath();
    ctx.moveTo(x0, top + room);
    const doubts: [number, number][] = [];
    for (let x = Math.floor(x0); x < x1; x++) {
      const from = Math.max(0, Math.floor(atX(x, width, shown)) - result.start);
      const to = Math.max(from + 1, Math.floor(atX(x + 1, width, shown)) - result.start);
      const column = values.slice(from, to).filter((value) => value !== null);
      const seen = !present || present.slice(from, to).includes(true);
      const value = Math.min(1, ...column);
      const height = seen ? Math.max(2, value * room) : 0;
      ctx.lineTo(Math.max(x, x0), top + room - height);
      ctx.lineTo(Math.min(x + 1, x1), top + room - height);
      if (doubted.slice(from, to).some((one) => one !== null && one < below)) {
        const last = doubts.at(-1);
        if (last && last[1] === x) last[1] = x + 1;
        else doubts.push([x, x + 1]);
      }
    }
    ctx.lineTo(x1, top + room);
    ctx.closePath();
    ctx.fillStyle = `rgba(${rgb},0.42)`;
    ctx.fill();
    ctx.fillStyle = colors.warn;
    for (const [from, to] of doubts) ctx.fillRect(from, top, to - from, 3);
    ctx.globalAlpha = 0.45; // a few sure frames part no stretch
    for (const stretch of doubtful(doubted, result.start, below)) {
      const whole = span(stretch, width, shown);
      if (whole) ctx.fillRect(whole[0], top, whole[1], 3);
    }
    ctx.globalAlpha = 1;
    for (const [from, to] of merged(
      result.staleOf ? (result.staleOf[item.key] ?? []) : result.stale,
    )) {
      if (to <= job + 1) continue; // done anew
      const stale = span([Math.max(from, job + 1), to], width, shown);
      if (stale) hatch(ctx, [stale[0], top, stale[1], room], colors.muted);
    }
  });
  items.forEach((item, row) => {
    for (const at of markedFrames(project, item)) {
      const x = xOfFrame(at, width, shown);
      if (x < -5 || x > width + 5) continue;
      const gone = markOf(marksOn(project, at), item) === "gone";
      drawDiamond(ctx, [x, row * STRIP + STRIP / 2], 4, gone ? null : colors.text, colors);
    }
  });
  const height = items.length * STRIP;
  const range = project.settings.range;
  if (range) drawRest(ctx, range, { top: 0, height, width }, shown, colors);
  drawPlayhead(ctx, xOfFrame(frame, width, shown), 0, height, colors);
}
