/**
 * The Damage table of 3x-profile.md, row by row, through the real commands with each engine. Every row is one folder
 * of a store made by hand: those that only warn in one store, whose exit code must stay 0, those with errors in
 * another.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { engineOptions } from '../support/site.js';
import { ACCOUNT, needRoot } from '../upgrade/small-store.js';
import {
  foldersResult,
  type HandSite,
  handSite,
  MAIL,
  type Mailbox,
  type Message,
  messagesResult,
  putMail,
  type Result,
} from './hand-site.js';
import { mountExt4, mountMissing, run } from './loop.js';

/** Modification time of message files and internal date of index lines: different, so that it shows which counts. */
const FILE_TIME = 900_000_000;
const LINE_TIME = 850_000_000;
const UIDVALIDITY = 77;

const line = (
  uid: number | string,
  name: string,
  rest: { date?: string; flags?: string; size?: number } = {},
): string =>
  `${uid} ${rest.date ?? LINE_TIME} ${rest.flags ?? '-'} ${rest.size ?? Buffer.byteLength(MAIL(name))} ${name}\n`;
const header = (uidnext: number, uidvalidity = UIDVALIDITY): string => `NSMB 3 ${uidvalidity} ${uidnext}\n`;
const sha256 = (content: string): string => createHash('sha256').update(content).digest('hex');
const subject = (name: string): string => sha256(MAIL(name));

/** What a row's folder became. */
interface Became {
  readonly mailbox: Mailbox;
  readonly messages: readonly Message[];
  /** Its lines of the log. */
  readonly log: string;
  readonly directory: string;
  /** Seconds; when `-s` began and ended. */
  readonly started: number;
  readonly ended: number;
}

interface Row {
  readonly row: string;
  /** Fills the folder; returns the content of `.mailbox`, or null for none. */
  make(directory: string): string | null;
  check(became: Became): void;
}

/** uid, name of the message (by content), flags, internal date. */
function shown(became: Became, names: readonly string[]): [number, string | undefined, string, number][] {
  return became.messages.map(({ uid, sha256: digest, flags, internaldate }) => [
    uid,
    names.find((name) => subject(name) === digest),
    [...flags].sort().join(' '),
    internaldate,
  ]);
}

