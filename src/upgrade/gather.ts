/**
 * Migration records gather for a moment before a transaction makes them durable: a sync costs the disk as much for one
 * record as for twenty, and holds up those that link meanwhile.
 *
 *     prepared ─▶ gather ─▶ one transaction ─▶ move
 *                    └ at most four times as long as the last one took, 100 ms at most,
 *                      and no moment longer than the threads have something else to do
 *
 * Invariant: a promise of `add` resolves when the items are durable, or fails with what failed the write of them.
 */

/** Of the time between the first record and the end of its transaction, what the transaction takes. */
const WRITE_SHARE = 1 / 4;
const MILLISECONDS_AT_MOST = 100;

export interface Gatherer<T> {
  add(items: readonly T[]): Promise<void>;
  /** Writes what has gathered now. */
  flush(): void;
}

interface Gathering<T> {
  readonly items: T[];
  readonly done: Promise<void>;
  readonly start: () => void;
}

/** @param isUrgent somebody waits for the items and has nothing else to do */
export function createGatherer<T>(write: (items: readonly T[]) => Promise<void>, isUrgent: () => boolean): Gatherer<T> {
  let gathering: Gathering<T> | undefined;
  let lastMs = 0;

  const begin = (): Gathering<T> => {
    const items: T[] = [];
    let start = (): void => {};
    const started = new Promise<void>((resolve) => {
      start = resolve;
    });
    const timer = setTimeout(() => start(), Math.min(lastMs / WRITE_SHARE, MILLISECONDS_AT_MOST));
    const done = started.then(async () => {
      clearTimeout(timer);
      gathering = undefined;
      const beganMs = performance.now();
      await write(items);
      lastMs = performance.now() - beganMs;
    });
    return { items, done, start };
  };

  return {
    add(items) {
      if (items.length === 0) return Promise.resolve();
      gathering ??= begin();
      gathering.items.push(...items);
      if (isUrgent()) gathering.start();
      return gathering.done;
    },
    flush() {
      gathering?.start();
    },
  };
}
