/** `upgrade -s` with threads that read ahead: the same databases as without them, and how a run with them ends early. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isOutOfResources } from '../../src/errors.js';
import { closeDir, openRoot } from '../../src/fs/dir.js';
import { nsms3 } from '../../src/source/nsms3/source.js';
import type { MailSource } from '../../src/source/types.js';
import { legacyPath } from '../../src/store/names.js';
import { pack, unpack } from '../../src/upgrade/folders-packed.js';
import type { NotRead } from '../../src/upgrade/folders-reader.js';
import {
  type ReadingThreads,
  readAhead,
  readersFor,
  startReaders,
  type UserReaders,
} from '../../src/upgrade/folders-readers.js';
import type { FoldersReport } from '../../src/upgrade/folders-report.js';
import type { SourceFolder, UserMailbox } from '../../src/upgrade/folders-user.js';
import { databases, INDEX, run, type SmallStore, smallStore } from './small-store.js';

let store: SmallStore;

beforeEach(() => {
  store = smallStore();
});

afterEach(() => store.remove());

/** More than a thread hands over. */
const many = (lines: number): string => Array.from({ length: lines }, (_, i) => `Sub/${i}\n`).join('');

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
    if (i === 50) fs.writeFileSync(join(at, uid, '.subscriptions'), 'Very/Long/Name\n'.repeat(3) + many(20_000));
  }
  store.user('linked');
  fs.symlinkSync('/etc', join(store.mailbox, 'linked'));
  store.finish();
}

/** What `-s` leaves, and then nothing of it. */
async function resultOf(readers: number): Promise<{ readonly report: Partial<FoldersReport>; readonly data: object }> {
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
    const alone = await resultOf(0);
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
  it('starts no threads for few users', () => expect(readersFor(999, 3)).toBe(0));

  it('starts two for each disk, up to 16', () => {
    expect([1, 3, 8, 50].map((disks) => readersFor(1000, disks))).toEqual([2, 6, 16, 16]);
  });
});

describe('pack', () => {
  const folder = (...names: string[]): SourceFolder => {
    const path = names.map((name) => new Uint8Array(Buffer.from(name, 'latin1')));
    return { path, key: names.join('/'), legacyName: legacyPath(path), inode: '7', indexBytes: 3, header, acl: [] };
  };
  const header = { uidvalidity: 4, uidnext: 5 };
  const none = { unread: [], subscriptions: undefined, errors: [], warnings: [] };

  it('gives what unpack makes the same of, with one array for a level of all paths', () => {
    const unread = { ...folder('a', 'd'), header: undefined, acl: undefined };
    const folders = [folder('a'), folder('a', 'b'), folder('a', 'b', 'c'), unread];
    const found: UserMailbox = { kind: 'read', folders, ...none, unread: [folder('\xfc', 'x').path] };
    const back = unpack(pack(found)!) as typeof found;
    expect(back).toEqual(found);
    const [a, ab, abc, ad] = back.folders.map(({ path }) => path);
    expect([ab![0], abc![0], ad![0]].every((level) => level === a![0])).toBe(true);
    expect(abc![1]).toBe(ab![1]);
  });

  it('makes a path whose parent is not among the folders, and the empty one', () => {
    const found: UserMailbox = { kind: 'read', folders: [folder('gone', 'below')], ...none, unread: [[]] };
    expect(unpack(pack(found)!)).toEqual(found);
  });

  it('gives nothing where there is very much of a user, in folders, subscriptions or what is wrong', () => {
    const long = Array.from({ length: 600 }, (_, i) => folder('x'.repeat(200), `${i}`));
    expect(pack({ kind: 'read', folders: long.slice(0, 300), ...none })).toBeDefined();
    expect(pack({ kind: 'read', folders: long, ...none })).toBeUndefined();
    expect(pack({ kind: 'read', folders: [], ...none, subscriptions: long.map(({ path }) => path) })).toBeUndefined();
    const problem = { user: 'u', folder: 'x'.repeat(1_000), code: 'X', message: 'y' };
    expect(pack({ kind: 'read', folders: [], ...none, warnings: Array(90).fill(problem) })).toBeDefined();
    expect(pack({ kind: 'read', folders: [], ...none, warnings: Array(100).fill(problem) })).toBeUndefined();
    const acl = Array(90).fill({ identifier: 'x'.repeat(1_000), rights: 'lrs' });
    expect(pack({ kind: 'read', folders: [{ ...folder('a'), acl }], ...none })).toBeDefined();
    expect(pack({ kind: 'read', folders: [{ ...folder('a'), acl: [...acl, ...acl] }], ...none })).toBeUndefined();
  });
});