const WARNINGS: readonly Row[] = [
  {
    row: '.mailbox missing: every file follows, a uidvalidity is chosen',
    make(directory) {
      putMail(directory, 'b', undefined, FILE_TIME + 1);
      putMail(directory, 'a', undefined, FILE_TIME + 2);
      return null;
    },
    check(became) {
      expect(shown(became, ['a', 'b'])).toEqual([
        [1, 'b', '', FILE_TIME + 1],
        [2, 'a', '', FILE_TIME + 2],
      ]);
      expect(became.mailbox.uidnext).toBe(3);
      expect(became.mailbox.uidvalidity).toBeGreaterThanOrEqual(became.started);
      expect(became.mailbox.uidvalidity).toBeLessThanOrEqual(became.ended);
      expect(became.log).toMatch(/Warning: .*(HEADER_LOST|INDEX_MISSING)/);
    },
  },
  {
    row: '.mailbox empty: every file follows',
    make(directory) {
      putMail(directory, 'a');
      return '';
    },
    check(became) {
      expect(shown(became, ['a'])).toEqual([[1, 'a', '', FILE_TIME]]);
      expect(became.mailbox.uidvalidity).toBeGreaterThanOrEqual(became.started);
      expect(became.log).toMatch(/Warning: .*INDEX_EMPTY/);
    },
  },
  {
    row: '.mailbox truncated inside a line: the lines before count, the other files follow from uidnext',
    make(directory) {
      for (const name of ['one', 'two', 'three']) putMail(directory, name);
      return `${header(10)}${line(1, 'one', { flags: 'S' })}${line(2, 'two')}3 ${LINE_TIME} F`;
    },
    check(became) {
      expect(shown(became, ['one', 'two', 'three'])).toEqual([
        [1, 'one', '\\Seen', LINE_TIME],
        [2, 'two', '', LINE_TIME],
        [10, 'three', '', FILE_TIME],
      ]);
      expect(became.mailbox).toMatchObject({ uidvalidity: UIDVALIDITY, uidnext: 11 });
      expect(became.log).toMatch(/Warning: /);
    },
  },
  {
    row: '.mailbox truncated inside the last name: that file follows too',
    make(directory) {
      for (const name of ['one', 'two-long']) putMail(directory, name);
      return `${header(3)}${line(1, 'one')}${line(2, 'two-long').slice(0, -6)}`;
    },
    check(became) {
      expect(shown(became, ['one', 'two-long'])).toEqual([
        [1, 'one', '', LINE_TIME],
        [3, 'two-long', '', FILE_TIME],
      ]);
      expect(became.mailbox.uidnext).toBe(4);
    },
  },
  {
    row: '.mailbox unparsable in parts: a line is usable if uid and name parse',
    make(directory) {
      for (const name of ['good', 'bad uid', 'zero', 'large', 'negative', 'last']) putMail(directory, name);
      return [
        header(20),
        'complete rubbish\n',
        '\n',
        '\x00\xff\xfe\n',
        line('x5', 'bad uid'),
        line(0, 'zero'),
        line('4294967296', 'large'),
        line(-1, 'negative'),
        line(6, '../../etc/passwd'),
        line(7, '.hidden'),
        `8 ${LINE_TIME} - 5 \n`,
        `9 ${LINE_TIME} - 5\n`,
        line(10, 'nul\0name'),
        line(11, 'good'),
        line(12, 'last', { flags: 'AF' }),
      ].join('');
    },
    check(became) {
      const names = ['good', 'bad uid', 'zero', 'large', 'negative', 'last'];
      expect(shown(became, names)).toEqual([
        [11, 'good', '', LINE_TIME],
        [12, 'last', '\\Answered \\Flagged', LINE_TIME],
        [20, 'bad uid', '', FILE_TIME],
        [21, 'large', '', FILE_TIME],
        [22, 'negative', '', FILE_TIME],
        [23, 'zero', '', FILE_TIME],
      ]);
      expect(became.mailbox.uidnext).toBe(24);
      expect(became.log).toMatch(/Warning: .*INDEX_LINE/);
    },
  },
  {
    row: 'a bad date becomes the modification time; bad flag letters are dropped; keywords are one whatever their case',
    make(directory) {
      const names = ['word', 'minus', 'letters', 'empty flags', 'twice', 'keywords', 'only keyword', 'recent', 'epoch'];
      for (const name of names) putMail(directory, name);
      return [
        header(10),
        line(1, 'word', { date: 'yesterday', flags: 'S' }),
        line(2, 'minus', { date: '-5' }),
        line(3, 'letters', { flags: 'xSyDz' }),
        line(4, 'empty flags', { flags: '' }),
        line(5, 'twice', { flags: 'SSA' }),
        line(6, 'keywords', { flags: 'SA,$Forwarded,Junk,junk' }),
        line(7, 'only keyword', { flags: ',JUNK,a(b' }),
        line(8, 'recent', { flags: 'RT' }),
        line(9, 'epoch', { date: '0' }),
      ].join('');
    },
    check(became) {
      const names = ['word', 'minus', 'letters', 'empty flags', 'twice', 'keywords', 'only keyword', 'recent', 'epoch'];
      expect(shown(became, names)).toEqual([
        [1, 'word', '\\Seen', FILE_TIME],
        [2, 'minus', '', FILE_TIME],
        [3, 'letters', '\\Deleted \\Seen', LINE_TIME],
        [4, 'empty flags', '', LINE_TIME],
        [5, 'twice', '\\Answered \\Seen', LINE_TIME],
        [6, 'keywords', '$Forwarded Junk \\Answered \\Seen', LINE_TIME],
        [7, 'only keyword', 'Junk', LINE_TIME],
        [8, 'recent', '\\Draft', LINE_TIME],
        [9, 'epoch', '', 0],
      ]);
      expect(became.log).toMatch(/Warning: .*INDEX_DATE/);
      expect(became.log).toMatch(/Warning: .*INDEX_FLAGS/);
    },
  },
  {
    row: 'header lost, lines whole: uids and flags stay, -s chooses the uidvalidity',
    make(directory) {
      for (const name of ['one', 'two', 'new']) putMail(directory, name);
      return `NSMB 3 garbage\n${line(3, 'one', { flags: 'D' })}${line(8, 'two')}`;
    },
    check(became) {
      expect(shown(became, ['one', 'two', 'new'])).toEqual([
        [3, 'one', '\\Deleted', LINE_TIME],
        [8, 'two', '', LINE_TIME],
        [9, 'new', '', FILE_TIME],
      ]);
      expect(became.mailbox.uidnext).toBe(10);
      expect(became.mailbox.uidvalidity).toBeGreaterThanOrEqual(became.started);
      expect(became.mailbox.uidvalidity).toBeLessThanOrEqual(became.ended);
      expect(became.log).toMatch(/Warning: .*FOLDER_HEADER_LOST/);
    },
  },
  {
    row: 'header line missing, first line is a message: it counts',
    make(directory) {
      putMail(directory, 'one');
      return line(5, 'one', { flags: 'S' });
    },
    check(became) {
      expect(shown(became, ['one'])).toEqual([[5, 'one', '\\Seen', LINE_TIME]]);
      expect(became.mailbox.uidnext).toBe(6);
    },
  },
  {
    row: 'line without a file: nothing is migrated for it, its uid is not used again',
    make(directory) {
      putMail(directory, 'here');
      putMail(directory, 'new');
      return `${header(4)}${line(1, 'here')}${line(9, 'gone')}`;
    },
    check(became) {
      expect(shown(became, ['here', 'new', 'gone'])).toEqual([
        [1, 'here', '', LINE_TIME],
        [10, 'new', '', FILE_TIME],
      ]);
      expect(became.mailbox.uidnext).toBe(11);
      expect(became.log).toMatch(/Warning: .*LINE_WITHOUT_FILE.*gone/);
    },
  },
  {
    row: 'file without a line: taken without flags, in order of modification time to the nanosecond, then name bytes',
    make(directory) {
      // Node's utimes loses nanoseconds; touch does not.
      const times = { z: '000000001', y: '000000002', 'B first': '000000003', 'a second': '000000003' };
      for (const [name, nanoseconds] of Object.entries(times)) {
        const file = putMail(directory, name);
        const touch = spawnSync('touch', ['-d', `@${FILE_TIME}.${nanoseconds}`, file]);
        if (touch.status !== 0) throw new Error('touch failed');
      }
      putMail(directory, 'earlier', undefined, FILE_TIME - 1);
      return header(5);
    },
    check(became) {
      expect(shown(became, ['z', 'y', 'B first', 'a second', 'earlier'])).toEqual([
        [5, 'earlier', '', FILE_TIME - 1],
        [6, 'z', '', FILE_TIME],
        [7, 'y', '', FILE_TIME],
        [8, 'B first', '', FILE_TIME],
        [9, 'a second', '', FILE_TIME],
      ]);
      expect(became.mailbox).toMatchObject({ uidvalidity: UIDVALIDITY, uidnext: 10 });
      expect(became.log).toMatch(/Warning: .*FILE_WITHOUT_LINE/);
    },
  },
  {
    row: 'new uids start at uidnext when it is above the highest uid; uidnext never falls',
    make(directory) {
      putMail(directory, 'listed');
      putMail(directory, 'new');
      return `${header(500)}${line(3, 'listed')}`;
    },
    check(became) {
      expect(became.messages.map(({ uid }) => uid)).toEqual([3, 500]);
      expect(became.mailbox.uidnext).toBe(501);
    },
  },
  {
    row: 'uidnext stays when nothing new comes, and rises above the highest uid',
    make(directory) {
      putMail(directory, 'listed');
      return `${header(500)}${line(3, 'listed')}`;
    },
    check(became) {
      expect(became.messages.map(({ uid }) => uid)).toEqual([3]);
      expect(became.mailbox.uidnext).toBe(500);
    },
  },
  {
    row: 'uidnext below the highest uid rises above it',
    make(directory) {
      putMail(directory, 'listed');
      return `${header(2)}${line(30, 'listed')}`;
    },
    check(became) {
      expect(became.messages.map(({ uid }) => uid)).toEqual([30]);
      expect(became.mailbox.uidnext).toBe(31);
    },
  },
  {
    row: 'uids past 4294967295: the folder gets a new uidvalidity, reported',
    make(directory) {
      putMail(directory, 'listed');
      putMail(directory, 'new');
      return `${header(4294967295)}${line(4294967294, 'listed', { flags: 'S' })}`;
    },
    check(became) {
      expect(shown(became, ['listed', 'new']).map(([, name, flags]) => [name, flags])).toEqual([
        ['listed', '\\Seen'],
        ['new', ''],
      ]);
      const uids = became.messages.map(({ uid }) => uid);
      expect(new Set(uids).size).toBe(2);
      expect(became.mailbox.uidvalidity).toBeGreaterThan(UIDVALIDITY);
      expect(became.mailbox.uidnext).toBeGreaterThan(Math.max(...uids));
      expect(became.mailbox.uidnext).toBeLessThanOrEqual(4294967295);
      expect(became.log).toMatch(/Warning: .*UID_OVERFLOW/);
    },
  },
  {
    row: 'size differs from the line: the file rules',
    make(directory) {
      putMail(directory, 'grown');
      return `${header(2)}${line(1, 'grown', { size: 7, flags: 'S' })}`;
    },
    check(became) {
      expect(became.messages).toMatchObject([
        { uid: 1, size: Buffer.byteLength(MAIL('grown')), sha256: subject('grown'), flags: ['\\Seen'] },
      ]);
      expect(became.log).toMatch(/Warning: .*SIZE_DIFFERS.*grown/);
    },
  },
  {
    row: 'uids not ascending: sorted, kept',
    make(directory) {
      for (const name of ['nine', 'four', 'six']) putMail(directory, name);
      return `${header(10)}${line(9, 'nine')}${line(4, 'four', { flags: 'F' })}${line(6, 'six')}`;
    },
    check(became) {
      expect(shown(became, ['nine', 'four', 'six'])).toEqual([
        [4, 'four', '\\Flagged', LINE_TIME],
        [6, 'six', '', LINE_TIME],
        [9, 'nine', '', LINE_TIME],
      ]);
      expect(became.mailbox).toMatchObject({ uidvalidity: UIDVALIDITY, uidnext: 10 });
      expect(became.log).toMatch(/Warning: .*UID_ORDER/);
    },
  },
  {
    row: 'repeated uid: the later lines get new uids and keep flags and date',
    make(directory) {
      for (const name of ['first', 'second', 'third', 'other', 'new']) putMail(directory, name);
      const flags = { flags: 'SF,Work' };
      return `${header(6)}${line(3, 'first')}${line(3, 'second', flags)}${line(4, 'other')}${line(3, 'third')}`;
    },
    check(became) {
      expect(shown(became, ['first', 'second', 'third', 'other', 'new'])).toEqual([
        [3, 'first', '', LINE_TIME],
        [4, 'other', '', LINE_TIME],
        [6, 'second', 'Work \\Flagged \\Seen', LINE_TIME],
        [7, 'third', '', LINE_TIME],
        [8, 'new', '', FILE_TIME],
      ]);
      expect(became.mailbox.uidnext).toBe(9);
      expect(became.log).toMatch(/Warning: .*UID_REPEATED/);
    },
  },
  {
    row: 'a second line for the same file is ignored',
    make(directory) {
      putMail(directory, 'one');
      putMail(directory, 'two');
      return `${header(9)}${line(2, 'one', { flags: 'S' })}${line(5, 'one', { flags: 'D' })}${line(7, 'two')}`;
    },
    check(became) {
      expect(shown(became, ['one', 'two'])).toEqual([
        [2, 'one', '\\Seen', LINE_TIME],
        [7, 'two', '', LINE_TIME],
      ]);
      expect(became.mailbox.uidnext).toBe(9);
      expect(became.log).toMatch(/Warning: .*FILE_TWICE/);
    },
  },
  {
    row: 'empty file: migrated as an empty message',
    make(directory) {
      putMail(directory, 'nothing', '');
      return `${header(2)}${line(1, 'nothing', { size: 0, flags: 'S' })}`;
    },
    check(became) {
      expect(became.messages).toMatchObject([
        { uid: 1, size: 0, sha256: sha256(''), flags: ['\\Seen'], internaldate: LINE_TIME },
      ]);
      expect(became.log).toMatch(/Warning: .*FILE_EMPTY/);
    },
  },
  {
    row: 'names: spaces, 8-bit and control characters are the name; one with a leading dot is no message',
    make(directory) {
      for (const name of ['  two  spaces ', 'caf\u00e9', '-rf', 'tab\there']) putMail(directory, name);
      putMail(directory, '.dotted');
      fs.writeFileSync(path.join(directory, '.lock'), '');
      return [header(9), line(1, '  two  spaces '), line(2, 'caf\u00e9'), line(3, '-rf'), line(4, 'tab\there')].join(
        '',
      );
    },
    check(became) {
      expect(shown(became, ['  two  spaces ', 'caf\u00e9', '-rf', 'tab\there', '.dotted'])).toEqual([
        [1, '  two  spaces ', '', LINE_TIME],
        [2, 'caf\u00e9', '', LINE_TIME],
        [3, '-rf', '', LINE_TIME],
        [4, 'tab\there', '', LINE_TIME],
      ]);
      expect(fs.existsSync(path.join(became.directory, '.dotted'))).toBe(true);
    },
  },
  {
    row: 'bare LF, a lone CR, a NUL and a last line without an end: the CRLF form, and sizes of it',
    make(directory) {
      putMail(directory, 'bare', 'Subject: x\n\na\rb\0c\nend');
      putMail(directory, 'mixed', 'Subject: x\r\n\r\na\nb\r\n');
      return `${header(3)}${line(1, 'bare', { size: 22 })}${line(2, 'mixed', { size: 19 })}`;
    },
    check(became) {
      const bare = 'Subject: x\r\n\r\na\rb\0c\r\nend';
      const mixed = 'Subject: x\r\n\r\na\r\nb\r\n';
      expect(became.messages).toMatchObject([
        { uid: 1, size: bare.length, sha256: sha256(bare) },
        { uid: 2, size: mixed.length, sha256: sha256(mixed) },
      ]);
    },
  },
];

