// What a person has settled is not doubtful any more, whatever the tracker thought of it.

import { type Item, markOf, marksOn, type Project } from "./state.ts";
import type { Stretch } from "./timeline.ts";

const holds = (stretches: Stretch[], frame: number) =>
  stretches.some(([from, to]) => frame >= from && frame < to);

/** Whether a person said near this frame that an item is gone, and the track has it so too. */
export function isGone(project: Project, item: Item, frame: number): boolean {
  const result = project.result;
  if (!result) return false;
  const at = frame - result.start;
  const raw = result.reliability[item.key]?.[at];
  const stale = holds(result.staleOf?.[item.key] ?? [], frame);
  const absent = result.present[item.key]?.[at] === false;
  return absent && !stale && typeof raw === "number" && unsettled(project, item)[at] === null;
}

/**
 * How sure the track of an item is on each frame of the result, null where nothing is left to
 * doubt: on frames that are marked; on those around "gone here" on which it is indeed absent; and
 * on the rest of a doubtful stretch that was marked and is not tracked anew yet.
 */
export function unsettled(project: Project, item: Item): (number | null)[] {
  const result = project.result;
  const values = [...(result?.reliability[item.key] ?? [])];
  if (!result) return values;
  const { start } = result;
  const below = result.doubtfulBelow[item.kind];
  const present = result.present[item.key];
  const stale = result.staleOf?.[item.key] ?? [];
  const doubted = values.map((value) => value !== null && value < below);
  for (const name of Object.keys(project.marks)) {
    const frame = Number(name);
    const said = markOf(marksOn(project, frame), item);
    const at = frame - start;
    if (said === null || at < 0 || at >= values.length) continue;
    values[at] = null;
    for (const way of [-1, 1]) {
      for (let i = at + way; doubted[i]; i += way) {
        const absent = said === "gone" && present?.[i] === false;
        if (!absent && !holds(stale, start + i)) break;
        values[i] = null;
      }
    }
  }
  return values;
}
