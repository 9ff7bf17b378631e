/**
 * Who reads the users' mailbox directories: threads, a few pieces ahead of the main thread, which merges and writes in the
 * order of the directory; or the main thread itself, for a site too small to be worth the start of threads.
 *
 *     threads       read piece 4    read piece 5    …
 *     main thread   merge, write piece 1; 2 and 3 are ready
 *
 * What a directory of 3.x holds does not depend on the databases, so the result is the same. The main thread can do
 * everything that they do: it reads what a thread leaves to it, and without them (they cannot be started, or die) all.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { builtFile } from '../package.js';
import { nsms3 } from '../source/nsms3/source.js';
import type { MailSource } from '../source/types.js';
import { meetLoaded } from './barrier.js';
import { unpack } from './folders-packed.js';
import type { ReaderStart, ReaderTask, ReadResult, ReadTask, UserToRead } from './folders-reader.js';
import { readUserMailbox, type UserMailbox } from './folders-user.js';
import { startThreads } from './threads.js';

/** Users from whom on threads are worth their start: 4,000 folders in memory are read in 0.4 s, two threads start in 0.13. */
const THREADS_FROM = 1000;
/** In memory two do as much as the main thread can merge; a disk is asked for several directories at a time. */
const THREADS_A_DISK = 2;
const MOST_THREADS = 16;
/** Users of a piece. */
const PIECE = 32;
/** So many tasks may lose their threads, to a user of whom there is too much for one, before the others are given up. */
const MOST_DEATHS = 3;
/** Users that are merged, some milliseconds, between two looks whether a thread has ended its piece. */
const USERS_A_LOOK = 8;

export interface ReadingThreads {
  readonly count: number;
  /** In the order of the users. Rejects when a thread died. */
  read(task: ReadTask): Promise<ReadResult>;
  /** What was not begun is not read any more. */
  stop(): void;
  /** Ends when nothing is being read any more: the store paths may be closed then. */
  close(): Promise<void>;
}

export interface UserReaders {
  readonly source: MailSource;
  /** undefined: the main thread reads. */
  readonly threads: ReadingThreads | undefined;
  /** Told why from now on the main thread reads alone, once at most. */
  lost(error: unknown): void;
}

/** How many threads read so many users, whose store paths lie on so many disks. */
export function readersFor(users: number, disks: number): number {
  return users < THREADS_FROM ? 0 : Math.min(MOST_THREADS, disks * THREADS_A_DISK);
}

/**
 * Resolves when every thread has loaded its code, while this process may read it. They know the source nsms3; another one
 * the main thread reads.
 *
 * @param lost told why there are no threads, or none any more
 */
export async function startReaders(
  threads: number,
  source: MailSource,
  lost: (error: unknown) => void,
): Promise<UserReaders> {
  if (threads === 0 || source !== nsms3) return { source, threads: undefined, lost };
  try {
    return { source, threads: await startReadingThreads(threads), lost };
  } catch (error) {
    lost(error);
    return { source, threads: undefined, lost };
  }
}

async function startReadingThreads(count: number): Promise<ReadingThreads> {
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const pool = startThreads(builtFile('upgrade/folders-reader.cjs'), count, { stop } satisfies ReaderStart);
  const run = (task: ReaderTask) => pool.run(task) as Promise<ReadResult>;
  const underWay = new Set<Promise<unknown>>();
  const loaded = () => meetLoaded(count, (barrier) => run({ kind: 'warm', ...barrier }));
  let died = false;
  try {
    await loaded();
  } catch (error) {
    await pool.close();
    throw error;
  }
  return {
    count,
    read(task) {
      const reading = run(task);
      underWay.add(reading);
      reading.catch(() => {
        died = true;
      });
      return reading.finally(() => underWay.delete(reading));
    },
    stop: () => void Atomics.store(stop, 0, 1),
    async close() {
      // A thread that is stopped in the middle would keep the directories that it has opened.
      await Promise.allSettled(underWay);
      // Another one may be loading in its place.
      if (died) await loaded().catch(() => {});
      await pool.close();
    },
  };
}

interface Piece {
  readonly users: readonly UserToRead[];
  readonly found: Promise<ReadResult>;
}

/**
 * What is found for `users`, in their order; threads read some pieces ahead. Errors: EMFILE and its like.
 *
 * @param users each with the store path that the mailbox directory lies in, held until the generator has ended
 */
export async function* readAhead(
  readers: UserReaders,
  users: Iterator<UserToRead>,
  notMail: ReadonlySet<string>,
): AsyncGenerator<UserMailbox, undefined, undefined> {
  const here = ({ uid, store }: UserToRead) => readUserMailbox(readers.source, store, uid, notMail);
  let { threads } = readers;
  const giveUp = (why: unknown): undefined => {
    if (threads !== undefined) readers.lost(why);
    threads = undefined;
  };
  let deaths = 0;
  const pieces: Piece[] = [];
  const othersEnd = () => Promise.allSettled(pieces.map(({ found }) => found));
  try {
    for (;;) {
      // Two for each thread: it has one when it brings the other.
      while (threads !== undefined && pieces.length < threads.count * 2) {
        const next = take(users, PIECE);
        if (next.length === 0) break;
        const found = threads.read({ kind: 'read', users: next, notMail });
        // Whoever takes it is told.
        found.catch(() => {});
        pieces.push({ users: next, found });
      }
      const piece = pieces.shift();
      if (piece === undefined) break;
      const found = await piece.found.catch((error: unknown) => {
        deaths += 1;
        return deaths < MOST_DEATHS ? undefined : giveUp(error);
      });
      for (const [i, user] of piece.users.entries()) {
        // A thread gets its next piece when this one looks.
        if (i % USERS_A_LOOK === USERS_A_LOOK - 1) await nextTurn();
        const packed = found?.[i];
        if (packed === undefined || packed.kind === 'left') {
          const why = packed?.why;
          if (typeof why === 'object') giveUp(new Error(why.defect));
          // What the threads have open is free then.
          if (why === 'lack') await othersEnd();
          yield here(user);
        } else yield unpack(packed);
      }
    }
    for (let next = users.next(); next.done !== true; next = users.next()) yield here(next.value);
  } finally {
    readers.threads?.stop();
    await othersEnd();
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