/** Root is needed for other owners and for devices. */
const asRoot = process.getuid?.() === 0;

interface ErrorRow extends Row {
  /** Names of the files that stay, and the code each is reported with. */
  readonly failing: Readonly<Record<string, string>>;
  /** The rest of the folder, published by --accept-failures: uid and name. */
  readonly rest: readonly (readonly [number, string])[];
  readonly needsRoot?: boolean;
}

const errorRow = (
  row: string,
  failing: Readonly<Record<string, string>>,
  spoil: (directory: string) => void,
  needsRoot = false,
): ErrorRow => ({
  row,
  failing,
  needsRoot,
  rest: [
    [1, 'before'],
    [9, 'after'],
  ],
  make(directory) {
    putMail(directory, 'before');
    putMail(directory, 'after');
    if (!needsRoot || asRoot) spoil(directory);
    const lines = Object.keys(failing).map((name, i) => line(2 + i, name));
    return `${header(10)}${line(1, 'before')}${lines.join('')}${line(9, 'after')}`;
  },
  check() {},
});

const ERRORS: readonly ErrorRow[] = [
  errorRow('symbolic link', { link: 'MSG_NOT_REGULAR', dangling: 'MSG_NOT_REGULAR' }, (directory) => {
    fs.symlinkSync('before', path.join(directory, 'link'));
    fs.symlinkSync('/nowhere', path.join(directory, 'dangling'));
  }),
  errorRow('fifo', { fifo: 'MSG_NOT_REGULAR' }, (directory) => {
    spawnSync('mkfifo', [path.join(directory, 'fifo')]);
  }),
  errorRow('socket', { socket: 'MSG_NOT_REGULAR' }, (directory) => {
    const script = `require('net').createServer().listen('socket', () => process.kill(process.pid, 'SIGKILL'))`;
    spawnSync(process.execPath, ['-e', script], { cwd: directory });
  }),
  errorRow(
    'device',
    { device: 'MSG_NOT_REGULAR' },
    (directory) => {
      spawnSync('mknod', [path.join(directory, 'device'), 'c', '1', '5']);
    },
    true,
  ),
  errorRow('a directory where a message is expected', { directory: 'MSG_NOT_REGULAR' }, (directory) => {
    fs.mkdirSync(path.join(directory, 'directory'));
  }),
  errorRow(
    'file of another owner',
    { foreign: 'MSG_FOREIGN_OWNER' },
    (directory) => {
      putMail(directory, 'foreign');
    },
    true,
  ),
  errorRow('file that others may write to', { open: 'MSG_WRITABLE_BY_OTHERS' }, (directory) => {
    fs.chmodSync(putMail(directory, 'open'), 0o602);
  }),
  errorRow('unreadable file', { closed: 'MSG_UNREADABLE' }, (directory) => {
    fs.chmodSync(putMail(directory, 'closed'), 0o000);
  }),
];

