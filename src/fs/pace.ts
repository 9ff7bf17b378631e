/**
 * The pace of a run: one limit of bytes and one of operations a second for all threads together (`--bwlimit`, `--iops`).
 * Its memory is shared by the threads and by the addon; native/src/sys/pace.h has the same layout and the same rules:
 *
 *     0 int32  not zero: there is a limit       4 int32  number of changes so far
 *     8 int64  bytes a second, 0 no limit      16 int64  operations a second, 0 no limit
 *    24 int64  bytes: due at                   32 int64  operations: due at       (process.hrtime, nanoseconds)
 *    40 int64  bytes counted                   48 int64  operations counted
 *    56 int64  nanoseconds that threads waited, added up
 *
 * Every thread counts what it does in `spent`, and settles after each message: what was done is booked behind what all
 * others have booked (virtual scheduling, ITU-T I.371), and the thread waits until that is due. A change of the limits
 * forgives what is owed. Without a limit, or on a thread that is not armed, settling is one load.
 */
import { loadAddon } from './addon.js';

const BYTES = 64;
const LIMITED = 0;
const CHANGES = 1;
/** Slots of 64 bits. */
const SLOT = { rate: { bytes: 1, operations: 2 }, due: { bytes: 3, operations: 4 }, done: { bytes: 5, operations: 6 } };
const WAITED = 7;

/** Time without work that may be made up for, nanoseconds. */
export const BURST_NS = 100_000_000n;
/** Nobody waits longer than this; so no sum overflows. */
const LONGEST_NS = 10n ** 18n;
/** A wait sees the end of the run after this time; a change of the limits ends it at once. */
const NAP_MS = 50;
/** Bytes that a thread with a limit reads or writes at once. */
const PIECE_BYTES = 256 * 1024;
/** Node refuses to read or write 2 GiB or more at once. */
const TRANSFER_LIMIT = 1 << 30;

/** A second; 0 is no limit. */
export interface Limits {
  readonly bytes: number;
  readonly operations: number;
}

/** What was done while there was a limit. */
export interface Paced extends Limits {
  readonly waitedSeconds: number;
}

/** By this thread since it last settled, or was armed: bytes read and written; names looked at, files opened, made … */
export const spent = { bytes: 0, operations: 0 };

interface Armed {
  readonly words: Int32Array;
  readonly numbers: BigInt64Array;
  /** Slot 0 not zero ends every wait. */
  readonly cancel: Int32Array;
  /** Changes of the limits when this thread settled last. */
  changes: number;
}

let armed: Armed | undefined;

/** Without limits. */
export function makePace(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(BYTES));
}

/** Sets the limits; every thread goes by them after the message in hand. Only one thread may do this. */
export function setLimits(pace: Int32Array, { bytes, operations }: Limits): void {
  const numbers = numbersOf(pace);
  if (bytes > 0 || operations > 0) loadAddon()?.startPacing();
  // First the rate, then what is due: whoever has read the new `due` reads the new rate, and whoever has not, fails to
  // exchange it.
  const now = process.hrtime.bigint();
  Atomics.store(numbers, SLOT.rate.bytes, BigInt(bytes));
  Atomics.store(numbers, SLOT.due.bytes, now);
  Atomics.store(numbers, SLOT.rate.operations, BigInt(operations));
  Atomics.store(numbers, SLOT.due.operations, now);
  Atomics.add(pace, CHANGES, 1);
  Atomics.store(pace, LIMITED, bytes > 0 || operations > 0 ? 1 : 0);
  Atomics.notify(pace, CHANGES);
}

export function pacedOf(pace: Int32Array): Paced {
  const numbers = numbersOf(pace);
  return {
    bytes: Number(Atomics.load(numbers, SLOT.done.bytes)),
    operations: Number(Atomics.load(numbers, SLOT.done.operations)),
    waitedSeconds: Math.round(Number(Atomics.load(numbers, WAITED)) / 1e6) / 1000,
  };
}

/**
 * Whether the limit is what holds the threads back: of the time that may be made up for less than half is left. Where it is
 * not reached all of that is saved up in a moment, and where it is they spend it as it comes.
 */
