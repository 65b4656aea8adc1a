// Zoom and pan. The only module that knows where a pixel's centre is: video coordinates have
// their origin at the centre of the top-left pixel, so a video of width w spans [-0.5, w - 0.5].

export type Point = [number, number];
/** Screen pixel = (video coordinate + 0.5) * scale + (x, y), in CSS pixels of the canvas. */
export type View = { scale: number; x: number; y: number };
export type Size = { width: number; height: number };

export const MARGIN = 24;
const MOST = 64;

export function fit(video: Size, screen: Size, margin = MARGIN): View {
  const room = (length: number) => Math.max(1, length - 2 * margin);
  const scale = Math.min(room(screen.width) / video.width, room(screen.height) / video.height);
  return {
    scale,
    x: (screen.width - video.width * scale) / 2,
    y: (screen.height - video.height * scale) / 2,
  };
}

/**
 * A view of a part of the video, [left, top, right, bottom), with what is around it: at most `most`
 * times as large as the whole video is fitted.
 */
export function lookAt(
  video: Size,
  screen: Size,
  [left, top, right, bottom]: [number, number, number, number],
  most = 4,
): View {
  const whole = fit(video, screen);
  const around = 0.15 * Math.max(video.width, video.height);
  const part = { width: right - left + 2 * around, height: bottom - top + 2 * around };
  const scale = Math.min(most * whole.scale, fit(part, screen).scale);
  if (scale <= whole.scale) return whole;
  return {
    scale,
    x: screen.width / 2 - ((left + right) / 2) * scale,
    y: screen.height / 2 - ((top + bottom) / 2) * scale,
  };
}

export function toVideo(view: View, at: Point): Point {
  return [(at[0] - view.x) / view.scale - 0.5, (at[1] - view.y) / view.scale - 0.5];
}

export function toScreen(view: View, at: Point): Point {
  return [(at[0] + 0.5) * view.scale + view.x, (at[1] + 0.5) * view.scale + view.y];
}

/** Zooms by `factor` and keeps what is under `at` (screen) where it is. */
export function zoomAt(view: View, at: Point, factor: number, least = 0.02): View {
  const scale = Math.min(MOST, Math.max(least, view.scale * factor));
  const ratio = scale / view.scale;
  return { scale, x: at[0] - (at[0] - view.x) * ratio, y: at[1] - (at[1] - view.y) * ratio };
}

/** Moves the view, and never so far that less than a corner of the video is left to see. */
export function keepInSight(view: View, video: Size, screen: Size, least = 48): View {
  const hold = (at: number, length: number, room: number) =>
    Math.min(room - least, Math.max(least - length, at));
  return {
    scale: view.scale,
    x: hold(view.x, video.width * view.scale, screen.width),
    y: hold(view.y, video.height * view.scale, screen.height),
  };
}

/** What two fingers did: they were at `before`, are at `now` (screen). */
export function pinch(view: View, before: [Point, Point], now: [Point, Point]): View {
  const gap = ([a, b]: [Point, Point]) => Math.hypot(a[0] - b[0], a[1] - b[1]) || 1;
  const middle = ([a, b]: [Point, Point]): Point => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
  const [from, to] = [middle(before), middle(now)];
  const zoomed = zoomAt(view, from, gap(now) / gap(before));
  return { scale: zoomed.scale, x: zoomed.x + to[0] - from[0], y: zoomed.y + to[1] - from[1] };
}

export function inside(video: Size, at: Point): boolean {
  const [x, y] = at;
  return x >= -0.5 && y >= -0.5 && x < video.width - 0.5 && y < video.height - 0.5;
}

/** The nearest place within the video. */
export function clampTo(video: Size, at: Point): Point {
  return [
    Math.min(video.width - 1, Math.max(0, at[0])),
    Math.min(video.height - 1, Math.max(0, at[1])),
  ];
}

/** Width to ask frames at: enough for the screen's pixels, in few steps so that caches hit. */
export function frameWidth(video: Size, scale: number, ratio: number): number {
  const wanted = Math.min(video.width, video.width * scale * ratio);
  for (const width of [320, 640, 960, 1280, 1920, 2560]) {
    if (width >= wanted) return Math.min(width, video.width);
  }
  return video.width;
}