/** One user a row: `row0` … with the folder INBOX. */
const userOf = (index: number): string => `row${index}`;

function makeRows(rows: readonly Row[]): HandSite {
  const site = handSite();
  rows.forEach((row, index) => {
    site.store.user(userOf(index));
    const directory = site.store.folder(site.store.mailbox, userOf(index), 'INBOX', null);
    const content = row.make(directory);
    if (content !== null) fs.writeFileSync(path.join(directory, '.mailbox'), content);
  });
  site.store.finish();
  return site;
}

const inbox = (site: HandSite, index: number): string => path.join(site.store.mailbox, userOf(index), 'INBOX');
const ofUser = (log: string, user: string): string =>
  log
    .split('\n')
    .filter((text) => text.includes(`user/${user}/`) || text.includes(`${user}, `) || text.includes(`${user}: `))
    .join('\n');

/** All that `mboxutil` and the log say, read once. */
interface Seen {
  readonly mailboxes: readonly Mailbox[];
  readonly messages: readonly Message[];
  readonly log: string;
}

const look = (site: HandSite): Seen => ({ mailboxes: site.mailboxes(), messages: site.dump(), log: site.log() });

/** uid and digest of the messages of a row's INBOX. */
const inboxOf = (seen: Seen, index: number): (readonly [number, string])[] =>
  seen.messages
    .filter(({ mailbox }) => mailbox === `user/${userOf(index)}/INBOX`)
    .map(({ uid, sha256: digest }) => [uid, digest] as const);

