/**
 * What is measured: parts. A part is a store made by seed, on disks of its own, and what runs on it in each round:
 *
 *     competitors and floor   on one tree, under each of the conditions
 *     migrations              each on a store of its own, which is the same to the byte
 *
 * Figures of one round compare with each other, those of two rounds do not.
 */
import type { SizeClass } from '../test/support/generate/options.js';
import type { Disk } from './filesystem.js';
import type { DiskWork, Point } from './measure.js';
import type { ReadLimit } from './throttle.js';

export interface StorePlan {
  readonly seed: string;
  readonly messages: number;
  readonly users: number;
  readonly foldersEach: number;
  readonly spread: 'even' | 'giant' | 'natural';
  readonly counts: readonly number[] | null;
  readonly size: number;
  readonly sizes: 'fixed' | 'mail' | 'classes';
  readonly attachments: number;
  readonly sizeClasses: readonly SizeClass[];
  readonly gaps: number | null;
  readonly recipients: number;
  readonly singleCopy: number;
  readonly bareLf: number;
}

export interface Conditions {
  readonly cold: boolean;
  /** Partitions, copies and links go to another file system. */
  readonly across: boolean;
}

export interface Migration extends Conditions {
  readonly engine: Engine;
  /** null: what `upgrade` takes without -t. */
  readonly threads: number | null;
  /** With -r. */
  readonly remove: boolean;
}

export type Engine = 'native' | 'portable';

export interface Part {
  readonly name: string;
  readonly store: StorePlan;
  /** Store paths lie on these of the disks, by number. */
  readonly disks: readonly number[];
  readonly competitors: readonly string[];
  /** Threads of the floor, each. */
  readonly floors: readonly number[];
  readonly conditions: readonly Conditions[];
  readonly migrations: readonly Migration[];
  /** `upgrade -s` is all that is measured. */
  readonly foldersOnly?: boolean;
  /** Which messages are parsed and what disk space they take is looked at (single-copy stores). */
  readonly audit?: boolean;
  /** Reads of one disk are limited, by what was measured in this round before. */
  readonly limit?: (earlier: readonly Sample[], disks: readonly Disk[]) => ReadLimit;
}

export interface Sample extends Conditions {
  readonly part: string;
  readonly name: string;
  readonly kind: 'competitor' | 'floor' | 'folders' | 'messages';
  readonly engine: Engine | null;
  readonly threads: number | null;
  readonly command: string;
  readonly messages: number;
  /** Of distinct messages. */
  readonly bytes: number;
  readonly folders: number;
  readonly seconds: number;
  readonly secondsSynced: number;
  readonly peakAnonymous: number;
  readonly cpuSeconds: number;
  readonly bytesRead: number;
  /** Seconds by what they were spent on, summed over threads, as `upgrade -m --json` tells; null where it does not. */
  readonly times: Readonly<Record<string, number>> | null;
  readonly disks: readonly DiskWork[];
  readonly series: readonly Point[];
  /** Figures of single cases. */
  readonly extra: Readonly<Record<string, number>>;
}

export const PLAIN_STORE: StorePlan = {
  seed: 'bench',
  messages: 100_000,
  users: 10,
  foldersEach: 5,
  spread: 'even',
  counts: null,
  size: 8192,
  sizes: 'fixed',
  attachments: 0.02,
  sizeClasses: [],
  gaps: null,
  recipients: 1,
  singleCopy: 0,
  bareLf: 0,
};

/** So many folders in all, as many a user as there can be up to five. */
export function inFolders(folders: number): Pick<StorePlan, 'users' | 'foldersEach'> {
  const foldersEach = [5, 4, 3, 2, 1].find((each) => folders % each === 0)!;
  return { users: folders / foldersEach, foldersEach };
}

export function conditionsText({ cold, across }: Conditions): string {
  return `${cold ? ', cold' : ''}${across ? ', across' : ''}`;
}

export function migrationText({ engine, threads, remove, ...conditions }: Migration): string {
  const flags = [engine, threads === null ? 'default -t' : `-t ${threads}`, ...(remove ? ['-r'] : [])];
  return `${flags.join(', ')}${conditionsText(conditions)}`;
}

/** The row of the `upgrade -s` that goes before a migration. */
export function foldersRow({ cold }: Pick<Migration, 'cold'>): string {
  return `upgrade -s${conditionsText({ cold, across: false })}`;
}

/** In rows of a report: what a migration of the kind is called. */
export function messagesRow(migration: Migration): string {
  return `upgrade -m (${migrationText(migration)})`;
}
