/** `upgrade -s` where `.acl` or `.subscriptions` is there and cannot be read: nobody loses rights without a word. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { FoldersReport } from '../../src/upgrade/folders-report.js';
import { databases, INDEX, makeReadable, makeUnreadable, run, type SmallStore, smallStore } from './small-store.js';

let store: SmallStore;
let acl: string;
let subscriptions: string;

beforeEach(() => {
  store = smallStore();
  store.user('fred');
  store.folder(store.mailbox, 'fred', 'INBOX', INDEX(10));
  const work = store.folder(store.mailbox, 'fred', 'Work', INDEX(11));
  acl = join(work, '.acl');
  subscriptions = join(store.mailbox, 'fred/.subscriptions');
  fs.writeFileSync(acl, 'anna lrs\n');
  fs.writeFileSync(subscriptions, 'Work\n');
  store.finish();
});

afterEach(() => store.remove());

/** What the databases have of fred's folder Work. */
const onRecord = () =>
  databases(store, (_, mailboxes) => {
    const { acl: rights, uidnext } = mailboxes.get('user/fred/Work')!;
    return { rights, uidnext, subscriptions: mailboxes.subscriptions('fred') };
  });

const codesOf = ({ errors }: FoldersReport) => errors.map(({ user, folder, code }) => [user, folder, code]);

const BOTH = [
  ['fred', 'Work', 'ACL_UNREADABLE'],
  ['fred', '', 'SUBSCRIPTIONS_UNREADABLE'],
];
const READ = { rights: [{ identifier: 'anna', rights: 'lrs' }], subscriptions: ['user/fred/Work'] };

describe.each([
  ['the main thread', 0],
  ['threads', 2],
])('rights and subscriptions that %s cannot read', (_, readers) => {
  it('are errors, and stay as an earlier run read them', async () => {
    await run(store, { readers });
    fs.writeFileSync(join(store.mailbox, 'fred/Work/.mailbox'), INDEX(11, 9));
    for (const file of [acl, subscriptions]) makeUnreadable(file);
    const report = await run(store, { readers });
    expect([report.exitCode, codesOf(report)]).toEqual([1, BOTH]);
    expect(await onRecord()).toEqual({ ...READ, uidnext: 9 });
  });

  it('are errors of a new folder, which comes without them, and are taken in by the next run', async () => {
    for (const file of [acl, subscriptions]) makeUnreadable(file);
    const report = await run(store, { readers });
    expect([report.exitCode, codesOf(report)]).toEqual([1, BOTH]);
    expect(await onRecord()).toEqual({ rights: [], uidnext: 1, subscriptions: [] });
    for (const file of [acl, subscriptions]) makeReadable(file);
    expect((await run(store, { readers })).exitCode).toBe(0);
    expect(await onRecord()).toEqual({ ...READ, uidnext: 1 });
  });
});