function mailboxOf(seen: Seen, index: number): Mailbox {
  const found = seen.mailboxes.find(({ name }) => name === `user/${userOf(index)}/INBOX`);
  if (found === undefined) throw new Error(`user/${userOf(index)}/INBOX is not in the list`);
  return found;
}

const seconds = (): number => Math.floor(Date.now() / 1000);

describe.each(engineOptions())('damage that only warns, %s', (engine) => {
  let site: HandSite;
  let folders: Result;
  let messages: Result;
  let seen: Seen;
  const times: [number, number] = [0, 0];
  beforeAll(() => {
    site = makeRows(WARNINGS);
    times[0] = seconds();
    folders = site.folders();
    times[1] = seconds();
    messages = site.messages(engine);
    seen = look(site);
  });
  afterAll(() => site?.remove());

  it('leaves the exit code 0', () => {
    expect(folders.status, folders.stderr + folders.stdout).toBe(0);
    expect(messages.status, messages.stderr + messages.stdout).toBe(0);
    expect(messagesResult(messages)).toMatchObject({
      folders: { done: WARNINGS.length, failed: 0 },
      messages: { failed: 0 },
      errors: [],
    });
  });

  it.each(WARNINGS.map((row, index) => [row.row, row, index] as const))('%s', (_, row, index) => {
    const mailbox = mailboxOf(seen, index);
    const found = seen.messages.filter((message) => message.mailbox === mailbox.name);
    expect(mailbox).toMatchObject({ state: 'NON-TRANSITION', messages: found.length });
    row.check({
      mailbox,
      messages: found,
      log: ofUser(seen.log, userOf(index)),
      directory: inbox(site, index),
      started: times[0],
      ended: times[1],
    });
  });

  it('is proved equal by --verify', () => {
    const verified = site.run('upgrade', '--verify');
    expect(verified.status, verified.stderr + verified.stdout).toBe(0);
  });
});

