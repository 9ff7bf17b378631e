/** Returns when `threads` threads have come here: each of them then has loaded its code. */
export function waitForAll(arrived: Int32Array, threads: number): void {
  Atomics.add(arrived, 0, 1);
  Atomics.notify(arrived, 0);
  for (let now = Atomics.load(arrived, 0); now < threads; now = Atomics.load(arrived, 0))
    Atomics.wait(arrived, 0, now, 1_000);
}
