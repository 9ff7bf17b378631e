/**
 * Each of several threads has loaded its code: each gets a task that ends when all have one.
 *
 *     main thread   meet         one task a thread; one that fails lets the others go
 *     thread        waitForAll   comes, and leaves when all have come
 */

/** Sends each of `threads` threads a task that calls `waitForAll` with what `send` is given; resolves to how each ended. */
export function meet<T>(
  threads: number,
  send: (barrier: { readonly arrived: Int32Array; readonly threads: number }) => Promise<T>,
): Promise<T>[] {
  const arrived = new Int32Array(new SharedArrayBuffer(4));
  return Array.from({ length: threads }, () =>
    send({ arrived, threads }).catch((error: unknown) => {
      Atomics.add(arrived, 0, threads);
      Atomics.notify(arrived, 0);
      throw error;
    }),
  );
}

/**
 * Resolves when each thread has loaded its code. Rejects with why one has not, and only when those that are started in
 * the place of ones that ended are no longer loading either: Node 20 ends the process when a thread is stopped meanwhile.
 */
export async function meetLoaded(threads: number, send: Parameters<typeof meet<unknown>>[1]): Promise<void> {
  const ended = await Promise.allSettled(meet(threads, send));
  const failed = ended.find((end) => end.status === 'rejected');
  if (failed === undefined) return;
  await Promise.allSettled(meet(threads, send));
  throw failed.reason;
}

/** Returns when `threads` threads have come here: each of them then has loaded its code. */
export function waitForAll(arrived: Int32Array, threads: number): void {
  Atomics.add(arrived, 0, 1);
  Atomics.notify(arrived, 0);
  for (let now = Atomics.load(arrived, 0); now < threads; now = Atomics.load(arrived, 0))
    Atomics.wait(arrived, 0, now, 1_000);
}