describe.each(engineOptions())('damage with errors, %s', (engine) => {
  let site: HandSite;
  let first: Result;
  let whileWaiting: readonly Mailbox[];
  const inodes = new Map<string, bigint>();
  beforeAll(() => {
    site = makeRows(ERRORS);
    ERRORS.forEach(({ failing, needsRoot }, index) => {
      if (needsRoot && !asRoot) return;
      if ('foreign' in failing) fs.chownSync(path.join(inbox(site, index), 'foreign'), 0, 0);
      for (const name of Object.keys(failing)) {
        const file = path.join(inbox(site, index), name);
        inodes.set(file, fs.lstatSync(file, { bigint: true }).ino);
      }
    });
    site.folders();
    first = site.messages(engine, '-r');
    whileWaiting = site.mailboxes();
  });
  afterAll(() => site?.remove());

  const forRoot = (row: ErrorRow, ctx: TestContext) => {
    if (row.needsRoot) needRoot(ctx);
  };

  describe.each(ERRORS.map((row, index) => ({ name: row.row, row, index })))('$name', ({ row, index }) => {
    it('is an error for that message; it stays where it is, and so do the originals of its folder', (ctx) => {
      forRoot(row, ctx);
      expect(first.status).toBe(1);
      const user = userOf(index);
      const errors = messagesResult(first).errors.filter((error) => error.user === user);
      expect(Object.fromEntries(errors.map(({ file, code }) => [file, code]))).toEqual(row.failing);
      for (const { folder } of errors) expect(folder).toBe('INBOX');
      for (const name of Object.keys(row.failing)) {
        const file = path.join(inbox(site, index), name);
        expect(fs.lstatSync(file, { bigint: true }).ino).toBe(inodes.get(file));
        expect(ofUser(site.log(), user)).toMatch(new RegExp(`Error: .*${row.failing[name]}`));
      }
      const mailbox = whileWaiting.find(({ name }) => name === `user/${user}/INBOX`);
      expect(mailbox?.state).toBe('TRANSITION');
      for (const [, name] of row.rest) expect(fs.existsSync(path.join(inbox(site, index), name))).toBe(true);
    });
  });

  it('publishes the rest of every folder with --accept-failures, under the uids of its lines', () => {
    const result = site.messages(engine, '--accept-failures');
    expect(result.status, result.stderr).toBe(1);
    const seen = look(site);
    ERRORS.forEach((row, index) => {
      if (row.needsRoot && !asRoot) return;
      expect([row.row, inboxOf(seen, index)]).toEqual([row.row, row.rest.map(([uid, name]) => [uid, subject(name)])]);
      expect(mailboxOf(seen, index)).toMatchObject({ state: 'NON-TRANSITION', uidvalidity: UIDVALIDITY, uidnext: 10 });
    });
    // Not repaired: reported again.
    expect(site.messages(engine).status).toBe(1);
  });

  it('copies foreign and open files into new ones with --take-foreign, under their uids', (ctx) => {
    needRoot(ctx);
    const result = site.messages(engine, '--take-foreign');
    const codes = new Set(messagesResult(result).errors.map(({ code }) => code));
    expect(codes).not.toContain('MSG_FOREIGN_OWNER');
    expect(codes).not.toContain('MSG_WRITABLE_BY_OTHERS');
    const seen = look(site);
    ERRORS.forEach((row, index) => {
      for (const name of ['foreign', 'open'].filter((taken) => taken in row.failing)) {
        expect(inboxOf(seen, index)).toEqual([
          [1, subject('before')],
          [2, subject(name)],
          [9, subject('after')],
        ]);
        const source = fs.lstatSync(path.join(inbox(site, index), name));
        expect(source.nlink, '3.x file is not linked').toBe(1);
        expect(source.uid).toBe(name === 'foreign' ? 0 : ACCOUNT.uid);
        const files = spawnSync('find', [mailboxOf(seen, index).path ?? '', '-name', '2.msg', '-printf', '%u %m'], {
          encoding: 'utf8',
        });
        expect(files.stdout).toBe(`${ACCOUNT.user} 600`);
      }
    });
  });

  it('takes a repaired message under the uid of its line', () => {
    const index = ERRORS.findIndex(({ failing }) => 'fifo' in failing);
    fs.unlinkSync(path.join(inbox(site, index), 'fifo'));
    const file = putMail(inbox(site, index), 'fifo');
    if (asRoot) fs.chownSync(file, ACCOUNT.uid, ACCOUNT.gid);
    site.messages(engine);
    expect(inboxOf(look(site), index)).toEqual([
      [1, subject('before')],
      [2, subject('fifo')],
      [9, subject('after')],
    ]);
  });
});

