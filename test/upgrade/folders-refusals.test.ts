/** Every refusal of `upgrade -s`: its code, exit 3, and nothing written. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lockDirectory, lockStore } from '../../src/config/store-lock.js';
import { MailhaulError } from '../../src/errors.js';
import { closeDir, openRoot } from '../../src/fs/dir.js';
import type { FoldersOptions } from '../../src/upgrade/folders.js';
import { openSession } from '../../src/upgrade/session.js';
import { ACCOUNT, needRoot, publish, run, type SmallStore, smallStore, snapshot } from './small-store.js';

describe('upgrade -s refuses', () => {
  let store: SmallStore;
  beforeEach(() => {
    store = smallStore();
    store.user('fred');
    store.folder(store.mailbox, 'fred', 'INBOX');
    store.finish();
  });
  afterEach(() => store.remove());

  /** The error of a run that must be refused, after a look that nothing below the root changed. */
  async function refused(options: Partial<FoldersOptions> = {}): Promise<MailhaulError> {
    const before = snapshot(store.root);
    const error = await run(store, options).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(MailhaulError);
    expect(snapshot(store.root)).toEqual(before);
    return error as MailhaulError;
  }

  it('while the 3.x server runs, naming the process; --pid-is-stale overrides; a dead pid does not matter', async () => {
    fs.writeFileSync(join(store.from, 'NscpMail.pid'), `${process.pid}\n`);
    const error = await refused();
    expect([error.code, error.exit]).toEqual(['SOURCE_RUNNING', 3]);
    expect(error.message).toContain(String(process.pid));
    const ended = spawnSync('true').pid;
    fs.writeFileSync(join(store.from, 'NscpMail.pid'), `${ended}\n`);
    expect((await run(store)).exitCode).toBe(0);
    fs.writeFileSync(join(store.from, 'NscpMail.pid'), `${process.pid}\n`);
    expect((await run(store, { pidIsStale: true })).exitCode).toBe(0);
  });

  it.each(['3.0', '2.02', '4.1', ''])('version %j', async (version) => {
    store.configure({ Version: version });
    store.finish();
    const error = await refused();
    expect(error.code).toMatch(/^CONF_/);
    expect(error.exit).toBe(3);
  });

  it('a server account that does not exist', async () => {
    store.configure({ ServerUser: 'no-such-user' });
    store.finish();
    expect(await refused()).toMatchObject({ code: 'CONF_ACCOUNT', exit: 3 });
  });

  it('while another -s holds the mapping database, and while anybody uses the store', async () => {
    await run(store);
    const mailbox = openRoot(store.mailbox);
    const lockDir = openRoot(join(store.instance, 'lock'));
    const other = lockDirectory(mailbox, 'The mapping database');
    const running = await refused();
    expect(running).toMatchObject({ code: 'UPGRADE_RUNNING', exit: 3 });
    expect(running.message).toContain(`process ${process.pid}`);
    other.release();
    const service = lockStore(lockDir, 'shared', 'upgrade -m');
    const used = await refused();
    expect(used).toMatchObject({ code: 'STORE_LOCKED', exit: 3 });
    expect(used.message).toContain(`process ${process.pid}`);
    service.release();
    closeDir(mailbox);
    closeDir(lockDir);
    expect((await run(store)).exitCode).toBe(0);
  });

  it('for another instance while one migrates by the mapping database, which waits for it in turn', async () => {
    await run(store);
    const other = { instance: join(store.root, 'server4/msg-other') };
    const session = await openSession({ instance: store.instance }, 'upgrade -m');
    const second = await openSession({ instance: store.instance }, 'service');
    const running = await refused(other);
    expect(running).toMatchObject({ code: 'UPGRADE_RUNNING', exit: 3 });
    expect(running.message).toContain(`process ${process.pid}`);
    await second.close();
    await session.close();
    const mailbox = openRoot(store.mailbox);
    const lock = lockDirectory(mailbox, 'The mapping database');
    await expect(openSession({ instance: store.instance }, 'upgrade -m')).rejects.toMatchObject({
      code: 'UPGRADE_RUNNING',
      exit: 3,
    });
    await (await openSession({ instance: store.instance, readOnly: true }, 'upgrade --status')).close();
    lock.release();
    closeDir(mailbox);
    expect((await run(store, other)).exitCode).toBe(0);
  });

  it('without an instance and without --from, with a --from that is not there, with a 3.x instance as --instance', async () => {
    expect(await refused({ from: undefined })).toMatchObject({ code: 'INSTANCE_MISSING', exit: 3 });
    expect(await refused({ from: join(store.root, 'none') })).toMatchObject({ code: 'FROM_MISSING', exit: 3 });
    expect(await refused({ instance: store.from })).toMatchObject({ code: 'INSTANCE_MISSING', exit: 3 });
  });

  it('without a directory, and with one that cannot be read', async () => {
    expect(await refused({ directory: undefined })).toMatchObject({ code: 'DIR_NONE', exit: 3 });
    expect(await refused({ directory: join(store.root, 'none.ldif') })).toMatchObject({ code: 'DIR_FILE', exit: 3 });
    // A port where nobody listens.
    expect(await refused({ directory: 'ldap://127.0.0.1:1/' })).toMatchObject({ exit: 3 });
  });

  it('duplicate, reserved and empty partition names, all at once', async () => {
    for (const [uid, path] of [
      ['a', 'disk1/partition.one'],
      ['b', 'disk2/partition.one'],
      ['c', 'disk3/Primary'],
      ['d', 'disk4/--'],
    ] as const) {
      store.user(uid, { mailMessageStore: store.storePath(path) });
    }
    store.finish();
    const untouched = fs.statSync(store.mailbox, { bigint: true }).mtimeNs;
    const error = await refused();
    expect(error).toMatchObject({ code: 'PARTITION_NAMES', exit: 3 });
    expect(fs.statSync(store.mailbox, { bigint: true }).mtimeNs).toBe(untouched);
    for (const path of ['disk1/partition.one', 'disk2/partition.one', 'disk3/Primary', 'disk4/--']) {
      expect(error.message).toContain(`${store.root}/${path} (1 user)`);
    }
  });

  it('duplicate names of disks that are not mounted, too', async () => {
    store.user('a', { mailMessageStore: join(store.root, 'gone1/mail') });
    store.user('b', { mailMessageStore: join(store.root, 'gone2/mail') });
    store.finish();
    expect(await refused()).toMatchObject({ code: 'PARTITION_NAMES', exit: 3 });
  });

  it('store paths that are one directory, or lie in one another', async () => {
    const disk = store.storePath('disk1/sales');
    fs.symlinkSync(disk, join(store.root, 'alias'));
    store.user('a', { mailMessageStore: disk });
    store.user('b', { mailMessageStore: join(store.root, 'alias') });
    store.finish();
    expect(await refused()).toMatchObject({ code: 'STORE_PATHS_OVERLAP', exit: 3 });
    fs.unlinkSync(join(store.root, 'alias'));
    store.user('c', { mailMessageStore: store.storePath('disk1/sales/inner') });
    store.finish();
    expect(await refused()).toMatchObject({ code: 'STORE_PATHS_OVERLAP', exit: 3 });
  });

  it('a partition directory that is something else', async () => {
    const disk = store.storePath('disk1/sales');
    store.user('a', { mailMessageStore: disk });
    store.finish();
    fs.symlinkSync('/tmp', join(disk, '.0004x.sales'));
    expect(await refused()).toMatchObject({ code: 'PARTITION_DIRECTORY', exit: 3 });
  });

  it('a default mail store path that others may write to; --store-path vouches for it', async () => {
    fs.chmodSync(store.mailbox, 0o777);
    expect(await refused()).toMatchObject({ code: 'STORE_PATH_UNTRUSTED', exit: 3 });
    expect((await run(store, { storePaths: [`${store.mailbox}/`] })).exitCode).toBe(0);
  });

  it('a full or read-only mailbox directory, before anything is written; --work-dir helps', async (ctx) => {
    needRoot(ctx);
    const small = store.storePath('small');
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=128k,mode=755', 'tmpfs', small]);
    if (mounted.status !== 0) ctx.skip('no tmpfs can be mounted here');
    try {
      store.configure({ MailboxDirectory: small });
      store.finish();
      expect(await refused()).toMatchObject({ code: 'WORK_DIR_FULL', exit: 3 });
      expect(await refused({ dryRun: true })).toMatchObject({ code: 'WORK_DIR_FULL', exit: 3 });
      spawnSync('mount', ['-o', 'remount,ro', small]);
      const hint = expect.stringContaining('Mount its file system for writing');
      expect(await refused({ dryRun: true })).toMatchObject({ code: 'WORK_DIR_READ_ONLY', exit: 3, hint });
      expect(await refused()).toMatchObject({ code: 'WORK_DIR_READ_ONLY', exit: 3, hint });
      const report = await run(store, { workDir: store.storePath('work') });
      expect(report.exitCode).toBe(0);
      expect(fs.existsSync(join(store.root, 'work/__upfolder.db'))).toBe(true);
    } finally {
      spawnSync('umount', [small]);
    }
  });

  it('another work directory than the one that holds the mapping database', async () => {
    await run(store);
    expect(await refused({ workDir: store.storePath('work') })).toMatchObject({ code: 'WORK_DIR_CHANGED', exit: 3 });
  });

  it('a mailbox directory with the name of a file of its own; another directory for these does', async () => {
    store.user('upgrade4x.conf');
    store.folder(store.mailbox, 'upgrade4x.conf', 'INBOX');
    store.finish();
    const hint = expect.stringContaining('--work-dir');
    expect(await refused()).toMatchObject({ code: 'WORK_DIR_NAME', exit: 3, hint });
    const workDir = store.storePath('work');
    fs.chownSync(workDir, ACCOUNT.uid, ACCOUNT.gid);
    expect((await run(store, { workDir })).exitCode).toBe(0);
  });

  it('no instance that was moved, or is reached by a link, since mail was migrated to it', async () => {
    await run(store);
    await publish(store, 'user/fred/INBOX');
    const instance = join(store.root, 'server4/msg-moved');
    fs.symlinkSync('msg-new', instance);
    expect((await run(store, { instance })).exitCode).toBe(0);
    fs.rmSync(instance);
    fs.renameSync(store.instance, instance);
    expect((await run(store, { instance })).exitCode).toBe(0);
    // Another one, and the old one is gone: what it does not know was not migrated to it.
    expect(await refused()).toMatchObject({ code: 'MAPPING_OTHER_INSTANCE', exit: 3 });
    fs.rmSync(instance, { recursive: true });
    expect(await refused()).toMatchObject({ code: 'MAPPING_OTHER_INSTANCE', exit: 3 });
  });

  it('a mapping database by which mail went to another instance', async () => {
    await run(store);
    const other = join(store.root, 'server4/msg-other');
    await publish(store, 'user/fred/INBOX');
    const error = await refused({ instance: other });
    expect(error).toMatchObject({ code: 'MAPPING_OTHER_INSTANCE', exit: 3 });
    expect(error.message).toContain(store.instance);
  });

  it('folders of a second 3.x instance: those of the first would stay in TRANSITION without a mapping entry', async () => {
    await run(store);
    const second = smallStore();
    try {
      second.user('fred');
      second.folder(second.mailbox, 'fred', 'INBOX');
      second.finish();
      const other = { from: second.from, directory: second.ldif };
      const untouched = snapshot(second.root);
      expect(await refused(other)).toMatchObject({ code: 'FROM_OTHER', exit: 3 });
      expect(await refused({ ...other, dryRun: true })).toMatchObject({ code: 'FROM_OTHER', exit: 3 });
      expect(snapshot(second.root)).toEqual(untouched);
      // Its own mapping database, of another 4.x instance, makes no difference.
      await run(second);
      expect(await refused(other)).toMatchObject({ code: 'FROM_OTHER', exit: 3 });
    } finally {
      second.remove();
    }
  });

  it('another MailboxDirectory than the one whose folders the databases hold; not before there are any', async () => {
    store.configure({ MailboxDirectory: store.storePath('mail/empty') });
    store.finish();
    fs.writeFileSync(store.ldif, '');
    await run(store);
    store.configure({ MailboxDirectory: store.mailbox });
    store.finish();
    await run(store);
    store.configure({ MailboxDirectory: store.storePath('mail/other') });
    store.finish();
    expect(await refused()).toMatchObject({ code: 'MAILBOX_DIRECTORY_CHANGED', exit: 3 });
    store.configure({ MailboxDirectory: store.mailbox });
    store.finish();
    expect((await run(store)).exitCode).toBe(0);
  });

  it('to go on after a signal, with exit 4', async () => {
    const signal = AbortSignal.abort();
    const error = await run(store, { signal }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'HALTED', exit: 4 });
  });
});
