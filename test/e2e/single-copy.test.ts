/**
 * 4x-store.md, promise 5: single-copy links are preserved. What shared an inode in 3.x shares one in 4.x: when it is
 * linked, when it must be rewritten to CRLF, when it is copied to another file system; a full link count starts a new
 * shared copy. Counted in inodes and links, through the real commands, with each engine.
 */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { engineOptions } from '../support/site.js';
import { ACCOUNT, INDEX } from '../upgrade/small-store.js';
import { type HandSite, handSite, MAIL, messagesResult, putMail } from './hand-site.js';
import { mountExt4, mountMissing, run } from './loop.js';

const USERS = ['anna', 'fred', 'gina', 'joe'];
const BARE = 'Subject: bare\n\nfirst\nlast\n';

let site: HandSite | undefined;
const cleanups: (() => void)[] = [];
afterEach(() => {
  site?.remove();
  site = undefined;
  for (const cleanup of cleanups.splice(0)) cleanup();
});

/**
 * Every user has, in INBOX, `own` (uid 1), `shared` (uid 2) and `bare` (uid 3, bare LF); the last two are one inode
 * each for all users, under different names. fred has the shared message in a second folder as well.
 */
function sharedStore(storePath?: string): HandSite {
  const made = handSite();
  site = made;
  const { store } = made;
  const base = storePath ?? store.mailbox;
  const first: Record<string, string> = {};
  const share = (kind: 'shared' | 'bare', folder: string, name: string) => {
    if (first[kind] === undefined) first[kind] = putMail(folder, name, kind === 'bare' ? BARE : MAIL('shared'));
    else fs.linkSync(first[kind], path.join(folder, name));
  };
  for (const [i, uid] of USERS.entries()) {
    store.user(uid, storePath === undefined ? {} : { mailMessageStore: storePath });
    const index = `${INDEX(10 + i, 4)}1 9 S 9 own${i}\n2 9 F 9 shared${i}\n3 9 - 9 bare${i}\n`;
    const folder = store.folder(base, uid, 'INBOX', index);
    putMail(folder, `own${i}`, MAIL(`own ${uid}`));
    share('shared', folder, `shared${i}`);
    share('bare', folder, `bare${i}`);
  }
  share('shared', store.folder(base, 'fred', 'Archive', `${INDEX(20, 9)}7 9 - 9 again\n`), 'again');
  if (storePath !== undefined) run('chown', '-R', `${ACCOUNT.user}:${ACCOUNT.group}`, storePath);
  store.finish();
  const result = made.folders();
  if (result.status !== 0) throw new Error(result.stderr + result.stdout);
  return made;
}

interface Stored {
  readonly mailbox: string;
  readonly name: string;
  readonly device: number;
  readonly inode: number;
  readonly links: number;
  readonly content: string;
}

/** Message files of all mailboxes, by mailbox and name. */
function stored(made: HandSite): Stored[] {
  return made.mailboxes().flatMap(({ name: mailbox, path: directory }) => {
    const found = spawnSync('find', [directory ?? '', '-mindepth', '2', '-maxdepth', '2', '-name', '*.msg'], {
      encoding: 'utf8',
    });
    const files = found.stdout
      .split('\n')
      .filter((file) => file !== '' && /^\d\d+$/.test(path.basename(path.dirname(file))));
    return files.sort().map((file) => {
      const { dev, ino, nlink } = fs.statSync(file);
      const content = fs.readFileSync(file, 'latin1');
      return { mailbox, name: path.basename(file), device: dev, inode: ino, links: nlink, content };
    });
  });
}

const inodesOf = (files: readonly Stored[], content: string): Set<number> =>
  new Set(files.filter((file) => file.content === content).map(({ inode }) => inode));

const sourceInode = (made: HandSite, name: string, base = made.store.mailbox): number =>
  fs.statSync(path.join(base, 'anna/INBOX', name)).ino;

const CRLF = BARE.replaceAll('\n', '\r\n');

