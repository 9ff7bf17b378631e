/**
 * How many folders a run may hold where few files may be open: each has three descriptors until it is published, its 3.x
 * directory, that one's lock file and its mailbox directory. With a limit of 16,384 nothing is held back.
 */
import { heldDirectories } from '../engine/heldDirectories.js';
import type { Run } from './run.js';

export interface HeldFolders {
  /** Of batches under way that have not been moved. */
  readonly underWay: number;
  /** Moved and not committed. */
  readonly moved: number;
}

const DESCRIPTORS = 3;
/** Databases, log, libraries, and what is opened for a moment. */
const OTHER_FILES = 96;
/** A thread has its event loop, and opens the directory and files of the folder in hand, besides its hash directories. */
const FILES_OF_THREAD = 24;
/** Messages that a thread reads ahead at a time. */
const BATCH = { least: 4, most: 64 };
/** What is of use to a run, for more it has no need. */
export const HELD_AT_MOST: HeldFolders = { underWay: 1_024, moved: 2_048 };

/**
 * The same as batchOf of native/src/engine/readahead.cc: all threads together have a quarter of the files that may be
 * open, two batches each. Its test and that of this one go by native/test/readahead_batches.inc.
 */
export function readAheadBatch(limit: number, threads: number): number {
  return Math.min(BATCH.most, Math.max(BATCH.least, Math.floor(limit / 8 / threads)));
}

/** @param limit files that may be open */
export function heldFolders(
  limit: number,
  { options: { threads }, roots }: Pick<Run, 'options' | 'roots'>,
): HeldFolders {
  const ofThread = FILES_OF_THREAD + heldDirectories(limit) + 2 * readAheadBatch(limit, threads);
  const others = OTHER_FILES + ofThread * threads + roots.stores.size + 2 * roots.partitions.size;
  const all = Math.floor((limit - others) / DESCRIPTORS);
  if (all >= HELD_AT_MOST.underWay + HELD_AT_MOST.moved) return HELD_AT_MOST;
  const underWay = Math.max(1, Math.floor(all / 3));
  return { underWay, moved: Math.max(1, all - underWay) };
}
