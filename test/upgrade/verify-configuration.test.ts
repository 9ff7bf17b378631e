/** `--verify`: configdb and `upgrade4x.conf` against the databases, and what the server account may not read. */
import * as fs from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { VerifyReport } from '../../src/upgrade/verify.js';
import { needRoot } from './small-store.js';
import { codes, makeVerifiedStore, owned, type VerifiedStore } from './verify-support.js';

let verified: VerifiedStore;

beforeAll(() => {
  verified = makeVerifiedStore();
});

afterAll(() => verified.store.remove());

const where = (report: VerifyReport, code: string) =>
  report.findings.filter((finding) => finding.code === code).map((finding) => finding.where);
const upgradeConf = () => `${verified.store.mailbox}/upgrade4x.conf`;
const withLine = (path: string, option: string, value: string) =>
  verified.verifyWithContent(path, (content) => {
    const text = content.toString('utf8').replace(new RegExp(`^${option}\\|.*$`, 'm'), `${option}|${value}`);
    expect(text).not.toBe(content.toString('utf8'));
    return text;
  });

describe('originals that are gone', () => {
  it('because the mapping has another store path for the user: an error', async () => {
    const user = await verified.readMapping((database) => database.user('joe')!);
    const report = await verified.verifyWith(
      () => verified.changeMapping((writes) => writes.putUser({ ...user, storePath: `${user.storePath}x` })),
      () => verified.changeMapping((writes) => writes.putUser(user)),
    );
    expect(codes(report)).toEqual(['VERIFY_CONFIGURATION', 'VERIFY_SOURCE_GONE']);
    expect(where(report, 'VERIFY_CONFIGURATION')).toEqual(['user joe']);
    expect(report.exitCode).toBe(1);
  });

  it('because one byte of that path was changed: the value is refused', async () => {
    const key = Buffer.from('joe');
    const before = (await verified.rawValue('mapping', 'user', key, null))!;
    const damaged = Buffer.from(before);
    damaged[before.indexOf('"storePath":"/') + 15]! ^= 1;
    await verified.rawValue('mapping', 'user', key, damaged);
    try {
      const report = await verified.verify();
      expect(report.exitCode).toBe(1);
      expect(report.byCode.VERIFY_RECORD).toBeGreaterThan(0);
    } finally {
      await verified.rawValue('mapping', 'user', key, before);
    }
  });

  it('for good, with everything else in agreement: a note, and the verdict says what was not compared', async () => {
    const [joe, away] = [verified.original(''), `${verified.store.root}/away`];
    const report = await verified.verifyWith(
      () => fs.renameSync(joe, away),
      () => fs.renameSync(away, joe),
    );
    expect([report.exitCode, codes(report)]).toEqual([0, ['VERIFY_SOURCE_GONE']]);
    expect(report.text).toMatch(/^Everything holds; 5 3\.x folders were not there to compare with\.$/m);
  });
});

describe('upgrade4x.conf', () => {
  it.each([
    ['upgrade.version', '2'],
    ['upgrade.instance', '/nowhere'],
    ['upgrade.from', '/nowhere'],
    ['upgrade.hostname', 'mail.example.con'],
    ['upgrade.mailboxdirectory', '/nowhere'],
    ['upgrade.workdir', '/nowhere'],
    ['upgrade.serveruser', 'nobody'],
    ['upgrade.servergroup', 'nobody'],
    ['upgrade.removemessages', 'nO'],
  ])('with another %s', async (option, value) => {
    const report = await withLine(upgradeConf(), option, value);
    expect(report.byCode).toEqual({ VERIFY_CONFIGURATION: 1 });
    expect(where(report, 'VERIFY_CONFIGURATION')[0]).toContain(option);
  });

  it('with another store path of a partition: every user of it', async () => {
    const report = await withLine(upgradeConf(), 'upgrade.partition.primary.storepath', '/nowhere');
    expect(report.byCode).toEqual({ VERIFY_CONFIGURATION: 2 });
  });

  it('that is gone', async () => {
    const away = `${verified.store.root}/away`;
    const report = await verified.verifyWith(
      () => fs.renameSync(upgradeConf(), away),
      () => fs.renameSync(away, upgradeConf()),
    );
    expect(report.byCode).toEqual({ VERIFY_CONFIGURATION: 1 });
  });

  it('that names the instance by another path to the same directory', async () => {
    const link = `${verified.store.root}/link`;
    fs.symlinkSync(verified.store.instance, link);
    const report = await withLine(upgradeConf(), 'upgrade.instance', link);
    expect(report.byCode).toEqual({});
  });
});

