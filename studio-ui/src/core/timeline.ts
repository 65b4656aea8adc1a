// Frames, times and stretches of frames. A stretch is [first, past the last].

export type Stretch = [number, number];

/** So many sure frames between two doubtful ones part no stretch. */
const GAP = 3;

export function clampFrame(frame: number, frames: number): number {
  return Math.max(0, Math.min(frames - 1, Math.round(frame)));
}

/** The frame on show at `seconds`: the last one whose time is not later. */
export function frameAtTime(times: number[], seconds: number): number {
  let [low, high] = [0, times.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (times[middle]! <= seconds) low = middle;
    else high = middle - 1;
  }
  return Math.max(0, low);
}

/** When the frames [from, to) are over: the last one lasts as long as the one before it. */
export function endTime(times: number[], to: number): number {
  const next = times[to];
  if (next !== undefined) return next;
  const [last, before] = [times[to - 1] ?? 0, times[to - 2]];
  return last + (before === undefined ? 1 / 25 : last - before);
}

export function stretchesOf(flags: boolean[], start = 0): Stretch[] {
  const found: Stretch[] = [];
  flags.forEach((flag, i) => {
    const last = found.at(-1);
    if (!flag) return;
    if (last && last[1] === start + i) last[1] += 1;
    else found.push([start + i, start + i + 1]);
  });
  return found;
}

/** Stretches in order, with those that touch or overlap made one. */
export function merged(stretches: Stretch[]): Stretch[] {
  const out: Stretch[] = [];
  for (const [from, to] of stretches.filter(([a, b]) => b > a).sort((a, b) => a[0] - b[0])) {
    const last = out.at(-1);
    if (last && from <= last[1]) last[1] = Math.max(last[1], to);
    else out.push([from, to]);
  }
  return out;
}

/**
 * Stretches of frames that are less sure than `below`. A few sure frames between two of them are
 * taken in, frames of which nothing is known are not.
 */
export function doubtful(reliability: (number | null)[], start: number, below: number): Stretch[] {
  const found = stretchesOf(
    reliability.map((value) => value !== null && value < below),
    start,
  );
  const joined: Stretch[] = [];
  for (const [from, to] of found) {
    const last = joined.at(-1);
    const between = last ? reliability.slice(last[1] - start, from - start) : [];
    if (last && between.length <= GAP && !between.includes(null)) last[1] = to;
    else joined.push([from, to]);
  }
  return joined;
}

/** First frame of the next stretch after `frame`; round to the first one at the end. */
export function nextStart(stretches: Stretch[], frame: number): number | null {
  const starts = merged(stretches).map(([from]) => from);
  return starts.find((start) => start > frame) ?? starts[0] ?? null;
}
export function previousStart(stretches: Stretch[], frame: number): number | null {
  const starts = merged(stretches).map(([from]) => from);
  return starts.findLast((start) => start < frame) ?? starts.at(-1) ?? null;
}

/** A stretch of one object, named by its key; `at`: a frame in it that is among the least sure. */
export type Stop = { key: string; stretch: Stretch; at: number };

/** Stops within one stretch: so many at most, and so many frames apart at least. */
const MOST = 5;
const APART = 12;

/**
 * The frames of a stretch to stop at, in order: the one that is least sure, the first of several,
 * and in a long stretch the least sure ones of what is left on either side, as each may be wrong
 * for a reason of its own. Frames that the tracker is sure of, or knows nothing of, are none.
 */
function leastSureIn(
  reliability: (number | null)[],
  start: number,
  [from, to]: Stretch,
  below: number,
): number[] {
  const frames = reliability
    .slice(from - start, to - start)
    .map((value, at) => ({ at: from + at, value: value ?? 1 }))
    .filter(({ value }) => value < below)
    .sort((a, b) => a.value - b.value); // keeps the order of equal ones
  const apart = Math.max(APART, Math.ceil((to - from) / MOST)); // so that they reach its end
  const found: number[] = [];
  for (const { at } of frames) {
    if (found.every((one) => Math.abs(at - one) >= apart)) found.push(at);
  }
  return found.sort((a, b) => a - b);
}

/** All doubtful stretches by their least sure frames; of one frame, in the order of the objects. */
export function doubtfulStops(
  reliability: Record<string, (number | null)[]>,
  keys: string[],
  start: number,
  below: (key: string) => number,
): Stop[] {
  return keys
    .flatMap((key) =>
      doubtful(reliability[key] ?? [], start, below(key)).flatMap((stretch) =>
        leastSureIn(reliability[key] ?? [], start, stretch, below(key)).map((at) => {
          return { key, stretch, at };
        }),
      ),
    )
    .sort((a, b) => a.at - b.at); // keeps the order of those of one frame
}

/** So many of the least sure frames are worth a look where nothing is doubtful. */
const LEAST = 3;

/**
 * The frames that are least sure, where no stretch is doubtful: a few, by their place in time, each
 * apart from the others by a tenth of what was tracked. None where all are as sure.
 */
export function leastSure(
  reliability: Record<string, (number | null)[]>,
  keys: string[],
  start: number,
): Stop[] {
  const frames = keys.flatMap((key) =>
    (reliability[key] ?? []).map((value, at) => ({ key, at, value: value ?? 1 })),
  );
  const count = Math.max(0, ...keys.map((key) => reliability[key]?.length ?? 0));
  const found: typeof frames = [];
  for (const one of frames.filter(({ value }) => value < 1).sort((a, b) => a.value - b.value)) {
    if (found.length === LEAST) break;
    if (found.every(({ at }) => Math.abs(at - one.at) * 10 >= count)) found.push(one);
  }
  return found
    .sort((a, b) => a.at - b.at)
    .map(({ key, at }) => ({ key, stretch: [start + at, start + at + 1], at: start + at }));
}

/**
 * The stop after, or before, the one that a person is at: on its least sure frame, with its object
 * picked. From elsewhere the nearest one that way, which may be on this very frame. `wrapped`: it
 * went round the end.
 */
export function nextStop(
  stops: Stop[],
  at: { frame: number; key: string | null },
  forward = true,
): { stop: Stop; wrapped: boolean } | null {
  if (!stops.length) return null;
  const here = stops.findIndex((one) => one.at === at.frame && one.key === at.key);
  let to: number;
  if (here >= 0) to = here + (forward ? 1 : -1);
  else if (forward) to = stops.findIndex((one) => one.at >= at.frame);
  else to = stops.findLastIndex((one) => one.at <= at.frame);
  const wrapped = to < 0 || to >= stops.length;
  if (wrapped) to = forward ? 0 : stops.length - 1;
  return { stop: stops[to]!, wrapped };
}

/** Frames between two ticks with numbers: 1, 2 or 5 times a power of ten. */
export function tickStep(frames: number, width: number, room = 64): number {
  const least = Math.max(1, (frames * room) / Math.max(1, width));
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((n) => n * power).find((step) => step >= least - 1e-9) ?? 10 * power;
}

export function clock(seconds: number): string {
  const whole = Math.floor(seconds);
  const hundredths = Math.floor((seconds - whole) * 100 + 1e-6);
  const two = (n: number) => String(n).padStart(2, "0");
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return `${h ? `${h}:${two(m)}` : m}:${two(s)}.${two(hundredths)}`;
}

/** "frames 12-59" as a person counts them: the last one included. */
export function named([from, to]: Stretch): string {
  return to - from === 1 ? `frame ${from}` : `frames ${from}-${to - 1}`;
}
