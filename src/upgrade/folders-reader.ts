/**
 * A thread that reads users' mailbox directories (piscina worker). It loads everything when it starts: later the process
 * is an account that may not be able to read the code.
 */
import { workerData } from 'node:worker_threads';
import { describeError, isOutOfResources } from '../errors.js';
import type { Dir } from '../fs/dir.js';
import { nsms3 } from '../source/nsms3/source.js';
import { waitForAll } from './barrier.js';
import { type PackedMailbox, pack } from './folders-packed.js';
import { readUserMailbox } from './folders-user.js';

/** Handed to every thread at its start. */
export interface ReaderStart {
  /** Not 0: nothing more is read. */
  readonly stop: Int32Array;
}

/** Users one after the other, each with the store path that the mailbox directory lies in, held by the main thread. */
export interface ReadTask {
  readonly kind: 'read';
  readonly users: readonly UserToRead[];
  readonly notMail: ReadonlySet<string>;
}

export interface UserToRead {
  readonly uid: string;
  readonly store: Dir;
}

export type ReaderTask =
  | ReadTask
  /** Ends when all threads have one: each has loaded its code then. */
  | { readonly kind: 'warm'; readonly arrived: Int32Array; readonly threads: number };

/** For each user, in their order. */
export type ReadResult = readonly (PackedMailbox | NotRead)[];

/** For the main thread to read. */
export interface NotRead {
  readonly kind: 'left';
  /** So much that it should not lie beside others; no descriptor or memory; told to stop; an error that no user explains. */
  readonly why: 'large' | 'lack' | 'stopped' | { readonly defect: string };
}

const { stop } = workerData as ReaderStart;

export default function work(task: ReaderTask): ReadResult {
  if (task.kind === 'read') return task.users.map((user) => read(user, task.notMail));
  waitForAll(task.arrived, task.threads);
  return [];
}

function read({ uid, store }: UserToRead, notMail: ReadonlySet<string>): PackedMailbox | NotRead {
  if (Atomics.load(stop, 0) !== 0) return { kind: 'left', why: 'stopped' };
  try {
    return pack(readUserMailbox(nsms3, store, uid, notMail)) ?? { kind: 'left', why: 'large' };
  } catch (error) {
    // As itself it would lose its code on the way; the main thread meets it too, unless it was a lack of this moment.
    return { kind: 'left', why: isOutOfResources(error) ? 'lack' : { defect: describeError(error) } };
  }
}
