/**
 * Group commit: durability for many folders at the price of one sync a file system.
 *
 *     moved folders ─▶ group ─▶ syncfs of every target ─▶ sources unchanged? ─▶ mailbox database (durable)
 *                                                        ─▶ mapping database ─▶ -r ─▶ locks let go
 *
 * Invariants. A folder's lock is held until its group is committed. Nothing is published whose file system could not
 * be synced: those folders are thrown away and their device stops (a failed sync is never retried, design.md).
 * 3.x files go only after the database commit that published their folder (4x-store.md, promise 1).
 * A group closes 250 ms after its first folder, at GROUP_FOLDERS, or when nothing else is under way.
 */

/** Folders a group holds at most; with the time below it bounds how long locks are held. */
const GROUP_FOLDERS = 256;
const GROUP_MILLISECONDS = 250;

export interface Committer<T> {
  /** Hands over moved folders. Resolves at once, or when there is room again. */
  add(folders: readonly T[]): Promise<void>;
  /** Commits what waits and resolves when all is done. */
  drain(): Promise<void>;
}

/**
 * `commit` makes one group durable and publishes it; it must not throw for a reason that concerns one
 * folder only. What it throws reaches the next `add` or `drain`, and nothing more is committed: what waits then, and
 * what comes later, is handed to `discard`.
 */
export function createCommitter<T>(
  commit: (group: readonly T[]) => Promise<void>,
  discard: (folders: readonly T[]) => void = () => {},
): Committer<T> {
  const waiting: T[] = [];
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;
  /** What waits may wait no longer: its moment passed, or somebody drains, while a group was under way. */
  let due = false;
  let failure: { error: unknown } | undefined;

  const flush = (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    // Nothing to do: `run` would end before its promise is kept in `running`, and stay there for ever.
    if (waiting.length === 0) return running ?? Promise.resolve();
    if (running === undefined) running = run();
    else due = true;
    return running;
  };

  const run = async (): Promise<void> => {
    try {
      do {
        due = false;
        await commit(waiting.splice(0, GROUP_FOLDERS));
      } while (waiting.length > 0 && (due || waiting.length >= GROUP_FOLDERS));
    } catch (error) {
      failure = { error };
      discard(waiting.splice(0));
    } finally {
      running = undefined;
      // Those that came meanwhile are the next group; committing them at once would make many small ones.
      if (waiting.length > 0) timer ??= setTimeout(() => void flush(), GROUP_MILLISECONDS);
    }
  };

  const rethrow = (): void => {
    if (failure !== undefined) throw failure.error;
  };

  return {
    async add(folders) {
      if (failure !== undefined) discard(folders);
      rethrow();
      waiting.push(...folders);
      if (waiting.length === 0) return;
      if (waiting.length >= GROUP_FOLDERS) {
        // Whoever fills a group pays for it: this is the bound on folders that are moved and not committed.
        await flush();
        rethrow();
      } else {
        timer ??= setTimeout(() => void flush(), GROUP_MILLISECONDS);
      }
    },
    async drain() {
      while (waiting.length > 0 && failure === undefined) await flush();
      clearTimeout(timer);
      await running;
      rethrow();
    },
  };
}

/**
 * Joins calls that come while one is under way into the next: many lanes ask for their records to be made
 * durable, one transaction serves them all.
 */
export function createBatcher<T>(
  write: (items: readonly T[]) => Promise<void>,
): (items: readonly T[]) => Promise<void> {
  let pending: { items: T[]; done: Promise<void> } | undefined;
  let last: Promise<void> = Promise.resolve();

  return (items) => {
    if (items.length === 0) return Promise.resolve();
    if (pending !== undefined) {
      pending.items.push(...items);
      return pending.done;
    }
    const batch = { items: [...items], done: Promise.resolve() };
    batch.done = last
      .catch(() => undefined)
      .then(() => {
        pending = undefined;
        return write(batch.items);
      });
    last = batch.done;
    pending = batch;
    return batch.done;
  };
}
