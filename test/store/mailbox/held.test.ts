/** Holding a mailbox beside deletes and renames on record: those that displace it are waited for, and no others. */
import * as fs from 'node:fs';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { constants } from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadAddon } from '../../../src/fs/addon.js';
import { closeDir, type Dir, openRoot } from '../../../src/fs/dir.js';
import { tryFlock } from '../../../src/fs/flock.js';
import { changeMailbox } from '../../../src/store/mailbox/change.js';
import type { MailStore } from '../../../src/store/mailbox/held.js';
import { renameMailbox } from '../../../src/store/mailbox/names.js';
import { codeOfAsync } from '../../upgrade/small-store.js';
import { type TestStore, testStore } from './support.js';

const [INBOX, A, B] = ['user/anna/INBOX', 'user/anna/A', 'user/anna/B'];

let store: TestStore;
beforeEach(async () => {
  store = await testStore();
});
afterEach(() => store.close());

const append = (name: string, to: MailStore = store): Promise<number> =>
  changeMailbox(to, name, (changes) => changes.append({ content: Buffer.from('more'), internalDate: 6 }));

/** The transaction of a service whose directories have not followed. */
async function begun(name: string, to: string | null): Promise<void> {
  await store.mailboxes.update((writes) => {
    if (to === null) writes.remove(name);
    else writes.rename(name, to);
    writes.beginNameChange({ id: 77, name, to, owner: 'anna', partition: 'test', root: store.partition });
  });
}

describe('a rename that cannot be finished', () => {
  const stuck = async (name: string): Promise<void> => {
    await store.make(name, 'renamed');
    await begun(name, 'user/anna/y');
    // Mail in the new place.
    fs.mkdirSync(store.directory('user/anna/y'), { mode: 0o700 });
    fs.writeFileSync(path.join(store.directory('user/anna/y'), 'store.jnl'), 'mail');
  };

  it('keeps no mail from the mailboxes above', async () => {
    await store.make(INBOX, 'in');
    await stuck(`${INBOX}/x`);
    expect(await append(INBOX)).toBe(2);
    expect(await codeOfAsync(() => append('user/anna/y'))).toBe('MAILBOX_IN_THE_WAY');
    expect([...store.mailboxes.nameChanges()]).toHaveLength(1);
  });

  it('keeps the mailboxes above from another name: its directory would go along', async () => {
    await store.make(A, 'one');
    await stuck(`${A}/x`);
    expect(await codeOfAsync(() => renameMailbox(store, A, B))).toBe('MAILBOX_IN_THE_WAY');
    expect(fs.existsSync(path.join(store.directory(`${A}/x`), '00/1.msg'))).toBe(true);
  });
});

describe('a change that another process commits meanwhile', () => {
  /** What was committed shows from the n-th refresh on. */
  function seeing(from: number, before: Partial<MailStore['mailboxes']>): MailStore {
    const { mailboxes } = store;
    let refreshed = 0;
    const get: typeof mailboxes.get = (name) => (refreshed < from && before.get?.(name)) || mailboxes.get(name);
    const nameChanges = () => (refreshed < from ? [] : mailboxes.nameChanges());
    const refresh = () => {
      refreshed += 1;
      mailboxes.refresh();
    };
    return { ...store, mailboxes: { ...mailboxes, get, nameChanges, refresh } };
  }

  let renaming: Dir | undefined;
  afterEach(() => {
    if (renaming !== undefined) closeDir(renaming);
    renaming = undefined;
  });

  it.each([1, 2, 3])('a rename is waited for, seen at look %i', async (from) => {
    await store.make(A, 'one');
    await begun(A, B);
    renaming = openRoot(store.directory(A));
    expect(tryFlock(renaming.fd, 'exclusive')).toBe(true);
    expect(await codeOfAsync(() => append(B, seeing(from, {})))).toBe('MAILBOX_BUSY');
    closeDir(renaming);
    renaming = undefined;
    expect(await append(B, seeing(from, {}))).toBe(2);
  });

  it.each([2, 3])('the way to a sub-mailbox is not taken for the renamed mailbox, seen at look %i', async (from) => {
    await store.make(A, 'one');
    await begun(A, B);
    fs.mkdirSync(store.directory(B), { mode: 0o700 });
    expect(await append(B, seeing(from, {}))).toBe(2);
    expect(store.content()).toEqual({ [B]: ['1 one', '2 more'] });
  });

  it.each([1, 2, 3])('a delete means that there is no mailbox, seen at look %i', async (from) => {
    await store.make(A, 'one');
    const record = store.mailboxes.get(A);
    await begun(A, null);
    fs.rmSync(store.directory(A), { recursive: true });
    const late = seeing(from, { get: (name) => (name === A ? record : undefined) });
    expect(await codeOfAsync(() => append(A, late))).toBe('NO_MAILBOX');
  });
});

it('a directory that is not there is damage where no change explains it', async () => {
  await store.make(A, 'one');
  fs.renameSync(store.directory(A), `${store.directory(A)}-gone`);
  expect(await codeOfAsync(() => append(A))).toBe('MAILBOX_DIRECTORY');
});

it.each(['EMFILE', 'ENFILE'] as const)('a limit of open files is told as what it is: %s', async (code) => {
  await store.make(A, 'one');
  const fs = createRequire(import.meta.url)('node:fs') as typeof import('node:fs');
  const { openSync } = fs;
  // The addon opens several levels at once; what it cannot open is asked for one level at a time.
  const addon = loadAddon();
  const openBelow = addon?.openBelow;
  if (addon !== undefined) addon.openBelow = () => -constants.errno[code];
  fs.openSync = (file, ...rest) => {
    if (file.toString().endsWith('/=+a'))
      throw Object.assign(new Error(`${code}: too many`), { code, syscall: 'open' });
    return openSync(file, ...rest);
  };
  syncBuiltinESMExports();
  try {
    await expect(append(A)).rejects.toMatchObject({ code });
  } finally {
    if (addon !== undefined && openBelow !== undefined) addon.openBelow = openBelow;
    fs.openSync = openSync;
    syncBuiltinESMExports();
  }
});