describe('startReaders', () => {
  const lost: unknown[] = [];
  beforeEach(() => lost.splice(0));
  const start = (threads: number, source: MailSource = nsms3): Promise<UserReaders> =>
    startReaders(threads, source, (error) => lost.push(error));

  it('has no threads for a source that they do not know', async () => {
    expect((await start(2, { ...nsms3 })).threads).toBeUndefined();
    expect(lost).toEqual([]);
  });

  it('leaves to the main thread what a thread could not do, and all when it is told to stop', async () => {
    store.folder(store.mailbox, 'fred', 'INBOX');
    store.finish();
    const dir = openRoot(store.mailbox);
    const { threads } = await start(1);
    try {
      const task = { kind: 'read', users: [{ uid: 'fred', store: dir }], notMail: new Set<string>() } as const;
      expect(await threads!.read(task)).toMatchObject([{ kind: 'read' }]);
      // A defect that every look meets.
      const defect = await threads!.read({ ...task, notMail: undefined as unknown as Set<string> });
      expect(defect).toEqual([{ kind: 'left', why: { defect: expect.stringContaining('has') } }]);
      threads!.stop();
      expect(await threads!.read(task)).toEqual([{ kind: 'left', why: 'stopped' }]);
    } finally {
      await threads!.close();
      closeDir(dir);
    }
    expect(lost).toEqual([]);
  });
});

describe('readAhead', () => {
  /** Threads whose pieces end when they are told to. */
  function controlled(count: number) {
    const ends: ((error?: Error, why?: NotRead['why']) => void)[] = [];
    const asked: string[][] = [];
    const lost: unknown[] = [];
    let stopped = false;
    const threads: ReadingThreads = {
      count,
      read({ users }) {
        asked.push(users.map(({ uid }) => uid));
        return new Promise((resolve, reject) => {
          const found = users.map(({ uid }) => ({ kind: 'unusable', code: 'THREAD', message: uid }) as const);
          ends.push((error, why) => {
            if (error !== undefined) reject(error);
            else resolve(why === undefined ? found : users.map(() => ({ kind: 'left', why })));
          });
        });
      },
      stop: () => {
        stopped = true;
      },
      close: async () => {},
    };
    const readers: UserReaders = { source: nsms3, threads, lost: (error) => lost.push(error) };
    const end = (error?: Error, why?: NotRead['why']) => ends.shift()!(error, why);
    return { readers, asked, lost, end, isStopped: () => stopped };
  }

  const usersUpTo = (count: number) =>
    Array.from({ length: count }, (_, i) => ({ uid: `${i}`, store: { fd: -1, path: '' } })).values();
  const turn = () => new Promise(setImmediate);

  it('has two pieces a thread under way and no more, and gives what comes in order', async () => {
    const { readers, asked, end } = controlled(2);
    const found = readAhead(readers, usersUpTo(1000), new Set());
    const first = found.next();
    await turn();
    expect(asked.length).toBe(4);
    end();
    const seen: string[] = [];
    for (let next = await first; next.done !== true; next = await found.next()) {
      seen.push((next.value as { message: string }).message);
      if (seen.length === asked[0]!.length) break;
    }
    expect(seen).toEqual(asked[0]);
    expect(asked.length).toBe(4);
    const second = found.next();
    await turn();
    expect(asked.length).toBe(5);
    for (let i = 0; i < 4; i += 1) end();
    expect((await second).value).toMatchObject({ message: asked[1]![0] });
    await found.return(undefined);
  });

  it('ends when what is under way has ended, of which nothing more is begun', async () => {
    const { readers, end, isStopped } = controlled(1);
    const found = readAhead(readers, usersUpTo(100), new Set());
    const first = found.next();
    end();
    await first;
    let over = false;
    const returned = found.return(undefined).then(() => {
      over = true;
    });
    await turn();
    expect([over, isStopped()]).toEqual([false, true]);
    end(new Error('died'));
    await returned;
  });

  /** What each of `count` users was found to be, when `during` has let all pieces end. */
  async function allOf({ readers }: ReturnType<typeof controlled>, count: number, during: () => Promise<void>) {
    const found = readAhead(readers, usersUpTo(count), new Set());
    const seen: string[] = [];
    const all = (async () => {
      for (let next = await found.next(); next.done !== true; next = await found.next()) seen.push(next.value.kind);
    })();
    await turn();
    await during();
    await all;
    return seen;
  }
  // Below a descriptor that is none the main thread finds nothing.
  const alone = (count: number) => Array(count).fill('missing');
  const byThread = (count: number) => Array(count).fill('unusable');

  it('reads the piece of a thread that died in the main thread, and goes on with the others', async () => {
    const pieces = controlled(1);
    const seen = await allOf(pieces, 100, async () => {
      pieces.end(new Error('it died'));
      pieces.end();
      while (pieces.asked.length < 4) await turn();
      pieces.end();
      pieces.end();
    });
    expect(seen).toEqual([...alone(32), ...byThread(68)]);
    expect(pieces.lost).toEqual([]);
  });

  it('goes on in the main thread alone after the third death, and says so once', async () => {
    const pieces = controlled(2);
    const seen = await allOf(pieces, 300, async () => {
      for (let i = 0; i < 3; i += 1) pieces.end(new Error(`death ${i + 1}`));
      pieces.end();
      while (pieces.asked.length < 6) await turn();
      for (let i = 0; i < 2; i += 1) pieces.end(new Error('another'));
    });
    expect(seen).toEqual([...alone(96), ...byThread(32), ...alone(172)]);
    expect(pieces.lost).toMatchObject([{ message: 'death 3' }]);
  });

  it('reads at once what was too much for a thread, and when the others have ended what one lacked descriptors for', async () => {
    const pieces = controlled(1);
    const found = readAhead(pieces.readers, usersUpTo(96), new Set());
    const read = async (count: number) => {
      for (let i = 0; i < count; i += 1) expect((await found.next()).value).toEqual({ kind: 'missing' });
    };
    const first = read(32);
    await turn();
    pieces.end(undefined, 'large');
    await first;
    let over = false;
    const second = read(32).then(() => {
      over = true;
    });
    pieces.end(undefined, 'lack');
    for (let i = 0; i < 10; i += 1) await turn();
    expect([pieces.asked.length, over]).toEqual([3, false]);
    pieces.end();
    await second;
    await found.return(undefined);
  });

  it('gives threads up that meet a defect', async () => {
    const pieces = controlled(1);
    const seen = await allOf(pieces, 40, async () => {
      pieces.end(undefined, { defect: 'no such function' });
      pieces.end();
    });
    expect(seen).toEqual([...alone(32), ...byThread(8)]);
    expect(pieces.lost).toMatchObject([{ message: 'no such function' }]);
  });
});