/** Makes the blocks behind the first twelve unreadable: the indirect block of the file then names none that exist. */
function breakBlocks(image: string, file: string): void {
  const block = /\(IND\):(\d+)/.exec(run('debugfs', '-R', `stat ${file}`, image))?.[1];
  if (block === undefined) throw new Error('the file has no indirect block');
  const fd = fs.openSync(image, 'r+');
  fs.writeSync(fd, Buffer.from([0xff, 0xff, 0xff, 0x7f]), 0, 4, Number(block) * 1024);
  fs.closeSync(fd);
}

describe('I/O error', () => {
  it.for(engineOptions())('is an error for that message, left where it is; the folder goes on, %s', (engine, ctx) => {
    const missing = mountMissing();
    if (missing !== undefined) {
      console.log(`skipped: I/O error: ${missing}`);
      ctx.skip(missing);
    }
    const site = handSite();
    const disk = mountExt4(16, '^extent,^64bit,^metadata_csum,^has_journal');
    try {
      const { store } = site;
      store.user('fred', { mailMessageStore: disk.directory });
      const folder = store.folder(disk.directory, 'fred', 'INBOX');
      fs.writeFileSync(
        path.join(folder, '.mailbox'),
        header(4) + line(1, 'before') + line(2, 'broken') + line(3, 'after'),
      );
      for (const name of ['before', 'after']) putMail(folder, name);
      putMail(folder, 'broken', `Subject: broken\r\n\r\n${'text\r\n'.repeat(4000)}`);
      run('chown', '-R', `${ACCOUNT.user}:${ACCOUNT.group}`, disk.directory);
      store.finish();
      disk.unmounted((image) => breakBlocks(image, 'fred/INBOX/broken'));
      expect(() => fs.readFileSync(path.join(folder, 'broken'))).toThrow('EIO');
      expect(site.folders().status).toBe(0);
      const result = site.messages(engine, '-r');
      expect(result.status).toBe(1);
      expect(messagesResult(result).errors).toMatchObject([
        { user: 'fred', folder: 'INBOX', file: 'broken', code: 'MSG_UNREADABLE' },
      ]);
      expect(fs.existsSync(path.join(folder, 'broken'))).toBe(true);
      expect(site.messages(engine, '--accept-failures').status).toBe(1);
      expect(site.dump().map(({ uid, sha256: digest }) => [uid, digest])).toEqual([
        [1, subject('before')],
        [3, subject('after')],
      ]);
    } finally {
      site.remove();
      disk.remove();
    }
  });
});

