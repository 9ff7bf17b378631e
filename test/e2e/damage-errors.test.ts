/** Rows of the Damage table that are errors of a message, with each engine. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { engineOptions } from '../support/site.js';
import { ACCOUNT, needRoot } from '../upgrade/small-store.js';
import {
  header,
  inbox,
  inboxOf,
  line,
  look,
  mailboxOf,
  makeRows,
  ofUser,
  type Row,
  subject,
  UIDVALIDITY,
  userOf,
} from './damage-support.js';
import { type HandSite, handSite, type Mailbox, messagesResult, putMail, type Result } from './hand-site.js';
import { mountExt4, mountMissing, run } from './loop.js';

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
