// How long the work under way will still take.

import type { Job } from "./state.ts";

/** Since when (ms) a job was watched, and what it had done by then. */
export type Pace = { kind: string; since: number; from: number };

const SOONEST = 4000;
const FEWEST = 3;

/**
 * Begins with the first frame that a job has done, which took its preparations too; where colours
 * go back from a frame with the second one, before which all that are gone over are read.
 */
export function paceAfter(pace: Pace | null, job: Job | null, now: number): Pace | null {
  if (!job || job.done < (job.kind === "color" ? 2 : 1)) return null;
  const goesOn = pace?.kind === job.kind && job.done >= pace.from;
  return goesOn ? pace : { kind: job.kind, since: now, from: job.done };
}

/** "about 2 min left"; nothing where it cannot be told yet. */
export function timeLeft(pace: Pace | null, job: Job | null, now: number): string {
  if (!pace || !job?.total || pace.kind !== job.kind) return "";
  const [done, spent] = [job.done - pace.from, now - pace.since];
  if (done < FEWEST || spent < SOONEST) return "";
  const seconds = ((job.total - job.done) * spent) / done / 1000;
  if (seconds < 8) return "a few seconds left";
  if (seconds < 55) return `about ${Math.ceil(seconds / 10) * 10} s left`;
  if (seconds < 90) return "about 1 min left";
  const minutes = Math.round(seconds / 60);
  return minutes < 60
    ? `about ${minutes} min left`
    : `about ${Math.floor(minutes / 60)} h ${minutes % 60} min left`;
}
