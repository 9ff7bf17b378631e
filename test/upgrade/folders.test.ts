/** What one run of `upgrade -s` leaves behind. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ACCOUNT, databases, INDEX, mailboxNames, run, type SmallStore, smallStore, snapshot } from './small-store.js';

const NOW = 2_000_000_000;

describe('upgrade -s', () => {
  let store: SmallStore;
  beforeEach(() => {
    store = smallStore();
  });
  afterEach(() => store.remove());

  const codes = (problems: readonly { code: string; user: string; folder: string }[]) =>
    problems.map(({ code, user, folder }) => `${code} ${user} ${folder}`.trim());

  it('adds every folder in TRANSITION with ACL, uidvalidity, uidnext, quota and subscriptions', async () => {
    store.user('Fred', { mailQuota: '5000' });
    store.folder(store.mailbox, 'Fred', 'INBOX', INDEX(11, 5));
    const work = store.folder(store.mailbox, 'Fred', 'Work', INDEX(12, 6));
    store.folder(store.mailbox, 'Fred', 'Work/2024', INDEX(13, 7));
    store.folder(store.mailbox, 'Fred', 'INBOX/sub', INDEX(14, 8));
    fs.writeFileSync(join(work, '.acl'), 'anna lrs\nanyone p\n');
    fs.writeFileSync(join(store.mailbox, 'Fred/.subscriptions'), 'INBOX\nWork/2024\nGone\n');
    store.finish();
    const report = await run(store);
    expect(report).toMatchObject({
      exitCode: 0,
      errors: [],
      users: { found: 1, added: 1 },
      folders: { found: 4, added: 4 },
    });
    await databases(store, (mapping, mailboxes) => {
      const records = [...mailboxes.list()].map(
        ({ name, state, uidvalidity, uidnext, partition, owner, legacyName }) => ({
          name,
          state,
          uidvalidity,
          uidnext,
          partition,
          owner,
          legacyName,
        }),
      );
      const common = { state: 'TRANSITION', partition: 'primary', owner: 'Fred' };
      expect(records).toEqual([
        { ...common, name: 'user/Fred/INBOX', uidvalidity: 11, uidnext: 5, legacyName: 'INBOX' },
        { ...common, name: 'user/Fred/INBOX/sub', uidvalidity: 14, uidnext: 8, legacyName: 'INBOX/sub' },
        { ...common, name: 'user/Fred/Work', uidvalidity: 12, uidnext: 6, legacyName: 'Work' },
        { ...common, name: 'user/Fred/Work/2024', uidvalidity: 13, uidnext: 7, legacyName: 'Work/2024' },
      ]);
      expect(mailboxes.get('user/Fred/Work')?.acl).toEqual([
        { identifier: 'anna', rights: 'lrs' },
        { identifier: 'anyone', rights: 'p' },
      ]);
      expect(mailboxes.quota('Fred')).toEqual({ limit: 5000, usedBytes: 0, usedMessages: 0 });
      expect(mailboxes.subscriptions('Fred')).toEqual(['user/Fred/INBOX', 'user/Fred/Work/2024', 'user/Fred/Gone']);
      const folder = mapping.folderByMailbox('user/Fred/Work/2024');
      expect(folder).toMatchObject({ uid: 'Fred', partition: 'primary', root: null, migrated: false, missing: false });
      expect(folder?.inode).toBe(String(fs.statSync(join(work, '2024'), { bigint: true }).ino));
      expect(mailboxes.get('user/Fred/Work/2024')?.mappingId).toBe(folder?.id);
      expect(mapping.user('Fred')).toEqual({
        uid: 'Fred',
        storePath: store.mailbox,
        partition: 'primary',
        quota: 5000,
      });
      expect(mapping.meta()).toMatchObject({ mailboxDirectory: store.mailbox, from: store.from });
      expect(mapping.meta()?.finished).toBeGreaterThan(0);
    });
  });

  it('makes no mailbox in 4.x and touches nothing in 3.x', async () => {
    store.user('fred');
    store.folder(store.mailbox, 'fred', 'INBOX');
    store.finish();
    const before = snapshot(join(store.mailbox, 'fred'));
    await run(store);
    expect(snapshot(join(store.mailbox, 'fred'))).toEqual(before);
    expect(fs.readdirSync(join(store.instance, 'store/partition/primary'))).toEqual([]);
  });

  it('makes the 4.x instance: modes 0700 and 0600, all of it the server account’s', async () => {
    store.user('fred');
    store.finish();
    expect((await run(store)).instanceCreated).toBe(true);
    const paths = ['', ...(fs.readdirSync(store.instance, { recursive: true }) as string[])].map((name) =>
      join(store.instance, name),
    );
    for (const path of paths) {
      const status = fs.statSync(path);
      expect([path, status.uid, status.gid, status.mode & 0o7777]).toEqual([
        path,
        ACCOUNT.uid,
        ACCOUNT.gid,
        status.isDirectory() ? 0o700 : 0o600,
      ]);
    }
    for (const part of [
      'config/configdb',
      'lock/__lock.share',
      'queue/active',
      'queue/deferred',
      'store/user',
      'store/mboxlist',
    ]) {
      expect(fs.existsSync(join(store.instance, part)), part).toBe(true);
    }
    const log = fs.readFileSync(join(store.instance, 'log/default/default'), 'utf8');
    expect(log).toMatch(/Store Notice: upgrade -s done: 1 users/);
  });

  it('makes partitions, user lists and upgrade4x.conf as the guide shows them', async () => {
    const disk = store.storePath('mail/Marketing-1');
    store.user('fred');
    store.user('anna', { mailMessageStore: `${disk}//` });
    store.user('bob', { mailMessageStore: disk });
    store.user('eve', { mailMessageStore: store.mailbox });
    store.folder(disk, 'anna', 'INBOX');
    store.finish();
    const report = await run(store);
    const path = join(disk, '.0004x.marketing1');
    expect(report.partitions.map(({ name, users, path: where, moves }) => [name, users, where, moves])).toEqual([
      ['primary', 2, join(store.instance, 'store/partition/primary'), 'link'],
      ['marketing1', 2, path, 'link'],
    ]);
    const status = fs.statSync(path);
    expect([status.mode & 0o7777, status.uid, status.gid]).toEqual([0o700, ACCOUNT.uid, ACCOUNT.gid]);
    const configdb = fs.readFileSync(join(store.instance, 'config/configdb'), 'utf8');
    expect(configdb).toContain(`\nstore.partition.marketing1.path|${path}\n`);
    expect(configdb).toContain(`\nstore.partition.primary.path|${store.instance}/store/partition/primary\n`);
    expect(configdb).toContain(`\nlocal.upgrade.from|${store.from}\n`);
    expect(fs.readFileSync(join(store.mailbox, '__up.marketing1.txt'), 'utf8')).toBe(
      `[4x partition]:marketing1\n[3x MailStorePath]:${disk}\n#---------List of mail user id ------\nanna\nbob\n`,
    );
    expect(fs.readFileSync(join(store.mailbox, '__up.primary.txt'), 'utf8')).toBe(
      `[4x partition]:primary\n[3x MailStorePath]:${store.mailbox}\n#---------List of mail user id ------\neve\nfred\n`,
    );
    const conf = fs.readFileSync(join(store.mailbox, 'upgrade4x.conf'), 'utf8');
    expect(conf).toContain(`\nupgrade.instance|${store.instance}\n`);
    expect(conf).toContain(`\nupgrade.partition.marketing1.storepath|${disk}\n`);
    expect(conf).toContain('\nupgrade.removemessages|no\n');
    expect(fs.readdirSync(store.mailbox).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('reports and skips bad entries, and does the others (exit 1)', async () => {
    store.user('fred');
    store.user('-bad');
    store.user('Twin');
    store.user('twin');
    store.user('dots', { mailMessageStore: '/a/../b' });
    store.user('quota', { mailQuota: 'much' });
    store.user('nodisk', { mailMessageStore: join(store.root, 'not/mounted') });
    store.finish();
    const report = await run(store);
    expect(report.exitCode).toBe(1);
    expect(report.users).toMatchObject({ found: 1, added: 1 });
    const found = report.errors.map(({ code }) => code);
    expect(found).toContain('DIR_UID');
    expect(found.filter((code) => code === 'DIR_DUPLICATE_UID')).toHaveLength(2);
    expect(found).toContain('DIR_STORE_PATH');
    expect(found).toContain('STORE_PATH_MISSING');
    expect(await mailboxNames(store)).toEqual(['user/fred/INBOX']);
    expect(fs.existsSync(join(store.root, 'not'))).toBe(false);
    const log = fs.readFileSync(join(store.instance, 'log/default/default'), 'utf8');
    for (const code of new Set(found)) expect(log).toMatch(new RegExp(`Store Error: .*${code}`));
  });

  it('skips users of a store path that others may write to, unless it is vouched for', async () => {
    const open = store.storePath('open/sales');
    store.user('fred');
    store.user('eve', { mailMessageStore: open });
    store.folder(open, 'eve', 'INBOX');
    store.finish();
    fs.chmodSync(join(store.root, 'open'), 0o777);
    const report = await run(store);
    expect(report.exitCode).toBe(1);
    expect(codes(report.errors)).toEqual(['STORE_PATH_UNTRUSTED eve']);
    expect(fs.existsSync(join(open, '.0004x.sales'))).toBe(false);
    const again = await run(store, { storePaths: [open] });
    expect([again.exitCode, again.users.added]).toEqual([0, 1]);
  });

  it('gives a user without a mailbox directory, or without INBOX in it, an empty INBOX, with a warning', async () => {
    store.user('anna');
    store.user('bob');
    store.folder(store.mailbox, 'bob', 'Work');
    store.finish();
    const report = await run(store, { now: NOW });
    expect(report.exitCode).toBe(0);
    expect(codes(report.warnings)).toEqual(['USER_NO_MAILBOX anna', 'USER_NO_INBOX bob']);
    await databases(store, (mapping, mailboxes) => {
      expect(mapping.folderByMailbox('user/anna/INBOX')).toMatchObject({ missing: true, isInbox: true, inode: '0' });
      expect(mailboxes.get('user/bob/INBOX')).toMatchObject({ state: 'TRANSITION', uidvalidity: NOW, uidnext: 1 });
    });
  });

  it('follows no link: neither a mailbox directory nor a folder nor INBOX', async () => {
    const elsewhere = store.storePath('elsewhere');
    store.folder(elsewhere, 'secret', 'INBOX', INDEX(666));
    store.user('anna');
    store.user('bob');
    store.user('carl');
    fs.symlinkSync(join(elsewhere, 'secret'), join(store.mailbox, 'anna'));
    store.folder(store.mailbox, 'bob', 'Work');
    fs.symlinkSync(join(elsewhere, 'secret/INBOX'), join(store.mailbox, 'bob/INBOX'));
    fs.writeFileSync(join(store.mailbox, 'carl'), '');
    store.finish();
    const report = await run(store);
    expect(report.exitCode).toBe(1);
    expect(codes(report.errors)).toEqual(['USER_DIRECTORY anna', 'FOLDER_LINK bob INBOX', 'USER_DIRECTORY carl']);
    expect(await mailboxNames(store)).toEqual(['user/bob/Work']);
  });

  it('does not take an index that cannot be opened for a lost one', async () => {
    store.user('anna');
    const folder = store.folder(store.mailbox, 'anna', 'Work', null);
    fs.symlinkSync('/etc/passwd', join(folder, '.mailbox'));
    store.folder(store.mailbox, 'anna', 'Work/below', INDEX(5));
    store.folder(store.mailbox, 'anna', 'INBOX');
    store.finish();
    const report = await run(store);
    expect([report.exitCode, report.folders.failed]).toEqual([1, 1]);
    expect(report.errors.map(({ folder: name }) => name)).toEqual(['Work']);
    expect(await mailboxNames(store)).toEqual(['user/anna/INBOX', 'user/anna/Work/below']);
  });

  it('names hostile and colliding folders apart, and says so', async () => {
    store.user('fred');
    for (const name of ['INBOX', 'Inbox', 'inbox', 'a%', 'a*', 'é', Buffer.from([0xe9])])
      store.folder(store.mailbox, 'fred', name);
    store.folder(store.mailbox, 'fred', 'Inbox/child');
    store.finish();
    const report = await run(store);
    expect(report.exitCode).toBe(0);
    const names = await mailboxNames(store);
    expect(new Set(names).size).toBe(8);
    expect(names).toContain('user/fred/&AOk-');
    expect(names.filter((name) => /^user\/fred\/[Ii]nbox~[0-9a-f]{8}$/.test(name))).toHaveLength(2);
    expect(names.filter((name) => /^user\/fred\/Inbox~[0-9a-f]{8}\/child$/.test(name))).toHaveLength(1);
    expect(report.warnings.filter(({ code }) => code === 'FOLDER_RENAMED')).toHaveLength(4);
  });

  it('chooses a uidvalidity for a lost header: its own time', async () => {
    store.user('fred');
    store.folder(store.mailbox, 'fred', 'INBOX', 'garbage\n');
    store.folder(store.mailbox, 'fred', 'None', null);
    store.folder(store.mailbox, 'fred', 'Empty', '');
    store.finish();
    const report = await run(store, { now: NOW });
    expect([report.exitCode, report.warnings.length]).toEqual([0, 3]);
    await databases(store, (mapping, mailboxes) => {
      for (const name of ['INBOX', 'None', 'Empty']) {
        expect(mapping.folderByMailbox(`user/fred/${name}`)).toMatchObject({
          uidvalidity: NOW,
          uidvalidityChosen: true,
        });
        expect(mailboxes.get(`user/fred/${name}`)?.uidvalidity).toBe(NOW);
      }
    });
  });

  it('goes through folders a thousand levels deep', async () => {
    store.user('fred');
    store.folder(store.mailbox, 'fred', 'INBOX');
    // Longer than PATH_MAX: made level by level.
    const cwd = process.cwd();
    try {
      process.chdir(join(store.mailbox, 'fred'));
      for (let level = 0; level < 1010; level += 1) {
        const name = level < 220 ? `level-${String(level).padStart(3, '0')}-with-a-long-name` : 'x';
        fs.mkdirSync(name);
        process.chdir(name);
      }
    } finally {
      process.chdir(cwd);
    }
    store.finish();
    const report = await run(store);
    // Deeper than a thousand levels they are left alone, each reported.
    expect([report.exitCode, report.folders.found]).toEqual([1, 1001]);
    expect(new Set(report.errors.map(({ code }) => code))).toEqual(new Set(['FOLDER_PATH_LONG']));
    expect(report.errors).toHaveLength(10);
    const deepest = (await mailboxNames(store)).reduce((a, b) => (a.length > b.length ? a : b));
    expect(deepest.split('/')).toHaveLength(1002);
  });

  it('with --dry-run checks and counts, and writes nothing', async () => {
    const disk = store.storePath('mail/sales');
    store.user('fred');
    store.user('anna', { mailMessageStore: disk });
    store.folder(store.mailbox, 'fred', 'INBOX');
    store.folder(disk, 'anna', 'Work');
    store.finish();
    const before = snapshot(store.root);
    const report = await run(store, { dryRun: true });
    expect(snapshot(store.root)).toEqual(before);
    expect(report).toMatchObject({ exitCode: 0, dryRun: true, instanceCreated: false, files: [] });
    expect(report.folders).toMatchObject({ found: 3, added: 3 });
    await run(store);
    const after = snapshot(store.root);
    const lock = join(store.instance, 'lock/__lock.share');
    const holder = '1 an earlier run\n';
    fs.writeFileSync(lock, holder);
    const again = await run(store, { dryRun: true });
    expect(fs.readFileSync(lock, 'utf8')).toBe(holder);
    expect(again.folders).toMatchObject({ found: 3, added: 0, waiting: 3 });
    expect(snapshot(store.root)).toEqual(after);
  });

  it('remembers --work-dir and --from', async () => {
    store.user('fred');
    store.finish();
    const work = store.storePath('work');
    await run(store, { workDir: work });
    expect(fs.readdirSync(work).sort()).toEqual([
      '__up.primary.txt',
      '__upfolder.db',
      '__upfolder.db-lock',
      'upgrade4x.conf',
    ]);
    expect(fs.readdirSync(store.mailbox)).toEqual([]);
    store.user('anna');
    store.finish();
    const report = await run(store, { from: undefined });
    expect([report.workDir, report.users.added, report.from]).toEqual([work, 1, store.from]);
  });

  it('carries the settings of 3.x over, keeps unknown keys and reports them', async () => {
    store.configure({
      SmtpPort: '2525',
      QuotaDefault: '0',
      Postmaster: 'pm@example.com',
      Colour: 'mauve',
      LdapUrl: 'ldap://x/',
    });
    store.user('fred');
    store.finish();
    const report = await run(store);
    expect(report.exitCode).toBe(0);
    expect(report.warnings.filter(({ message }) => message.includes('Colour'))).toHaveLength(1);
    const configdb = fs.readFileSync(join(store.instance, 'config/configdb'), 'utf8');
    for (const line of [
      'service.smtp.port|2525',
      'store.defaultmailboxquota|-1',
      'local.postmaster|pm@example.com',
      'local.upgrade.unknown.colour|mauve',
      'local.ugldapurl|ldap://x/',
    ]) {
      expect(configdb).toContain(`\n${line}\n`);
    }
  });
});
