// Draws the timeline's canvases: ruler, results, marks, loop, and a reliability strip per object.

import { parseColor } from "../core/masks.ts";
import { unsettled } from "../core/settled.ts";
import type { Project } from "../core/state.ts";
import { DOUBTFUL, merged, type Stretch, tickStep, xOfFrame } from "../core/timeline.ts";

export const RULER = 26;
export const LANE = 20;
export const STRIP = 22;

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

function span(stretch: Stretch, width: number, frames: number): [number, number] {
  const from = (stretch[0] / frames) * width;
  return [from, Math.max(1, (stretch[1] / frames) * width - from)];
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

export function drawMain(
  canvas: HTMLCanvasElement,
  project: Project,
  view: { frame: number; marked: number[]; loop: Stretch | null; looping: boolean; job: number },
  colors: Colors,
) {
  const height = RULER + LANE;
  const ready = prepare(canvas, height);
  if (!ready) return;
  const { ctx, width } = ready;
  const frames = project.video.frames;
  const cell = width / frames;

  ctx.font = "11px system-ui, sans-serif";
  ctx.textBaseline = "middle";
  const every = tickStep(frames, width);
  for (let frame = 0; frame < frames; frame += every) {
    const x = xOfFrame(frame, width, frames);
    ctx.fillStyle = colors.line;
    ctx.fillRect(Math.round(x), RULER - 5, 1, 5);
    ctx.fillStyle = colors.muted;
    const text = String(frame);
    const half = ctx.measureText(text).width / 2;
    if (x + half < width) ctx.fillText(text, Math.max(1, x - half), 8);
  }

  ctx.fillStyle = colors.lane;
  ctx.beginPath();
  ctx.roundRect(0, RULER, width, LANE, 4);
  ctx.fill();
  const result = project.result;
  if (result) {
    const [x, w] = span([result.start, result.end], width, frames);
    ctx.globalAlpha = 0.28;
    ctx.fillStyle = colors.accent;
    ctx.fillRect(x, RULER, w, LANE);
    ctx.globalAlpha = 1;
    for (const stretch of merged(result.stale)) {
      const [left, wide] = span(stretch, width, frames);
      ctx.fillStyle = colors.lane;
      ctx.fillRect(left, RULER, wide, LANE);
      hatch(ctx, [left, RULER, wide, LANE], colors.muted);
    }
    for (const cut of result.cuts) {
      ctx.fillStyle = colors.text;
      ctx.fillRect(Math.round((cut / frames) * width) - 1, RULER, 2, LANE);
    }
  }
  const range = project.settings.range;
  if (range) {
    // What is not to be tracked is faint.
    ctx.globalAlpha = 0.75;
    ctx.fillStyle = colors.panel;
    const [x, w] = span(range, width, frames);
    ctx.fillRect(0, RULER, x, LANE);
    ctx.fillRect(x + w, RULER, width - x - w, LANE);
    ctx.globalAlpha = 1;
  }
  if (view.job >= 0) {
    ctx.fillStyle = colors.accent;
    ctx.fillRect(view.job * cell, RULER + LANE - 3, Math.max(3, cell), 3);
  }
  if (view.loop) {
    const [x, w] = span(view.loop, width, frames);
    ctx.fillStyle = view.looping ? colors.accent : colors.muted;
    ctx.fillRect(x, RULER - 3, w, 3);
    ctx.fillRect(x, RULER - 7, 2, 7);
    ctx.fillRect(x + w - 2, RULER - 7, 2, 7);
  }
  for (const frame of view.marked) {
    const [x, y] = [xOfFrame(frame, width, frames), RULER + LANE / 2];
    ctx.beginPath();
    ctx.moveTo(x, y - 6);
    ctx.lineTo(x + 6, y);
    ctx.lineTo(x, y + 6);
    ctx.lineTo(x - 6, y);
    ctx.closePath();
    ctx.fillStyle = frame === view.frame ? colors.accent : colors.text;
    ctx.fill();
    ctx.lineWidth = 1.5;
    ctx.strokeStyle = colors.panel;
    ctx.stroke();
  }
  const head = xOfFrame(view.frame, width, frames);
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

/** Per object: a bar as high as the track is reliable; what is doubtful stands out. */
export function drawStrips(
  canvas: HTMLCanvasElement,
  project: Project,
  { frame, job }: { frame: number; job: number },
  colors: Colors,
) {
  const items = project.objects;
  const ready = prepare(canvas, items.length * STRIP);
  if (!ready) return;
  const { ctx, width } = ready;
  const frames = project.video.frames;
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
    const present = result.present[item.key];
    const rgb = parseColor(item.color).join();
    // One column per pixel, as low as the least reliable of its frames.
    const x0 = (result.start / frames) * width;
    const x1 = (result.end / frames) * width;
    ctx.beginPath();
    ctx.moveTo(x0, top + room);
    const doubts: [number, number][] = [];
    for (let x = Math.floor(x0); x < x1; x++) {
      const from = Math.max(0, Math.floor((x / width) * frames) - result.start);
      const to = Math.max(from + 1, Math.floor(((x + 1) / width) * frames) - result.start);
      const column = values.slice(from, to).filter((value) => value !== null);
      const seen = !present || present.slice(from, to).includes(true);
      const value = Math.min(1, ...column);
      const height = seen ? Math.max(2, value * room) : 0;
      ctx.lineTo(Math.max(x, x0), top + room - height);
      ctx.lineTo(Math.min(x + 1, x1), top + room - height);
      if (doubted.slice(from, to).some((one) => one !== null && one < DOUBTFUL)) {
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
    for (const [from, to] of merged(
      result.staleOf ? (result.staleOf[item.key] ?? []) : result.stale,
    )) {
      if (to <= job + 1) continue; // done anew
      const [x, w] = span([Math.max(from, job + 1), to], width, frames);
      hatch(ctx, [x, top, w, room], colors.muted);
    }
  });
  drawPlayhead(ctx, xOfFrame(frame, width, frames), 0, items.length * STRIP, colors);
}