export function isUsedUp(pace: Int32Array, now = process.hrtime.bigint()): boolean {
  if (Atomics.load(pace, LIMITED) === 0) return false;
  const numbers = numbersOf(pace);
  return (['bytes', 'operations'] as const).some(
    (kind) =>
      Atomics.load(numbers, SLOT.rate[kind]) > 0n && Atomics.load(numbers, SLOT.due[kind]) > now - BURST_NS / 2n,
  );
}

/** Arms this thread and its addon, or (null) disarms them. */
export function armPace(pace: Int32Array | null, cancel: Int32Array): void {
  spent.bytes = 0;
  spent.operations = 0;
  armed =
    pace === null ? undefined : { words: pace, numbers: numbersOf(pace), cancel, changes: Atomics.load(pace, CHANGES) };
  loadAddon()?.setPace(pace, cancel);
}

/** Books what was spent, and waits until it is due. */
export function settle(): void {
  if (armed !== undefined && isPaced()) settleLimited(armed);
}

/** This thread has to keep to a limit now. */
export function isPaced(): boolean {
  return armed !== undefined && Atomics.load(armed.words, LIMITED) !== 0;
}

/** What one read or write may move now; settles before it when a good deal was spent: in the middle of a large message. */
export function pieceOf(bytes: number): number {
  if (armed === undefined || !isPaced()) return Math.min(bytes, TRANSFER_LIMIT);
  if (spent.bytes >= PIECE_BYTES) settleLimited(armed);
  return Math.min(bytes, PIECE_BYTES);
}

function settleLimited(pace: Armed): void {
  const changes = Atomics.load(pace.words, CHANGES);
  const { bytes, operations } = spent;
  spent.bytes = 0;
  spent.operations = 0;
  const forgiven = changes !== pace.changes;
  pace.changes = changes;
  if (!forgiven) waitUntil(pace, book(pace.numbers, { bytes, operations }, process.hrtime.bigint()));
}

/** Counts `work` and books it; the time at which all of it is due. */
export function book(numbers: BigInt64Array, work: Limits, now: bigint): bigint {
  let due = now;
  for (const kind of ['bytes', 'operations'] as const) {
    Atomics.add(numbers, SLOT.done[kind], BigInt(work[kind]));
    const booked = bookOne(numbers, SLOT.rate[kind], SLOT.due[kind], work[kind], now);
    if (booked > due) due = booked;
  }
  return due;
}

function bookOne(numbers: BigInt64Array, rateAt: number, dueAt: number, amount: number, now: bigint): bigint {
  for (;;) {
    const due = Atomics.load(numbers, dueAt);
    const rate = Number(Atomics.load(numbers, rateAt));
    if (rate <= 0 || amount === 0) return now;
    const next = dueAfter(due, now, amount, rate);
    if (Atomics.compareExchange(numbers, dueAt, due, next) === due) return next;
  }
}

/** When `amount` more is due at `rate` a second, after what is due at `due` already. */
export function dueAfter(due: bigint, now: bigint, amount: number, rate: number): bigint {
  const takes = BigInt(Math.min(Math.ceil((amount * 1e9) / rate), Number(LONGEST_NS)));
  const next = (due > now - BURST_NS ? due : now - BURST_NS) + takes;
  return next < now + LONGEST_NS ? next : now + LONGEST_NS;
}

function waitUntil({ words, numbers, cancel, changes }: Armed, due: bigint): void {
  const began = process.hrtime.bigint();
  if (due <= began) return;
  let now = began;
  while (now < due && Atomics.load(cancel, 0) === 0 && Atomics.load(words, CHANGES) === changes) {
    Atomics.wait(words, CHANGES, changes, Math.min(NAP_MS, Number(due - now) / 1e6));
    now = process.hrtime.bigint();
  }
  Atomics.add(numbers, WAITED, now - began);
}

/** The slots of 64 bits. */
export function numbersOf({ buffer, byteOffset }: Int32Array): BigInt64Array {
  return new BigInt64Array(buffer, byteOffset, BYTES / BigInt64Array.BYTES_PER_ELEMENT);
}
