/** `upgrade -s` with threads that read ahead: the same databases as without them, and how a run with them ends early. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { closeDir, openRoot } from '../../src/fs/dir.js';
import { nsms3 } from '../../src/source/nsms3/source.js';
import type { MailSource } from '../../src/source/types.js';
import { readAhead, readersFor, startReaders, type UserReaders } from '../../src/upgrade/folders-readers.js';
import type { UserMailbox } from '../../src/upgrade/folders-user.js';
import { databases, INDEX, run, type SmallStore, smallStore } from './small-store.js';

let store: SmallStore;

beforeEach(() => {
  store = smallStore();
});

afterEach(() => store.remove());

/** More users than threads have pieces under way, with what is unusual in a mailbox directory. */
function makeUsers(count: number): void {
  const disk = store.storePath('mail/sales');
  for (let i = 0; i < count; i += 1) {
    const uid = `user${i}`;
    const at = i % 3 === 0 ? disk : store.mailbox;
    store.user(uid, i % 3 === 0 ? { mailMessageStore: disk } : {});
    if (i % 20 === 7) continue;
    store.folder(at, uid, 'INBOX', INDEX(i + 1, i + 5));
    store.folder(at, uid, 'Work/Deep/Deeper', INDEX(i + 9));
    if (i % 5 === 0) store.folder(at, uid, Buffer.from([0x4d, 0xfc, 0x6c, 0x6c]), null);
    if (i % 7 === 0) store.folder(at, uid, 'Bad', 'no index at all\n');
    if (i % 4 === 0) fs.writeFileSync(join(at, uid, '.subscriptions'), 'INBOX\nWork/Deep\nGone/For/Good\n');
    if (i % 6 === 0) fs.writeFileSync(join(at, uid, 'INBOX/.acl'), `user${i + 1} lrs\nnonsense\n`);
    if (i % 11 === 0) fs.symlinkSync('/etc', join(at, uid, 'link'));
    if (i % 13 === 0) fs.writeFileSync(join(at, uid, 'stray'), 'x');
  }
  store.user('linked');
  fs.symlinkSync('/etc', join(store.mailbox, 'linked'));
  store.finish();
}

/** What `-s` leaves, and then nothing of it. */
async function resultOf(readers: number): Promise<object> {
  const { seconds, ...report } = await run(store, { readers, now: 2_000_000_000 });
  const data = await databases(store, (mapping, mailboxes) => ({
    users: [...mapping.users()],
    folders: [...mapping.folders()],
    mailboxes: [...mailboxes.list()],
    subscriptions: [...mapping.users()].map(({ uid }) => mailboxes.subscriptions(uid)),
  }));
  fs.rmSync(store.instance, { recursive: true });
  fs.rmSync(store.storePath('mail/sales/.0004x.sales'), { recursive: true });
  for (const name of fs.readdirSync(store.mailbox)) {
    if (name.startsWith('__up') || name === 'upgrade4x.conf') fs.unlinkSync(join(store.mailbox, name));
  }
  return { report, data };
}

describe('upgrade -s with threads', () => {
  it('leaves what it leaves without them, and reports the same', async () => {
    makeUsers(300);
    const alone = await resultOf(0);
    expect(alone).toMatchObject({ report: { users: { found: 300, skipped: 1, withoutMailbox: 15 } } });
    expect(await resultOf(3)).toEqual(alone);
  });

  it('stops at a signal while they read, and another run ends as one that nobody stopped', async () => {
    makeUsers(300);
    const alone = (await resultOf(0)) as { readonly data: object };
    const stop = new AbortController();
    const onProgress = (done: number): void => {
      if (done >= 100) stop.abort();
    };
    const error = await run(store, { readers: 2, signal: stop.signal, onProgress, now: 2_000_000_000 }).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ code: 'HALTED', exit: 4 });
    expect(await resultOf(2)).toMatchObject({ data: alone.data });
  });
});

