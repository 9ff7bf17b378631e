/** An index in memory, for tests and measurements: the product writes its indexes to files only. */
import type { ByteSink } from '../../src/store/index/io.js';

/** Bytes that grow by doubling; `position` may lie behind the end, the gap holds zeros. */
export class MemorySink implements ByteSink {
  private buffer = new Uint8Array(4096);
  private length = 0;

  write(data: Uint8Array, position: number): void {
    const end = position + data.length;
    if (end > this.buffer.length) {
      const larger = new Uint8Array(Math.max(end, this.buffer.length * 2));
      larger.set(this.buffer.subarray(0, this.length));
      this.buffer = larger;
    }
    this.buffer.set(data, position);
    this.length = Math.max(this.length, end);
  }

  /** What was written so far; a view that later writes may change. */
  bytes(): Uint8Array {
    return this.buffer.subarray(0, this.length);
  }
}
