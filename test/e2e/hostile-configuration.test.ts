/**
 * What others write that administers a migration: directory entries, user lists, `upgrade4x.conf`, `configdb`
 * (docs/operations.md, "Security"). Each is used as the rules say or refused with a clear error, and nothing is made
 * where it does not belong.
 */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { ACCOUNT, INDEX, needRoot, snapshot } from '../upgrade/small-store.js';
import { foldersResult, type HandSite, handSite, putMail, type Result } from './hand-site.js';

let site: HandSite;
afterEach(() => site.remove());

/** The command came to an end of its own, without a word about its inside. */
function sane(result: Result, ...statuses: readonly number[]): void {
  expect(statuses, result.stderr + result.stdout.slice(-2000)).toContain(result.status);
  expect(result.stderr).not.toMatch(/\n\s+at |TypeError|RangeError|INTERNAL/);
}

const base64 = (name: string, value: string | Buffer): string => `${name}:: ${Buffer.from(value).toString('base64')}\n`;
const entry = (uid: string | Buffer, more = ''): string =>
  `dn: cn=x,o=test\nobjectClass: mailRecipient\n${base64('uid', uid)}mailHost: mail.example.com\nmailDeliveryOption: mailbox\n${more}\n`;

/** A site with the user `good` and one message, and further records of LDIF. */
function siteWith(...records: string[]): HandSite {
  site = handSite();
  const { store } = site;
  putMail(store.folder(store.mailbox, 'good', 'INBOX', INDEX(7)), 'm');
  store.finish();
  fs.writeFileSync(store.ldif, [entry('good'), ...records].join('\n'));
  return site;
}

/** Everything outside the roots that an attacker would like to see changed. */
const around = (): string[] => {
  const { root } = site.store;
  return snapshot(root).filter((line) => !/\/(server4|mail\/default)(\/| )/.test(line));
};