describe.each(engineOptions())('single-copy messages, %s', (engine) => {
  it('on one file system are the 3.x inode; bare LF is rewritten once and shared again', () => {
    const made = sharedStore();
    const inode = sourceInode(made, 'shared0');
    const bare = sourceInode(made, 'bare0');
    const result = made.messages(engine);
    expect(result.status, result.stderr).toBe(0);
    const files = stored(made);
    expect(files).toHaveLength(13);
    const shared = files.filter(({ content }) => content === MAIL('shared'));
    expect(shared.map((file) => [file.inode, file.links])).toEqual(Array(5).fill([inode, 10]));
    const rewritten = files.filter(({ content }) => content === CRLF);
    expect(rewritten).toHaveLength(4);
    expect(inodesOf(files, CRLF).size).toBe(1);
    expect(inodesOf(files, CRLF)).not.toContain(bare);
    // The 3.x file is as it was.
    expect(fs.readFileSync(path.join(made.store.mailbox, 'anna/INBOX/bare0'), 'latin1')).toBe(BARE);
    expect(fs.statSync(path.join(made.store.mailbox, 'anna/INBOX/bare0')).nlink).toBe(4);
    expect(messagesResult(result).methods).toMatchObject({ link: 12, rewrite: 1, copy: 0 });
    expect(made.run('upgrade', '--verify').status).toBe(0);
  });

  it('with -r keep their inode and lose their 3.x names, also in a later run', () => {
    for (const late of [false, true]) {
      const made = sharedStore();
      const inode = sourceInode(made, 'shared0');
      if (late) expect(made.messages(engine).status).toBe(0);
      expect(made.messages(engine, '-r').status).toBe(0);
      const files = stored(made);
      const shared = files.filter(({ content }) => content === MAIL('shared'));
      expect(shared.map((file) => [file.inode, file.links])).toEqual(Array(5).fill([inode, 5]));
      expect(inodesOf(files, CRLF).size).toBe(1);
      expect(fs.readdirSync(path.join(made.store.mailbox, 'anna/INBOX')).filter((name) => name[0] !== '.')).toEqual([]);
      made.remove();
    }
  });

  it('stay shared between runs: some users by -u first, the others by -m', () => {
    const made = sharedStore();
    const list = path.join(made.store.mailbox, '__up.primary.txt');
    const some = path.join(made.store.root, 'some.txt');
    fs.writeFileSync(some, fs.readFileSync(list, 'utf8').split('\n').slice(0, 5).join('\n').concat('\n'));
    expect(made.run('upgrade', '-u', some, engine, '-r').status).toBe(0);
    expect(stored(made).length).toBeLessThan(13);
    expect(made.messages(engine, '-r').status).toBe(0);
    const files = stored(made);
    expect(files).toHaveLength(13);
    expect(inodesOf(files, MAIL('shared')).size).toBe(1);
    expect(inodesOf(files, CRLF).size).toBe(1);
  });

  it('copied to another file system are one inode there', (ctx) => {
    const made = sharedStore();
    const partition = fs.mkdtempSync('/dev/shm/mailhaul-');
    cleanups.push(() => fs.rmSync(partition, { recursive: true, force: true }));
    if (fs.statSync(partition).dev === fs.statSync(made.store.root).dev) {
      ctx.skip('/dev/shm is on the file system of the temporary directory');
    }
    fs.chmodSync(partition, 0o700);
    fs.chownSync(partition, ACCOUNT.uid, ACCOUNT.gid);
    expect(made.run('configutil', '-o', 'store.partition.primary.path', '-v', partition).status).toBe(0);
    const result = made.messages(engine);
    expect(result.status, result.stderr + result.stdout).toBe(0);
    const files = stored(made);
    expect(files).toHaveLength(13);
    expect(new Set(files.map(({ device }) => device))).toEqual(new Set([fs.statSync(partition).dev]));
    expect(inodesOf(files, MAIL('shared')).size).toBe(1);
    expect(inodesOf(files, CRLF).size).toBe(1);
    expect(files.filter(({ content }) => content.includes('own')).every(({ links }) => links === 1)).toBe(true);
    // No extra space: six different messages, and their indexes.
    expect(made.messages(engine, '-r').status).toBe(0);
    expect(inodesOf(stored(made), MAIL('shared')).size).toBe(1);
    expect(fs.readdirSync(path.join(made.store.mailbox, 'anna/INBOX')).filter((name) => name[0] !== '.')).toEqual([]);
  });

  it('with a full link count start a new shared copy', (ctx) => {
    const missing = mountMissing();
    if (missing !== undefined) {
      console.log(`skipped: ${ctx.task.name}: ${missing}`);
      ctx.skip(missing);
    }
    const disk = mountExt4(64, 'extent,dir_index,^has_journal');
    cleanups.push(() => disk.remove());
    // ext4 has at most 65,000 links to an inode: two are left for five messages.
    const made = sharedStore(disk.directory);
    const source = path.join(disk.directory, 'anna/INBOX/shared0');
    const elsewhere = path.join(disk.directory, '.elsewhere');
    fs.mkdirSync(elsewhere);
    for (let i = 5; i < 65_000 - 2; i++) fs.linkSync(source, path.join(elsewhere, String(i)));
    const result = made.messages(engine);
    expect(result.status, result.stderr + result.stdout).toBe(0);
    const files = stored(made);
    expect(files).toHaveLength(13);
    const shared = files.filter(({ content }) => content === MAIL('shared'));
    const inode = fs.statSync(source).ino;
    const ofSource = shared.filter((file) => file.inode === inode);
    const copied = shared.filter((file) => file.inode !== inode);
    expect(shared).toHaveLength(5);
    expect(ofSource.length + copied.length).toBe(5);
    expect(copied.length).toBeGreaterThanOrEqual(3);
    expect(new Set(copied.map((file) => file.inode)).size).toBe(1);
    expect(made.messages(engine, '-r').status).toBe(0);
    expect(made.dump('user/fred/Archive')).toHaveLength(1);
  });
});
