/** `--reset` on what a killed run or a power loss leaves: indexes and databases without bytes, files of root. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { migrate, runCli, type SmallStore, simpleMessage } from '../support/migrated-store.js';
import { filesBelow, joeInbox, joeStore, primaryOf, refusalsOf, reset } from './reset-support.js';
import { ACCOUNT, databases, needRoot } from './small-store.js';

let store: SmallStore;
const CONTENT = simpleMessage('first');

beforeEach(() => {
  store = joeStore(CONTENT);
});

afterEach(() => store.remove());

const original = (): string => `${store.mailbox}/joe/INBOX/msg1`;
const mailbox = (): string => joeInbox(store);

/** Writes a file as the server account. */
function write(file: string, content: string | Buffer): void {
  fs.writeFileSync(file, content);
  if (process.geteuid?.() === 0) fs.chownSync(file, ACCOUNT.uid, ACCOUNT.gid);
}

describe('an index without its bytes', () => {
  const TORN: [string, string | Buffer][] = [
    ['empty', ''],
    ['of zeros', Buffer.alloc(4096)],
    ['of other bytes', 'x'.repeat(4096)],
  ];

  /** A folder that stays in TRANSITION, all but one of its messages linked. */
  function migrateUnfinished(): void {
    store.finish();
    fs.symlinkSync('elsewhere', `${store.mailbox}/joe/INBOX/link`);
    migrate(store);
    expect(fs.readdirSync(mailbox())).toContain('00');
  }

  it.each(TORN)('%s, of a folder that was never published: counts as none', async (_, content) => {
    migrateUnfinished();
    write(`${mailbox()}/store.idx`, content);
    expect(await reset(store)).toMatchObject({ outcome: 'done', refusals: [] });
    expect(fs.readFileSync(original(), 'latin1')).toBe(CONTENT);
    expect(fs.readdirSync(primaryOf(store))).toEqual([]);
  });

  it('beside a journal, which only a service makes: refused', async () => {
    migrateUnfinished();
    write(`${mailbox()}/store.idx`, '');
    write(`${mailbox()}/store.jnl`, '');
    expect(refusalsOf(await reset(store))).toEqual(['RESET_INDEX']);
  });

  it('of a folder that was published: refused', async () => {
    migrate(store);
    write(`${mailbox()}/store.idx`, '');
    expect(refusalsOf(await reset(store))).toEqual(['RESET_INDEX']);
  });
});

describe('a mailbox database of zeros', () => {
  const zero = (): void => write(`${store.instance}/store/mboxlist/mboxlist.mdb`, Buffer.alloc(8192));

  it('of a -s that did not finish: counts as none', async () => {
    migrate(store, { foldersOnly: true });
    await databases(store, (mapping) =>
      mapping.update((writes) => writes.putMeta({ ...mapping.meta()!, finished: null })),
    );
    zero();
    expect(await reset(store)).toMatchObject({ outcome: 'done' });
    expect(fs.readdirSync(`${store.instance}/store/mboxlist`)).toEqual([]);
  });

  it('of a -s that did: damage, refused', async () => {
    migrate(store, { foldersOnly: true });
    zero();
    await expect(reset(store)).rejects.toMatchObject({ code: 'DB_INVALID', exit: 3 });
  });
});

describe('a message file of root, in 4.x only', () => {
  const file = (): string => `${mailbox()}/00/1.msg`;
  const resetByCommand = (): string =>
    runCli('upgrade', '--reset', '--yes', '--json', '--instance', store.instance).stdout;

  beforeEach((ctx) => {
    needRoot(ctx);
    migrate(store, { remove: true });
    fs.chownSync(file(), 0, 0);
  });

  /** What `-m` asks of a message file. */
  function expectOurs(): void {
    const { uid, gid, mode } = fs.statSync(original());
    expect([uid, gid, mode & 0o7777]).toEqual([ACCOUNT.uid, ACCOUNT.gid, 0o600]);
    expect(fs.readFileSync(original(), 'latin1')).toBe(CONTENT);
  }

  it('goes back to the server account, in a copy', async () => {
    expect(await reset(store)).toMatchObject({ outcome: 'done', restore: { messages: 1, copied: 1 } });
    expectOurs();
  });

  it('by the command as well, when the server account may read it', () => {
    fs.chmodSync(file(), 0o644);
    expect(JSON.parse(resetByCommand())).toMatchObject({ outcome: 'done' });
    expectOurs();
  });

  it('is refused by the command when it may not', () => {
    fs.chmodSync(file(), 0o600);
    expect(JSON.parse(resetByCommand())).toMatchObject({
      outcome: 'refused',
      refusals: [{ code: 'RESET_UNREADABLE', uid: 1 }],
    });
  });

  it('and other mode or group: they become those of the server account', async () => {
    fs.chownSync(file(), ACCOUNT.uid, 0);
    fs.chmodSync(file(), 0o666);
    expect(await reset(store)).toMatchObject({ outcome: 'done', restore: { copied: 0 } });
    expectOurs();
  });
});

describe('--dry-run as root changes nothing, not even an owner', () => {
  beforeEach((ctx) => needRoot(ctx));

  /** Owner, mode and time of last change of everything, contents of files; readers of a database enter its lock file. */
  function everything(): string {
    const { stdout } = spawnSync('find', [store.root, '-printf', '%p %U %G %m %C@\n'], { encoding: 'utf8' });
    return `${stdout.replaceAll(/(-lock .*) \S+$/gm, '$1')}${JSON.stringify(filesBelow(store.root, (name) => !name.endsWith('-lock')))}`;
  }

  it.each([
    ['--reset', () => runCli('upgrade', '--reset', '--dry-run', '--instance', store.instance)],
    ['-s', () => runCli('upgrade', '-s', '--dry-run', '--directory', store.ldif, '--instance', store.instance)],
  ])('%s: with files that a killed run left to root, and without a lock file', (_, run) => {
    migrate(store, { remove: true });
    const lock = `${store.instance}/lock/__lock.share`;
    const file = `${mailbox()}/00/1.msg`;
    for (const left of [lock, file]) fs.chownSync(left, 0, 0);
    fs.chmodSync(file, 0o644);
    const before = everything();
    expect(run()).toMatchObject({ status: 0, stderr: expect.any(String) });
    expect(everything()).toBe(before);
    fs.rmSync(lock);
    const without = everything();
    expect(run()).toMatchObject({ status: 0, stderr: expect.any(String) });
    expect(everything()).toBe(without);
  });
});
