/**
 * A thread that reads users' mailbox directories (piscina worker). It loads everything when it starts: later the process
 * is an account that may not be able to read the code.
 */
import type { Dir } from '../fs/dir.js';
import { nsms3 } from '../source/nsms3/source.js';
import { waitForAll } from './barrier.js';
import { type PackedMailbox, pack } from './folders-packed.js';
import { readUserMailbox } from './folders-user.js';

/** Users one after the other, each with the store path that the mailbox directory lies in, held by the main thread. */
export interface ReadTask {
  readonly kind: 'read';
  readonly users: readonly { readonly uid: string; readonly store: Dir }[];
  readonly notMail: ReadonlySet<string>;
}

export type ReaderTask =
  | ReadTask
  /** Ends when all threads have one: each has loaded its code then. */
  | { readonly kind: 'warm'; readonly arrived: Int32Array; readonly threads: number };

/** For each user; null: it could not be read here, the main thread finds out why. */
export type ReadResult = readonly (PackedMailbox | null)[];

export default function work(task: ReaderTask): ReadResult {
  if (task.kind === 'read') return task.users.map(({ uid, store }) => packed(store, uid, task.notMail));
  waitForAll(task.arrived, task.threads);
  return [];
}

function packed(store: Dir, uid: string, notMail: ReadonlySet<string>): PackedMailbox | null {
  try {
    return pack(readUserMailbox(nsms3, store, uid, notMail));
  } catch {
    // An error would lose its code on the way, and another look may find what this one lacked.
    return null;
  }
}
