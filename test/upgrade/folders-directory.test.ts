/** `upgrade -s` with a real slapd, with many users, and as the command that becomes the server account. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runCli } from '../support/process.js';
import { slapdMissing, startSlapd, suffixLdif, userLdif } from '../support/slapd.js';
import { ACCOUNT, HOST, INDEX, mailboxNames, needRoot, run, type SmallStore, smallStore } from './small-store.js';

describe('upgrade -s', () => {
  let store: SmallStore;
  beforeEach(() => {
    store = smallStore();
  });
  afterEach(() => store.remove());

  it('finds the users in the directory that NscpMail.conf names', async (ctx) => {
    const missing = slapdMissing();
    if (missing !== undefined) {
      console.log(`skipped: ${ctx.task.name}: ${missing}`);
      ctx.skip(missing);
    }
    const disk = store.storePath('mail/sales');
    const entry = { mailHost: HOST };
    const ldif = [
      suffixLdif(),
      userLdif({ ...entry, uid: 'fred' }),
      userLdif({ ...entry, uid: 'anna', storePath: disk }),
      userLdif({ uid: 'other', mailHost: 'elsewhere.example.com' }),
    ].join('\n');
    const slapd = await startSlapd({ ldif });
    try {
      store.configure({
        LdapUrl: slapd.url,
        LdapBaseDN: slapd.suffix,
        LdapBindDN: slapd.rootDn,
        LdapBindPasswordFile: slapd.passwordFile,
      });
      store.folder(store.mailbox, 'fred', 'INBOX');
      store.folder(disk, 'anna', 'INBOX');
      store.finish();
      const report = await run(store, { directory: undefined });
      expect([report.exitCode, report.users.found]).toEqual([0, 2]);
      expect(await mailboxNames(store)).toEqual(['user/anna/INBOX', 'user/fred/INBOX']);
      expect(report.partitions.map(({ name, users }) => [name, users])).toEqual([
        ['primary', 1],
        ['sales', 1],
      ]);
      // A second run finds the directory in configdb.
      store.configure({ LdapUrl: 'ldap://127.0.0.1:1/' });
      store.finish();
      expect((await run(store, { directory: undefined })).users.found).toBe(2);
    } finally {
      await slapd.stop();
    }
  });

  it('does thousands of users in bounded memory', async () => {
    const users = 3000;
    for (let i = 0; i < users; i += 1) {
      store.user(`user${i}`);
      store.folder(store.mailbox, `user${i}`, 'INBOX', INDEX(i + 1));
    }
    store.finish();
    const anonymous = () => Number(/RssAnon:\s+(\d+)/.exec(fs.readFileSync('/proc/self/status', 'utf8'))?.[1]) / 1024;
    const before = anonymous();
    let peak = 0;
    const report = await run(store, {
      onProgress: () => {
        peak = Math.max(peak, anonymous());
      },
    });
    expect(report.folders).toMatchObject({ found: users, added: users });
    expect(report.exitCode).toBe(0);
    expect(peak - before).toBeLessThan(150);
  });

  it('as a command writes its files also where only root may make them', (ctx) => {
    needRoot(ctx);
    store.user('fred');
    store.folder(store.mailbox, 'fred', 'INBOX', INDEX(1));
    const closed = store.folder(store.mailbox, 'fred', 'Closed', INDEX(2));
    store.finish();
    fs.chownSync(store.mailbox, 0, 0);
    fs.chownSync(closed, 0, 0);
    fs.chmodSync(closed, 0o700);
    const child = runCli(
      'upgrade',
      '-s',
      '--json',
      '--instance',
      store.instance,
      '--from',
      store.from,
      '--directory',
      store.ldif,
    );
    expect(child.status, child.stderr).toBe(1);
    const report = JSON.parse(child.stdout) as { errors: { code: string }[] };
    expect(report.errors.map(({ code }) => code)).toEqual(['FOLDER_UNREADABLE']);
    for (const name of ['__upfolder.db', '__upfolder.db-lock', '__up.primary.txt', 'upgrade4x.conf']) {
      expect([name, fs.statSync(join(store.mailbox, name)).uid]).toEqual([name, ACCOUNT.uid]);
    }
    expect(fs.statSync(join(store.instance, 'config/configdb')).uid).toBe(ACCOUNT.uid);
  });

  it('says so where a partition directory cannot be made, and goes on', async (ctx) => {
    needRoot(ctx);
    const disk = store.storePath('mail/sales');
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', disk]).status !== 0)
      ctx.skip('no tmpfs can be mounted');
    try {
      store.user('anna', { mailMessageStore: disk });
      store.folder(disk, 'anna', 'INBOX', INDEX(1));
      store.finish();
      spawnSync('mount', ['-o', 'remount,ro', disk]);
      const report = await run(store);
      expect(report.exitCode).toBe(0);
      expect(report.warnings.map(({ code }) => code)).toEqual(['PARTITION_READ_ONLY']);
      expect(await mailboxNames(store)).toEqual(['user/anna/INBOX']);
    } finally {
      spawnSync('umount', [disk]);
    }
  });

  it('as a command becomes the server account: what that cannot read is reported, the rest goes on', (ctx) => {
    needRoot(ctx);
    store.user('fred');
    store.folder(store.mailbox, 'fred', 'INBOX', INDEX(1));
    const closed = store.folder(store.mailbox, 'fred', 'Closed', INDEX(2));
    store.folder(store.mailbox, 'fred', 'Closed/below', INDEX(3));
    store.user('anna');
    store.folder(store.mailbox, 'anna', 'INBOX', INDEX(4));
    store.finish();
    fs.chownSync(closed, 0, 0);
    fs.chmodSync(closed, 0o700);
    // Only root can read the list of users, and pass the top directory.
    fs.chmodSync(store.ldif, 0o600);
    fs.chmodSync(store.root, 0o700);
    const child = runCli(
      'upgrade',
      '-s',
      '--json',
      '--instance',
      store.instance,
      '--from',
      store.from,
      '--directory',
      store.ldif,
    );
    expect(child.status, child.stderr).toBe(1);
    const report = JSON.parse(child.stdout) as {
      errors: { code: string; folder: string }[];
      folders: { added: number };
    };
    expect(report.errors.map(({ code, folder }) => [code, folder])).toEqual([['FOLDER_UNREADABLE', 'Closed']]);
    expect(report.folders.added).toBe(2);
    for (const name of ['__upfolder.db', '__up.primary.txt', 'upgrade4x.conf']) {
      const status = fs.statSync(join(store.mailbox, name));
      expect([name, status.uid, status.gid, status.mode & 0o777]).toEqual([name, ACCOUNT.uid, ACCOUNT.gid, 0o600]);
    }
  });
});

/** Runs `upgrade` as a process. */