describe('directory entries', () => {
  const UIDS: readonly (string | Buffer)[] = [
    '../x',
    '.',
    '..',
    '/',
    '/etc',
    'a/../../b',
    'nul\0inside',
    'a'.repeat(300),
    'a'.repeat(60_000),
    'x\x1b[2Jy',
    'line\nbreak',
    'x\r',
    '%00',
    'caf\u00e9',
    'cafe\u0301',
    '\u202eevil',
    Buffer.from([0xff, 0xfe]),
    ' leading',
    'trailing ',
    '-rf',
    'group=x',
    '__upfolder.db',
  ];

  it('with a uid that is no name are reported and skipped, and never become a path', () => {
    siteWith(...UIDS.map((uid) => entry(uid)), entry('=single'), entry('good2', 'mailQuota: 99999999999999999999\n'));
    const before = around();
    const result = site.folders();
    sane(result, 1);
    const { errors, warnings } = foldersResult(result);
    // One of 300 letters breaks no rule, but no directory can have that name: its mailbox is empty.
    expect(errors.map(({ code }) => code)).toEqual(Array(UIDS.length - 1).fill(expect.stringMatching(/^DIR_/)));
    expect(warnings.map(({ code }) => code)).toContain('DIR_QUOTA_LARGE');
    // `=single` is a valid uid: on disk it is escaped and meets nothing of the store's own.
    sane(site.messages(), 0);
    expect(site.mailboxes().map(({ name }) => name)).toEqual(
      ['=single', 'a'.repeat(300), 'good', 'good2'].map((uid) => `user/${uid}/INBOX`),
    );
    expect(around()).toEqual(before);
    expect(fs.readdirSync(site.store.mailbox).filter((name) => !/^(__up|upgrade4x|good$)/.test(name))).toEqual([]);
    sane(site.run('upgrade', '--verify'), 0);
  });

  it('whose uids differ in case only are both skipped', () => {
    siteWith(entry('Bob'), entry('bob'), entry('BOB'));
    const result = site.folders();
    sane(result, 1);
    expect(foldersResult(result).users.found).toBe(1);
  });

  it('with store paths that are none spoil nobody else, and nothing is made there', () => {
    const paths = [
      '..',
      '../x',
      'relative',
      '',
      '/a/../../etc',
      '/nowhere/at/all',
      '/proc/self/root/etc',
      '/proc/self/fd',
      '/proc/self/cwd',
      '/sys/kernel',
      '/dev/null',
      '/etc/passwd',
      '/x\x1b[2J',
      `/${'a/'.repeat(3000)}`,
      `/${'a'.repeat(300)}`,
    ];
    siteWith(...paths.map((storePath, i) => entry(`evil${i}`, base64('mailMessageStore', storePath))));
    const before = around();
    const result = site.folders();
    sane(result, 1);
    // All but the empty one, which is as good as none: then the user has an empty INBOX in the default store.
    expect(foldersResult(result).errors.length).toBeGreaterThanOrEqual(paths.length - 1);
    sane(site.messages(), 0);
    expect(site.dump().map(({ mailbox }) => mailbox)).toEqual(['user/good/INBOX']);
    expect(site.mailboxes().length).toBeLessThanOrEqual(2);
    expect(around()).toEqual(before);
    for (const directory of ['/etc', '/proc', '/sys/kernel', '/', process.cwd()]) {
      expect(fs.readdirSync(directory).filter((name) => name.startsWith('.0004x'))).toEqual([]);
    }
  });

  it('with the store path / stop the run before anything is written: it holds every other one', () => {
    siteWith(entry('etc', 'mailMessageStore: /\n'));
    const before = around();
    const result = site.folders();
    sane(result, 1, 3);
    expect(around()).toEqual(before);
    expect(fs.readdirSync('/').filter((name) => name.startsWith('.0004x'))).toEqual([]);
  });

  it('with a store path that is a link of somebody else are not used', (ctx) => {
    needRoot(ctx);
    siteWith();
    const { store } = site;
    const target = store.storePath('outside');
    const open = store.storePath('open');
    fs.chmodSync(open, 0o777);
    fs.symlinkSync(target, `${open}/store`);
    fs.appendFileSync(store.ldif, `\n${entry('evil', `mailMessageStore: ${open}/store\n`)}`);
    sane(site.folders(), 1);
    expect(fs.readdirSync(target)).toEqual([]);
  });
});

describe('user lists', () => {
  const HEADER = (partition: string, storePath: string) =>
    `[4x partition]:${partition}\n[3x MailStorePath]:${storePath}\n#---------List of mail user id ------\n`;

  it('name users, never paths: every other line is an error with its number', () => {
    siteWith();
    sane(site.folders(), 0);
    const list = path.join(site.store.root, 'list');
    const lines = [
      '../good',
      '/etc/passwd',
      'good/../good',
      'g\0ood',
      '\x1b[2J',
      'GOOD',
      '.',
      'x'.repeat(100_000),
      'good',
    ];
    fs.writeFileSync(list, HEADER('primary', site.store.mailbox) + lines.map((text) => `${text}\n`).join(''));
    const result = site.run('upgrade', '-u', list, '--json');
    sane(result, 1);
    const { folders, errors } = JSON.parse(result.stdout) as { folders: { done: number }; errors: unknown[] };
    expect([folders.done, errors.length]).toEqual([1, lines.length - 1]);
    expect(result.stderr).not.toContain('\x1b');
  });

  it('with anything else in the header are wrong usage', () => {
    siteWith();
    sane(site.folders(), 0);
    const list = path.join(site.store.root, 'list');
    for (const text of [
      HEADER('../../etc', '/m'),
      HEADER('primary', 'm/../..'),
      HEADER('primary', '/m\x1b[2J'),
      '',
      'x'.repeat(1 << 20),
      Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 7) & 0xff)).toString('latin1'),
    ]) {
      fs.writeFileSync(list, text, 'latin1');
      sane(site.run('upgrade', '-u', list), 2);
    }
  });

  it('that are no files are wrong usage, and are not waited for', () => {
    siteWith();
    sane(site.folders(), 0);
    const fifo = path.join(site.store.root, 'fifo');
    spawnSync('mkfifo', [fifo]);
    for (const list of [fifo, '/dev/zero', site.store.root, '/nowhere']) sane(site.run('upgrade', '-u', list), 2);
  });
});

