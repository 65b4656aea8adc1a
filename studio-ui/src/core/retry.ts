// When what failed may be asked for again: each time after twice the pause. No DOM, no clock.

const FIRST = 500;
const LONGEST = 30_000;

export class Retry {
  #failed = new Map<number, { times: number; until: number }>();

  /** Whether something may be asked for at the time `now` (ms). */
  may(key: number, now: number): boolean {
    return now >= (this.#failed.get(key)?.until ?? 0);
  }

  /** It failed; returns for how many ms it is to be let be. */
  fail(key: number, now: number): number {
    const times = (this.#failed.get(key)?.times ?? 0) + 1;
    const pause = Math.min(LONGEST, FIRST * 2 ** (times - 1));
    this.#failed.set(key, { times, until: now + pause });
    return pause;
  }

  done(key: number) {
    this.#failed.delete(key);
  }

  clear() {
    this.#failed.clear();
  }
}
