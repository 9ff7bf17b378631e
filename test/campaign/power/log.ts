/**
 * The log of blockdev.cc, and the disks that a power loss can leave behind.
 *
 * A crash at point `at` happened after the first `at` records, on all disks at once. Of one disk, everything that
 * it had written before its last flush ahead of `at` is there. Of what it wrote after that flush, anything may be
 * there and anything may be missing, in whole sectors: that is what `Loss` chooses.
 */
import * as fs from 'node:fs';
import type { Random } from '../../support/generate/random.js';

const MAGIC = 0x4c57504d;
const HEADER_BYTES = 24;
const KIND_WRITE = 1;
const KIND_FLUSH = 2;

export type LogRecord =
  | { readonly kind: 'flush'; readonly disk: number }
  | { readonly kind: 'write'; readonly disk: number; readonly offset: number; readonly data: Buffer };

/** The records of a log. A record is whole or not there: blockdev.cc writes each with one call. */
export function parseLog(log: Buffer): LogRecord[] {
  const records: LogRecord[] = [];
  for (let at = 0; at < log.length; ) {
    if (log.length - at < HEADER_BYTES || log.readUInt32LE(at) !== MAGIC) {
      throw new Error(`the log is not one of blockdev.cc at byte ${at}`);
    }
    const kind = log.readUInt32LE(at + 4);
    const disk = log.readUInt32LE(at + 8);
    const bytes = log.readUInt32LE(at + 12);
    const start = at + HEADER_BYTES;
    at = start + bytes;
    if (kind === KIND_FLUSH) records.push({ kind: 'flush', disk });
    else if (kind === KIND_WRITE && at <= log.length) {
      const offset = Number(log.readBigUInt64LE(start - 8));
      records.push({ kind: 'write', disk, offset, data: log.subarray(start, at) });
    } else throw new Error(`the log holds a record of kind ${kind} at byte ${start - HEADER_BYTES}`);
  }
  return records;
}

/**
 * What became of the writes that no flush covers.
 *
 * - `none`: all lost; the state right at the flush
 * - `all`: none lost; the disk wrote in order
 * - `some`: each is there or not, by chance
 * - `torn`: the same, and of one in four only some sectors are there (512 bytes or 4 KiB)
 */
export const LOSSES = ['none', 'all', 'some', 'torn'] as const;
export type Loss = (typeof LOSSES)[number];

export interface CrashPoint {
  /** Records that happened. */
  readonly at: number;
  readonly loss: Loss;
}

/** Bytes that reached a disk. */
export interface Piece {
  readonly offset: number;
  readonly data: Buffer;
}

/** The disk's last flush among the first `at` records: how many records it covers; 0 for none. */
export function flushedUpTo(records: readonly LogRecord[], disk: number, at: number): number {
  for (let i = at - 1; i >= 0; i--) {
    const record = records[i];
    if (record?.kind === 'flush' && record.disk === disk) return i;
  }
  return 0;
}

/** What of the writes of `disk` after its last flush is on the disk after the crash, in the order of writing. */
export function survivors(records: readonly LogRecord[], disk: number, point: CrashPoint, random: Random): Piece[] {
  if (point.loss === 'none') return [];
  const share = random.pick([0.15, 0.5, 0.85]);
  const pieces: Piece[] = [];
  for (let i = flushedUpTo(records, disk, point.at); i < point.at; i++) {
    const record = records[i];
    if (record?.kind !== 'write' || record.disk !== disk) continue;
    if (point.loss === 'all') pieces.push(record);
    else if (random.chance(share)) {
      if (point.loss === 'torn' && random.chance(0.25)) pieces.push(...sectors(record, random));
      else pieces.push(record);
    }
  }
  return pieces;
}

/** About half of the sectors of a write. */
function sectors({ offset, data }: Piece, random: Random): Piece[] {
  const sector = random.pick([512, 4096]);
  const pieces: Piece[] = [];
  for (let at = 0; at < data.length; ) {
    // A sector of the disk, not of the write.
    const end = Math.min(data.length, at + sector - ((offset + at) % sector));
    if (random.chance(0.5)) pieces.push({ offset: offset + at, data: data.subarray(at, end) });
    at = end;
  }
  return pieces;
}

/**
 * The points to try, ascending: at every flush (just before it reaches the disk with a part of what it covers, and
 * just after it with nothing more), and `between` random points. `limit` bounds the flushes, taken evenly.
 */
export function crashPoints(
  records: readonly LogRecord[],
  from: number,
  between: number,
  limit: number,
  random: Random,
): CrashPoint[] {
  const flushes: number[] = [];
  for (let i = from; i < records.length; i++) if (records[i]?.kind === 'flush') flushes.push(i);
  const step = Math.max(1, flushes.length / Math.max(1, limit));
  const points: CrashPoint[] = [];
  for (let k = 0; k < flushes.length && limit > 0; k += step) {
    const i = flushes[Math.floor(k)] ?? 0;
    points.push({ at: i, loss: random.pick(['some', 'torn'] as const) }, { at: i + 1, loss: 'none' });
  }
  for (let k = 0; k < between; k++) {
    points.push({
      at: random.int(from, records.length),
      loss: random.pick(['all', 'some', 'some', 'torn', 'torn'] as const),
    });
  }
  points.push({ at: records.length, loss: 'none' });
  return points.sort((a, b) => a.at - b.at);
}

/** Writes pieces into an image. */
export function apply(fd: number, pieces: Iterable<Piece>): void {
  for (const { offset, data } of pieces) fs.writeSync(fd, data, 0, data.length, offset);
}

/** A disk image that is carried forward from flush to flush. */
export class FlushedImage {
  private applied = 0;

  constructor(
    readonly path: string,
    private readonly records: readonly LogRecord[],
    private readonly disk: number,
  ) {}

  /** Brings the image to the last flush ahead of `at`; points must come in ascending order. */
  advance(at: number): void {
    const end = flushedUpTo(this.records, this.disk, at);
    if (end <= this.applied) return;
    const fd = fs.openSync(this.path, 'r+');
    for (let i = this.applied; i < end; i++) {
      const record = this.records[i];
      if (record?.kind === 'write' && record.disk === this.disk) apply(fd, [record]);
    }
    fs.closeSync(fd);
    this.applied = end;
  }
}