/** What a file may be replaced with; `text` as its content. */
function replace(file: string, how: string): void {
  fs.rmSync(file, { recursive: true, force: true });
  const outside = path.join(site.store.root, 'outside-file');
  fs.writeFileSync(outside, 'outside\n', { mode: 0o600 });
  if (how === 'a link') fs.symlinkSync(outside, file);
  else if (how === 'a fifo') spawnSync('mkfifo', [file]);
  else if (how === 'a directory') fs.mkdirSync(file);
  else if (how === 'bytes')
    fs.writeFileSync(file, Buffer.from(Array.from({ length: 65_536 }, (_, i) => (i * 31) & 0xff)));
  else {
    fs.writeFileSync(file, '');
    fs.truncateSync(file, 2 ** 36);
  }
  fs.lchownSync(file, ACCOUNT.uid, ACCOUNT.gid);
}

describe.each([
  ['upgrade4x.conf', (at: HandSite) => path.join(at.store.mailbox, 'upgrade4x.conf')],
  ['configdb', (at: HandSite) => path.join(at.store.instance, 'config/configdb')],
])('%s', (_, fileOf) => {
  it('that is a link, fifo, directory, bytes or endless is a clear error or passed over; then everything goes on', () => {
    siteWith();
    sane(site.folders(), 0);
    const file = fileOf(site);
    const good = fs.readFileSync(file);
    for (const how of ['a link', 'a fifo', 'a directory', 'bytes', '64 GB of nothing']) {
      replace(file, how);
      sane(site.messages('--dry-run'), 0, 1, 3);
      sane(site.run('upgrade', '--status'), 0, 1, 3);
      expect(fs.readFileSync(path.join(site.store.root, 'outside-file'), 'utf8')).toBe('outside\n');
    }
    sane(site.messages(), 0, 1, 3);
    fs.rmSync(file, { recursive: true });
    fs.writeFileSync(file, good, { mode: 0o600 });
    fs.chownSync(file, ACCOUNT.uid, ACCOUNT.gid);
    sane(site.messages(), 0);
    expect(site.dump()).toHaveLength(1);
  });
});

describe('partition paths in configdb', () => {
  it('that are no directory of the server account alone are refused by name, and no mail goes there', () => {
    siteWith();
    sane(site.folders(), 0);
    const { store } = site;
    const outside = store.storePath('outside');
    fs.chmodSync(outside, 0o755);
    fs.symlinkSync(outside, path.join(store.root, 'link'));
    // Not fit for mail either; were it accepted, nothing of this machine would be touched.
    const foreign = path.join(store.root, 'foreign');
    fs.mkdirSync(foreign);
    fs.chmodSync(foreign, 0o777);
    const config = path.join(store.instance, 'config/configdb');
    const good = fs.readFileSync(config, 'utf8');
    const before = around();
    for (const bad of [
      foreign,
      '/',
      'etc',
      `${store.mailbox}/../../etc`,
      path.join(store.root, 'link'),
      '/etc/passwd',
      '/nowhere/at/all',
      store.mailbox,
      '/x\x1b[2J',
    ]) {
      fs.writeFileSync(config, `${good}store.partition.primary.path|${bad}\n`);
      const result = site.messages();
      sane(result, 1, 3);
      expect(result.stderr + result.stdout, bad).toContain('primary');
      expect(result.stderr).not.toContain('\x1b');
      expect(around()).toEqual(before);
    }
    expect(site.mailboxes()[0]?.state).toBe('TRANSITION');
    fs.writeFileSync(config, good);
    sane(site.messages(), 0);
  });
});
