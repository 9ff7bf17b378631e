/**
 * Calls that come while one is due, or under way, become the next one together: one transaction serves many lanes.
 *
 *     call ─▶ wait … ─▶ write, with the items of all calls that came meanwhile
 *
 * Invariant: what a call returns resolves when its items are written, or fails with what failed the write of them.
 */

export type Join<T> = (items: readonly T[]) => Promise<void>;

/** @param wait from the first call of a write until that begins; must not reject */
export function joinCalls<T>(write: (items: readonly T[]) => Promise<void>, wait: () => Promise<void>): Join<T> {
  let next: { readonly items: T[]; readonly done: Promise<void> } | undefined;

  const begin = () => {
    const items: T[] = [];
    const done = wait().then(() => {
      next = undefined;
      return write(items);
    });
    return { items, done };
  };

  return (items) => {
    if (items.length === 0) return Promise.resolve();
    next ??= begin();
    next.items.push(...items);
    return next.done;
  };
}

/** Writes one after the other: calls that come during a write wait for its end. */
export function createBatcher<T>(write: (items: readonly T[]) => Promise<void>): Join<T> {
  let last: Promise<void> = Promise.resolve();
  const join = joinCalls(write, () => last.catch(() => {}));
  return (items) => {
    if (items.length === 0) return Promise.resolve();
    last = join(items);
    return last;
  };
}
