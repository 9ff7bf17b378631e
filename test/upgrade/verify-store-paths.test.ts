/** `--verify`: 3.x store paths that are gone, and such as only cannot be opened. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type VerifyReport, verifyStore } from '../../src/upgrade/verify.js';
import { type HandSite, handSite } from '../e2e/hand-site.js';
import { simpleMessage } from '../support/migrated-store.js';
import { ACCOUNT, needRoot } from './small-store.js';

let site: HandSite;
/** Bob's; carl, who comes after him in every list, has another one. */
let disk: string;

beforeAll(() => {
  site = handSite();
  const { store } = site;
  disk = store.storePath('mail/disk2');
  const other = store.storePath('mail/disk3');
  store.user('ann');
  store.user('bob', { mailMessageStore: disk });
  store.user('carl', { mailMessageStore: other });
  for (const [path, uid] of [
    [store.mailbox, 'ann'],
    [disk, 'bob'],
    [other, 'carl'],
  ] as const) {
    const content = simpleMessage(uid);
    const index = `NSMB 3 7 2\n1 1000 S ${content.length} one\n`;
    fs.writeFileSync(join(store.folder(path, uid, 'INBOX', index), 'one'), content);
  }
  const partition = store.storePath('mail/partition');
  fs.chmodSync(partition, 0o700);
  store.finish();
  expect(site.folders()).toMatchObject({ status: 0 });
  // Bob's partition is not below his store path, so only his originals are missing with that.
  expect(site.run('configutil', '-o', 'store.partition.disk2.path', '-v', partition)).toMatchObject({ status: 0 });
  expect(site.messages()).toMatchObject({ status: 0 });
});

afterAll(() => site.remove());

/** Verifies while bob's store path has another name; `replace` puts something in its place. */
async function verifyWithoutDisk(replace: (away: string) => void): Promise<VerifyReport> {
  const away = `${disk}.away`;
  fs.renameSync(disk, away);
  try {
    replace(away);
    return await verifyStore({ instance: site.store.instance });
  } finally {
    fs.rmSync(disk, { force: true });
    fs.renameSync(away, disk);
  }
}

const findings = (report: VerifyReport) => report.findings.map(({ code, user, where }) => [code, user, where]);

describe('a 3.x store path', () => {
  it.each([
    ['that is not there', () => {}],
    ['with a file in its place', () => fs.writeFileSync(disk, '')],
  ])('%s is gone: a note for each folder', async (_, replace) => {
    const report = await verifyWithoutDisk(replace);
    expect(findings(report)).toEqual([['VERIFY_SOURCE_GONE', 'bob', `${disk}/bob/INBOX`]]);
    expect([report.exitCode, report.messages.compared]).toEqual([0, 2]);
  });

  it('that cannot be opened is an error of its own, and the others are compared', async () => {
    const report = await verifyWithoutDisk(() => fs.symlinkSync(disk, disk));
    expect(findings(report)).toEqual([['VERIFY_SOURCE_UNREADABLE', '', disk]]);
    expect([report.exitCode, report.messages.compared]).toEqual([1, 2]);
  });

  it('that a link of another account leads to is one as well, by root', async (ctx) => {
    needRoot(ctx);
    const report = await verifyWithoutDisk((away) => {
      fs.symlinkSync(away, disk);
      fs.lchownSync(disk, ACCOUNT.uid, ACCOUNT.gid);
    });
    expect(findings(report)).toEqual([['VERIFY_SOURCE_UNREADABLE', '', disk]]);
    expect(report.findings[0]?.message).toContain('FS_FOREIGN_LINK');
    expect([report.exitCode, report.messages.compared]).toEqual([1, 2]);
  });
});
