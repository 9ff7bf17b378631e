/**
 * Memory of plans that are over, for plans to come. V8 frees shared memory when each thread that had a reference has
 * collected it, and a thread that makes few objects collects seldom: the plans of a long run would be with us by the
 * hundred.
 *
 *     main   takeMemory ─▶ PrepareFolder.memory ─▶ thread: its plan, in there or in memory of its own
 *            ◀─ keepMemory, when the folder is released: no thread and nobody here looks at its plan any more
 */
import { PIECE, type SharedTable } from './shared.js';

/** Of all that is kept; what a giant folder needed is not. */
const MOST_BYTES = 32 << 20;

export type PlanMemory = SharedArrayBuffer[];

/** The smallest piece of `bytes` at least; null for none, and for a small folder. */
export function takeMemory(kept: PlanMemory, bytes: number): SharedArrayBuffer | null {
  if (bytes <= PIECE) return null;
  let best = -1;
  for (const [i, { byteLength }] of kept.entries()) {
    if (byteLength >= bytes && (best < 0 || byteLength < kept[best]!.byteLength)) best = i;
  }
  return best < 0 ? null : kept.splice(best, 1)[0]!;
}

/** A piece that several folders share is not kept: the others may be under way. */
export function keepMemory(kept: PlanMemory, { memory, isWhole }: SharedTable): void {
  if (!isWhole || memory.byteLength <= PIECE) return;
  const bytes = kept.reduce((sum, { byteLength }) => sum + byteLength, memory.byteLength);
  if (bytes <= MOST_BYTES) kept.push(memory);
}
