/** A 3.x store path that is not there: retired with users who left the directory, or a disk that is not mounted. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type HandSite, handSite } from './hand-site.js';

const MESSAGE = 'From: a\r\nSubject: hello\r\n\r\nbody\r\n';

let site: HandSite;
let disk: string;
beforeEach(() => {
  site = handSite();
  const { store } = site;
  disk = store.storePath('mail/disk2/x');
  store.user('ann');
  store.user('bob', { mailMessageStore: disk });
  for (const [path, uid] of [
    [store.mailbox, 'ann'],
    [disk, 'bob'],
  ] as const) {
    const index = `NSMB 3 7 3\n1 1000 S ${MESSAGE.length} one\n`;
    fs.writeFileSync(join(store.folder(path, uid, 'INBOX', index), 'one'), MESSAGE);
  }
  store.finish();
  expect(site.folders()).toMatchObject({ status: 0 });
});
afterEach(() => site.remove());

describe('a store path that is not there', () => {
  it('stops its own users only, is told once with exit 4, and goes on when it is back', () => {
    const { store } = site;
    const away = join(store.root, 'away');
    fs.renameSync(disk, away);
    // Bob is gone for good: his entry as well.
    const entries = fs.readFileSync(store.ldif, 'utf8').split('\n\n');
    fs.writeFileSync(store.ldif, entries.filter((entry) => !entry.includes('uid: bob')).join('\n\n'));
    expect(site.folders().status).toBe(0);

    const dry = site.messages('--dry-run');
    expect(dry.status, dry.stdout + dry.stderr).toBe(1);
    expect(JSON.parse(dry.stdout)).toMatchObject({ folders: 1, problems: [{ code: 'SOURCE_HALT' }] });

    const { status, stdout } = site.messages();
    expect(status, stdout).toBe(4);
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({
      folders: { done: 1, failed: 0 },
      devices: [{ side: 'source', path: disk, call: 'open', errno: 'ENOENT', foldersLeft: 1 }],
    });
    expect(report.errors).toMatchObject([{ code: 'SOURCE_HALT', message: expect.stringContaining(disk) }]);
    expect(site.mailbox('user/ann/INBOX').state).toBe('NON-TRANSITION');
    expect(site.mailbox('user/bob/INBOX').state).toBe('TRANSITION');
    // What an administrator does without the disk: the lists of the others (docs/operations.md).
    expect(site.run('upgrade', '-u', join(store.mailbox, '__up.primary.txt')).status).toBe(0);

    fs.renameSync(away, disk);
    expect(site.messages().status).toBe(0);
    expect(site.mailbox('user/bob/INBOX')).toMatchObject({ state: 'NON-TRANSITION', messages: 1 });
  });
});