describe('damage of a whole folder', () => {
  let site: HandSite;
  beforeAll(() => {
    site = handSite();
  });
  afterAll(() => site?.remove());

  it.each(engineOptions())(
    'a folder directory that cannot be read is an error of its own; the rest goes on, %s',
    (engine) => {
      const own = handSite();
      try {
        const { store } = own;
        store.user('fred');
        store.user('anna');
        putMail(store.folder(store.mailbox, 'fred', 'INBOX', header(2) + line(1, 'one')), 'one');
        const closed = store.folder(store.mailbox, 'fred', 'Closed', header(2) + line(1, 'two'));
        putMail(closed, 'two');
        putMail(store.folder(store.mailbox, 'anna', 'INBOX', header(2) + line(1, 'three')), 'three');
        store.finish();
        fs.chmodSync(closed, 0o000);
        const folders = own.folders();
        expect(folders.status).toBe(1);
        expect(foldersResult(folders).errors).toMatchObject([
          { user: 'fred', folder: 'Closed', code: 'FOLDER_UNREADABLE' },
        ]);
        expect(own.log()).toMatch(/Error: fred, Closed: FOLDER_UNREADABLE/);
        own.messages(engine);
        expect(own.dump().map(({ mailbox, sha256: digest }) => [mailbox, digest])).toEqual([
          ['user/anna/INBOX', subject('three')],
          ['user/fred/INBOX', subject('one')],
        ]);
        fs.chmodSync(closed, 0o700);
        expect(fs.existsSync(path.join(closed, 'two'))).toBe(true);
        // Repaired: the next runs take it.
        expect(own.folders().status).toBe(0);
        expect(own.messages(engine).status).toBe(0);
        expect(own.dump('user/fred/Closed')).toMatchObject([{ uid: 1, sha256: subject('two') }]);
      } finally {
        own.remove();
      }
    },
  );

  it.each(engineOptions())('one that becomes unreadable between -s and -m is an error of -m, %s', (engine) => {
    const own = handSite();
    try {
      const { store } = own;
      store.user('fred');
      putMail(store.folder(store.mailbox, 'fred', 'INBOX', header(2) + line(1, 'one')), 'one');
      const closed = store.folder(store.mailbox, 'fred', 'Closed', header(2) + line(1, 'two'));
      putMail(closed, 'two');
      store.finish();
      expect(own.folders().status).toBe(0);
      fs.chmodSync(closed, 0o000);
      const result = own.messages(engine);
      expect(result.status).toBe(1);
      expect(messagesResult(result).errors).toMatchObject([{ user: 'fred', folder: 'Closed', file: '' }]);
      expect(own.mailbox('user/fred/INBOX').state).toBe('NON-TRANSITION');
      expect(own.mailbox('user/fred/Closed').state).toBe('TRANSITION');
      fs.chmodSync(closed, 0o700);
      expect(own.messages(engine).status).toBe(0);
      expect(own.dump('user/fred/Closed')).toMatchObject([{ uid: 1, sha256: subject('two') }]);
    } finally {
      own.remove();
    }
  });

  it('a uidvalidity that -s chose is above any earlier one of that name, and never changes', () => {
    const { store } = site;
    store.user('fred');
    const early = 4_000_000_000; // after the year 2096: above the clock
    const folder = store.folder(store.mailbox, 'fred', 'INBOX', header(9, early) + line(1, 'one'));
    putMail(folder, 'one');
    store.finish();
    expect(site.folders().status).toBe(0);
    expect(site.mailbox('user/fred/INBOX').uidvalidity).toBe(early);
    fs.writeFileSync(path.join(folder, '.mailbox'), line(1, 'one'));
    expect(site.folders().status).toBe(0);
    const chosen = site.mailbox('user/fred/INBOX').uidvalidity;
    expect(chosen).toBeGreaterThan(early);
    // The header comes back, with a number above and one below.
    fs.writeFileSync(path.join(folder, '.mailbox'), header(9, 4_100_000_000) + line(1, 'one'));
    expect(site.folders().status).toBe(0);
    expect(site.mailbox('user/fred/INBOX').uidvalidity).toBe(chosen);
    expect(site.messages().status).toBe(0);
    expect(site.mailbox('user/fred/INBOX').uidvalidity).toBe(chosen);
    expect(site.run('upgrade', '--verify').status).toBe(0);
    expect(site.folders().status).toBe(0);
    expect(site.mailbox('user/fred/INBOX').uidvalidity).toBe(chosen);
  });

  it('ignores mail quotas', () => {
    const own = handSite();
    try {
      const { store } = own;
      store.user('fred', { mailQuota: '1' });
      putMail(store.folder(store.mailbox, 'fred', 'INBOX', header(2) + line(1, 'one')), 'one');
      store.finish();
      expect(own.folders().status).toBe(0);
      expect(own.messages().status).toBe(0);
      expect(own.dump()).toHaveLength(1);
    } finally {
      own.remove();
    }
  });
});
