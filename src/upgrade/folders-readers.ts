/**
 * Who reads the users' mailbox directories: threads, a few pieces ahead of the main thread, which merges and writes in the
 * order of the directory; or the main thread itself, for a site too small to be worth the start of threads.
 *
 *     threads       read piece 4    read piece 5    …
 *     main thread   merge, write piece 1; 2 and 3 are ready
 *
 * What a directory of 3.x holds does not depend on the databases, so the result is the same.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { builtFile } from '../package.js';
import { nsms3 } from '../source/nsms3/source.js';
import type { MailSource } from '../source/types.js';
import { meet } from './barrier.js';
import { unpack } from './folders-packed.js';
import type { ReaderTask, ReadResult, ReadTask } from './folders-reader.js';
import { readUserMailbox, type UserMailbox } from './folders-user.js';
import { startThreads } from './threads.js';

/** Users from whom on threads are worth their start: 4,000 folders in memory are read in 0.4 s, two threads start in 0.13. */
const THREADS_FROM = 1000;
/** In memory two do as much as the main thread can merge; a disk is asked for several directories at a time. */
const THREADS_A_DISK = 2;
const MOST_THREADS = 16;
/** Users of a piece: few enough that one with very many folders keeps little memory waiting. */
const PIECE = 32;
/** Users that are merged, some milliseconds, between two looks whether a thread has ended its piece. */
const USERS_A_LOOK = 8;

export interface UserReaders {
  /** 0: the main thread reads. */
  readonly threads: number;
  /** Reads a piece of users; the results are in their order. Errors: EMFILE and its like; THREAD_DIED. */
  read(task: ReadTask): Promise<readonly UserMailbox[]>;
  /** Ends when nothing is being read any more: the store paths may be closed then. */
  close(): Promise<void>;
}

/**
 * How many threads read so many users, whose store paths lie on so many file systems. Another source than that of the
 * threads is read by the main thread.
 */
export function readersFor(users: number, devices: number, source: MailSource): number {
  if (users < THREADS_FROM || source !== nsms3) return 0;
  return Math.min(MOST_THREADS, devices * THREADS_A_DISK);
}

/** Resolves when every thread has loaded its code, while this process may read it. Errors: why one cannot. */
export async function startReaders(threads: number, source: MailSource): Promise<UserReaders> {
  if (threads === 0) return mainThread(source);
  const pool = startThreads(builtFile('upgrade/folders-reader'), threads, null);
  const run = (task: ReaderTask) => pool.run(task) as Promise<ReadResult>;
  const underWay = new Set<Promise<unknown>>();
  try {
    await Promise.all(meet(threads, (barrier) => run({ kind: 'warm', ...barrier })));
  } catch (error) {
    await pool.close();
    throw error;
  }
  return {
    threads,
    async read(task) {
      const reading = run(task);
      underWay.add(reading);
      const found = await reading.finally(() => underWay.delete(reading));
      return found.map((packed, i) => (packed === null ? readOne(source, task, i) : unpack(packed)));
    },
    async close() {
      // A thread that is stopped in the middle would keep the directories that it has opened.
      await Promise.allSettled(underWay);
      await pool.close();
    },
  };
}

function mainThread(source: MailSource): UserReaders {
  return {
    threads: 0,
    read: async (task) => task.users.map((_, i) => readOne(source, task, i)),
    close: async () => {},
  };
}

function readOne(source: MailSource, { users, notMail }: ReadTask, i: number): UserMailbox {
  const { uid, store } = users[i]!;
  return readUserMailbox(source, store, uid, notMail);
}

/**
 * What is found for `users`, in their order; some pieces are read ahead.
 *
 * @param users each with the store path that the mailbox directory lies in, held until the generator has ended
 */
export async function* readAhead(
  readers: UserReaders,
  users: Iterator<ReadTask['users'][number]>,
  notMail: ReadonlySet<string>,
): AsyncGenerator<UserMailbox, undefined, undefined> {
  // Two for each thread: it has one when it brings the other.
  const most = Math.max(1, readers.threads * 2);
  const size = readers.threads === 0 ? 1 : PIECE;
  const pieces: Promise<readonly UserMailbox[]>[] = [];
  try {
    for (;;) {
      while (pieces.length < most) {
        const piece = take(users, size);
        if (piece.length === 0) break;
        const found = readers.read({ kind: 'read', users: piece, notMail });
        // Whoever takes it is told.
        found.catch(() => {});
        pieces.push(found);
      }
      const first = pieces.shift();
      if (first === undefined) return;
      for (const [i, found] of (await first).entries()) {
        // A thread gets its next piece when this one looks.
        if (i % USERS_A_LOOK === USERS_A_LOOK - 1) await nextTurn();
        yield found;
      }
    }
  } finally {
    await Promise.allSettled(pieces);
  }
}

function take<T>(from: Iterator<T>, most: number): T[] {
  const taken: T[] = [];
  while (taken.length < most) {
    const next = from.next();
    if (next.done === true) break;
    taken.push(next.value);
  }
  return taken;
}