describe('readersFor', () => {
  it('starts no threads for few users', () => expect(readersFor(999, 3, nsms3)).toBe(0));

  it('starts two for each disk, up to 16', () => {
    expect([1, 3, 8, 50].map((devices) => readersFor(1000, devices, nsms3))).toEqual([2, 6, 16, 16]);
  });

  it('starts none for a source that they do not read', () => {
    const other: MailSource = { ...nsms3 };
    expect(readersFor(1000, 1, other)).toBe(0);
  });
});

describe('startReaders', () => {
  it('tells what a thread could not do as the main thread would', async () => {
    store.folder(store.mailbox, 'fred', 'INBOX');
    store.finish();
    const dir = openRoot(store.mailbox);
    const readers = await startReaders(1, nsms3);
    try {
      const users = [{ uid: 'fred', store: dir }];
      expect(await readers.read({ kind: 'read', users, notMail: new Set() })).toMatchObject([{ kind: 'read' }]);
      // A defect that every look meets: it has the main thread's stack, not only a thread's words.
      const failed = await readers
        .read({ kind: 'read', users, notMail: undefined as unknown as Set<string> })
        .catch((error: unknown) => error);
      expect(failed).toBeInstanceOf(TypeError);
      expect((failed as Error).stack).toContain('readOne');
    } finally {
      await readers.close();
      closeDir(dir);
    }
  });
});

describe('readAhead', () => {
  /** Readers whose pieces end when they are told to. */
  function controlled(threads: number): UserReaders & { readonly asked: string[][]; end(): void; fail(): void } {
    const ends: ((error?: Error) => void)[] = [];
    const asked: string[][] = [];
    return {
      threads,
      asked,
      end: () => ends.shift()!(),
      fail: () => ends.shift()!(new Error('broken')),
      read({ users }) {
        asked.push(users.map(({ uid }) => uid));
        return new Promise<readonly UserMailbox[]>((resolve, reject) => {
          const found = users.map(
            ({ uid }): UserMailbox => ({ kind: 'unusable', code: 'USER_DIRECTORY', message: uid }),
          );
          ends.push((error) => (error === undefined ? resolve(found) : reject(error)));
        });
      },
      close: async () => {},
    };
  }

  const usersUpTo = (count: number) =>
    Array.from({ length: count }, (_, i) => ({ uid: `${i}`, store: { fd: -1, path: '' } })).values();

  it('has two pieces a thread under way and no more, and gives what comes in order', async () => {
    const readers = controlled(2);
    const found = readAhead(readers, usersUpTo(1000), new Set());
    const first = found.next();
    await Promise.resolve();
    expect(readers.asked.length).toBe(4);
    readers.end();
    const seen: string[] = [];
    for (let next = await first; next.done !== true; next = await found.next()) {
      seen.push((next.value as { message: string }).message);
      if (seen.length === readers.asked[0]!.length) break;
    }
    expect(seen).toEqual(readers.asked[0]);
    expect(readers.asked.length).toBe(4);
    const second = found.next();
    await Promise.resolve();
    expect(readers.asked.length).toBe(5);
    for (let i = 0; i < 4; i += 1) readers.end();
    expect((await second).value).toMatchObject({ message: readers.asked[1]![0] });
    await found.return(undefined);
  });

  it('ends when what is under way has ended', async () => {
    const readers = controlled(1);
    const found = readAhead(readers, usersUpTo(100), new Set());
    const first = found.next();
    readers.end();
    await first;
    let over = false;
    const returned = found.return(undefined).then(() => {
      over = true;
    });
    await new Promise(setImmediate);
    expect(over).toBe(false);
    readers.fail();
    await returned;
  });

  it('throws what reading threw, in its turn', async () => {
    const readers = controlled(1);
    const found = readAhead(readers, usersUpTo(64), new Set());
    const first = found.next();
    await Promise.resolve();
    readers.end();
    readers.fail();
    expect((await first).done).toBe(false);
    await expect(
      (async () => {
        for (;;) if ((await found.next()).done === true) return;
      })(),
    ).rejects.toThrow('broken');
  });
});