describe('what is read while no descriptor is free', () => {
  /** What each says then; `during` has one free descriptor the fewer. */
  function withoutDescriptors(during: () => void): void {
    const limit = (soft: string) => execFileSync('prlimit', [`--pid=${process.pid}`, `--nofile=${soft}:`]);
    const before = /^Max open files\s+(\d+)/m.exec(fs.readFileSync('/proc/self/limits', 'utf8'))![1]!;
    const filled: number[] = [];
    limit('512');
    try {
      expect(() => {
        for (;;) filled.push(fs.openSync('/dev/null', 'r'));
      }).toThrow('EMFILE');
      during();
    } finally {
      for (const fd of filled) fs.closeSync(fd);
      limit(before);
    }
  }

  it('says nothing of a folder, an index, rights or subscriptions', () => {
    store.folder(store.mailbox, 'fred', 'A/B/C');
    fs.writeFileSync(join(store.mailbox, 'fred/A/.mailbox'), INDEX(7));
    fs.writeFileSync(join(store.mailbox, 'fred/A/.acl'), 'anna lrs\n');
    fs.writeFileSync(join(store.mailbox, 'fred/.subscriptions'), 'A\n');
    store.finish();
    const mailbox = openRoot(join(store.mailbox, 'fred'));
    const folder = openRoot(join(store.mailbox, 'fred/A'));
    const looks = [
      () => [...nsms3.listFolders(mailbox)].map(({ kind }) => kind),
      () => nsms3.lookAtIndex(folder).header?.uidvalidity,
      () => nsms3.readAcl(folder).entries.length,
      () => nsms3.readSubscriptions(mailbox).folders.length,
    ];
    withoutDescriptors(() => {
      for (const look of looks) {
        const told = errorOf(look);
        expect(isOutOfResources(told), String(told)).toBe(true);
      }
    });
    expect(looks.map((look) => look())).toEqual([['folder', 'folder', 'folder'], 7, 1, 1]);
    closeDir(folder);
    closeDir(mailbox);
  });
});

function errorOf(action: () => unknown): unknown {
  try {
    return action();
  } catch (error) {
    return error;
  }
}
