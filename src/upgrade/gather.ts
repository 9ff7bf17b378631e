/**
 * Migration records gather for a moment before a transaction makes them durable: a sync costs the disk as much for one
 * record as for twenty, and holds up those that link meanwhile.
 *
 *     prepared ─▶ gather ─▶ one transaction ─▶ move
 *                    └ at most four times as long as the last one took, 100 ms at most,
 *                      and no moment longer than the threads have something else to do
 */

import { joinCalls } from './joined.js';

/** Of the time between the first record and the end of its transaction, what the transaction takes. */
const WRITE_SHARE = 1 / 4;
const MILLISECONDS_AT_MOST = 100;

export interface Gatherer<T> {
  add(items: readonly T[]): Promise<void>;
  /** Writes what has gathered now. */
  flush(): void;
}

/** @param isUrgent somebody waits for the items and has nothing else to do */
export function createGatherer<T>(write: (items: readonly T[]) => Promise<void>, isUrgent: () => boolean): Gatherer<T> {
  let lastMs = 0;
  /** Of the items that gather. */
  let start = (): void => {};

  const untilDue = (): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.min(lastMs / WRITE_SHARE, MILLISECONDS_AT_MOST));
      start = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  const join = joinCalls<T>(async (items) => {
    const beganMs = performance.now();
    await write(items);
    lastMs = performance.now() - beganMs;
  }, untilDue);

  return {
    add(items) {
      const done = join(items);
      if (isUrgent()) start();
      return done;
    },
    flush: () => start(),
  };
}
