/** Mail of every kind that `--reset` has to bring back, and what is left when it has: 3.x as it was, and no 4.x. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { expect } from 'vitest';
import { fillFolder, type SmallStore, simpleMessage } from '../support/migrated-store.js';
import { primaryOf } from './reset-support.js';

/** The 3.x directory of joe's INBOX. */
export const inboxOf = (store: SmallStore): string => `${store.mailbox}/joe/INBOX`;

/**
 * joe: a plain message, bare LF, one shared by INBOX and Box, a bare one shared by both, two files without a line
 * whose times differ by a nanosecond; a sub-folder of INBOX; empty: no mailbox directory.
 */
export function fillMail(store: SmallStore): void {
  const inbox = inboxOf(store);
  store.user('joe');
  store.user('empty');
  fillFolder(store, 'joe', 'INBOX', 7, [
    { uid: 3, content: simpleMessage('first'), flags: 'SA,$Forwarded,Junk', date: 946_684_800 },
    { uid: 104, content: simpleMessage('second') },
    { uid: 105, content: 'Subject: bare\n\nLF\n', flags: 'F' },
    { uid: 106, content: 'Subject: shared bare\n\nLF\n' },
  ]);
  fillFolder(store, 'joe', 'Box', 8, [{ uid: 1, content: simpleMessage('boxed'), flags: 'F' }]);
  fillFolder(store, 'joe', 'INBOX/deep/er', 9, [{ uid: 5, content: simpleMessage('deep') }]);
  fs.linkSync(`${inbox}/msg104`, `${store.mailbox}/joe/Box/shared`);
  fs.linkSync(`${inbox}/msg106`, `${store.mailbox}/joe/Box/sharedbare`);
  fs.appendFileSync(`${store.mailbox}/joe/Box/.mailbox`, '2 1000 - 1 shared\n3 1000 - 1 sharedbare\n');
  for (const [name, nanoseconds] of [
    ['late', '2'],
    ['early', '1'],
  ] as const) {
    fs.writeFileSync(`${inbox}/${name}`, `Subject: ${name}\n\nno line\n`);
    // Node's utimes loses nanoseconds; touch does not.
    const { status, stderr } = spawnSync('touch', ['-d', `@1000000000.00000000${nanoseconds}`, `${inbox}/${name}`]);
    if (status !== 0) throw new Error(`touch: ${stderr}`);
  }
}

/** What is left after a reset but the 3.x mail: nothing. */
export function expectClean(store: SmallStore): void {
  expect(fs.readdirSync(store.mailbox).sort()).toEqual(['joe']);
  expect(fs.readdirSync(primaryOf(store))).toEqual([]);
  expect(fs.readdirSync(`${store.instance}/store/mboxlist`)).toEqual([]);
  expect(fs.readdirSync(`${store.instance}/lock`)).toEqual([]);
}