describe('configdb', () => {
  const configdb = () => `${verified.store.instance}/config/configdb`;

  it('with another path of a partition than its mailboxes have', async () => {
    const report = await withLine(configdb(), 'store.partition.primary.path', '/nowhere');
    expect(report.byCode).toEqual({ VERIFY_CONFIGURATION: 1 });
    expect(where(report, 'VERIFY_CONFIGURATION')).toEqual(['configdb, store.partition.primary.path']);
  });

  it('with another 3.x instance', async () => {
    const report = await verified
      .verifyWith(
        () => fs.renameSync(configdb(), `${configdb()}.away`),
        () => fs.renameSync(`${configdb()}.away`, configdb()),
      )
      .catch((error: unknown) => error);
    // Without its options it is no instance.
    expect(report).toMatchObject({ code: 'INSTANCE_MISSING', exit: 3 });
    const other = `${verified.store.root}/server3-link`;
    fs.symlinkSync(verified.store.from, other);
    expect((await withLine(configdb(), 'local.upgrade.from', other)).byCode).toEqual({ VERIFY_CONFIGURATION: 1 });
  });
});

describe('what the server account may not read, though root may', () => {
  const asRoot = async (path: string, mode: number): Promise<VerifyReport> => {
    const before = fs.statSync(path).mode & 0o7777;
    fs.chmodSync(path, mode);
    try {
      return await verified.verify({ becomeServerAccount: true });
    } finally {
      fs.chmodSync(path, before);
    }
  };

  it('a partition that cannot be listed halts nothing', async (ctx) => {
    needRoot(ctx);
    const report = await asRoot(verified.primary, 0o300);
    expect([report.halted, report.exitCode]).toEqual([null, 1]);
    expect(report.byCode).toEqual({ VERIFY_DIRECTORY_MISSING: 1, VERIFY_MODE: 1 });
    expect(report.messages).toMatchObject({ checked: 7, read: 7 });
  });

  it('a partition of another owner halts nothing', async (ctx) => {
    needRoot(ctx);
    fs.chownSync(verified.primary, 12_345, 12_345);
    try {
      const report = await verified.verify({ becomeServerAccount: true });
      expect([report.halted, report.exitCode]).toEqual([null, 1]);
      expect(codes(report)).toEqual(['VERIFY_DIRECTORY_MISSING', 'VERIFY_OWNER']);
    } finally {
      owned(verified.primary);
    }
  });

  it('a configdb that cannot be read any more was read before', async (ctx) => {
    needRoot(ctx);
    const report = await asRoot(`${verified.store.instance}/config/configdb`, 0o200);
    expect(report.byCode).toEqual({ VERIFY_MODE: 1 });
    expect(report.halted).toBeNull();
  });

  it('a directory above the mailboxes: its mode is named, and it is not called a stranger', async (ctx) => {
    needRoot(ctx);
    const report = await asRoot(`${verified.primary}/=user`, 0o000);
    expect(codes(report)).toEqual(['VERIFY_DIRECTORY_MISSING', 'VERIFY_MODE']);
  });

  it.for([
    ['a mailbox directory', () => verified.directoryOf('user/joe/Box'), 'VERIFY_DIRECTORY_MISSING'],
    ['a hash directory', () => `${verified.directoryOf('user/joe/Box')}/00`, 'VERIFY_MESSAGE_UNREADABLE'],
  ] as const)('%s: its mode is named too', async ([_, path, code], ctx) => {
    needRoot(ctx);
    const report = await asRoot(path(), 0o000);
    expect(report.byCode).toMatchObject({ [code]: expect.any(Number), VERIFY_MODE: 1 });
    expect(where(report, 'VERIFY_MODE')).toEqual([path()]);
  });

  it.for([
    ['a mailbox directory', () => verified.directoryOf('user/joe/Box')],
    ['a hash directory', () => `${verified.directoryOf('user/joe/Box')}/00`],
    ['a directory above the mailboxes', () => `${verified.primary}/=user`],
    ['the partition', () => verified.primary],
  ] as const)('%s that may be listed, but not entered, halts nothing', async ([_, path], ctx) => {
    needRoot(ctx);
    const report = await asRoot(path(), 0o600);
    expect([report.halted, report.exitCode]).toEqual([null, 1]);
    expect(where(report, 'VERIFY_MODE')).toEqual([path()]);
  });
});
