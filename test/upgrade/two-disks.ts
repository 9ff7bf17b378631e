/** A store on two disks, one of which is slow: for tests that each 3.x disk keeps to its own limit. */
import { loadDigest } from '../../src/store/digest.js';
import { openSession, type Session } from '../../src/upgrade/session.js';
import type { Task } from '../../src/upgrade/tasks.js';
import { INDEX, run, type SmallStore, smallStore } from './small-store.js';

export const USERS = ['anna', 'bert', 'carl', 'dora'];

export interface TwoDisks {
  readonly store: SmallStore;
  /** After `upgrade -s`. */
  readonly session: Session;
  /** Store paths that are not held count as devices of their own (routes.ts). The users of `slow` end in 1. */
  readonly slow: string;
  readonly fast: string;
  close(): Promise<void>;
}

/** Each of USERS on each disk, with an INBOX of these lines; `fill` puts more into its directory. */
export async function twoDisks(lines = '', fill: (inbox: string) => void = () => {}): Promise<TwoDisks> {
  await loadDigest();
  const store = smallStore();
  const slow = store.storePath('mail/slow');
  const fast = store.storePath('mail/fast');
  for (const [i, storePath] of [slow, fast].entries()) {
    for (const name of USERS) {
      const uid = `${name}${i + 1}`;
      store.user(uid, { mailMessageStore: storePath });
      fill(store.folder(storePath, uid, 'INBOX', `${INDEX(100, 8)}${lines}`));
    }
  }
  store.finish();
  await run(store);
  const session = await openSession({ instance: store.instance }, 'test');
  const close = async (): Promise<void> => {
    await session.close();
    store.remove();
  };
  return { store, session, slow, fast, close };
}

export interface SlowDisk {
  /** Lets it answer all that wait for it. */
  answer(): void;
  /** Tasks that waited at the same time. */
  readonly mostWaiting: number;
  /** What a task of `kind` with folders of the disk does first: it waits. Then calls `answered`. */
  wait(task: Task, answered: () => void): Promise<void>;
}

/** The disk of the store path `slow`, for two threads. */
export function slowDisk(slow: string, kind: 'survey' | 'remove'): SlowDisk {
  let [waiting, mostWaiting] = [0, 0];
  let answer = (): void => {};
  const answers = new Promise<void>((resolve) => {
    answer = resolve;
  });
  return {
    answer: () => answer(),
    get mostWaiting() {
      return mostWaiting;
    },
    async wait(task, answered) {
      if (task.kind !== kind || task.folders.every(({ source }) => source.rootPath !== slow)) return;
      waiting += 1;
      mostWaiting = Math.max(mostWaiting, waiting);
      // Both threads wait for it, or folders of the fast one do: nothing would ever happen again.
      if (waiting === 2 || task.folders.some(({ source }) => source.rootPath !== slow)) answer();
      await answers;
      answered();
      waiting -= 1;
    },
  };
}
