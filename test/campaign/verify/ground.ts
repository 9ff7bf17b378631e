/** What there is to change in a migrated store, and how a file is changed and put back. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Random } from '../../support/generate/random.js';
import { INSTANCE_DIRECTORIES } from '../../support/instance-directories.js';
import { messageFiles } from '../../support/site.js';
import type { Site } from '../support/kept-site.js';

export interface Mutation {
  /** What was done, for whoever repeats it. */
  readonly what: string;
  undo(): unknown;
}

/** Makes a mutation; undefined: not possible with what was drawn. */
export type Mutator = (ground: Ground, random: Random) => Mutation | undefined | Promise<Mutation | undefined>;

/** What there is to change. */
export interface Ground {
  readonly site: Site;
  readonly messages: readonly string[];
  readonly indexes: readonly string[];
  /** 3.x message files that are there still; names of ASCII only, for they are given to touch(1). */
  readonly originals: readonly string[];
  /** 3.x folders with an index. */
  readonly sourceFolders: readonly string[];
  readonly directories: readonly string[];
  readonly instanceDirectories: readonly string[];
  /** Files whose owner and mode are looked at. */
  readonly files: readonly string[];
  readonly databases: readonly Database[];
}

export interface Database {
  readonly file: string;
  readonly tables: readonly string[];
}

export function groundOf(site: Site): Ground {
  const all = site.partitions.flatMap((partition) => [partition, ...below(partition)]);
  const source = site.stores.flatMap((store) => below(store)).filter((file) => !file.includes('/.0004x.'));
  const mailboxDirectory = site.stores[0]!;
  const instance = ['config/configdb', 'log/default/default', 'lock/__lock.share', 'store/mboxlist/mboxlist.mdb'];
  const work = fs
    .readdirSync(mailboxDirectory)
    .filter((name) => /^(?:__up\..*\.txt|__upfolder\.db|upgrade4x\.conf)$/.test(name));
  return {
    site,
    messages: all.filter((file) => file.endsWith('.msg')),
    indexes: all.filter((file) => file.endsWith('/store.idx')),
    originals: site.stores.flatMap((store) => messageFiles(store)).filter((file) => /^[ -~]*$/.test(file)),
    sourceFolders: source.filter((file) => file.endsWith('/.mailbox')).map((file) => path.dirname(file)),
    directories: all.filter((file) => fs.statSync(file).isDirectory()),
    instanceDirectories: INSTANCE_DIRECTORIES.map((name) => path.join(site.instance, name)),
    files: [
      ...all.filter((file) => fs.statSync(file).isFile()),
      ...instance.map((name) => path.join(site.instance, name)),
      ...work.map((name) => path.join(mailboxDirectory, name)),
    ],
    databases: [
      {
        file: path.join(site.instance, 'store/mboxlist/mboxlist.mdb'),
        tables: ['folder', 'quota', 'subscr', 'published'],
      },
      {
        file: path.join(mailboxDirectory, '__upfolder.db'),
        tables: ['meta', 'user', 'folder', 'mailbox', 'owned', 'record'],
      },
    ],
  };
}

function below(directory: string): string[] {
  const names = fs.readdirSync(directory, { recursive: true, encoding: 'utf8' });
  // A name that is not UTF-8 cannot be said again.
  return names.map((name) => path.join(directory, name)).filter((file) => fs.existsSync(file));
}

/** Changes the content of a file in place; owner, mode, inode and times stay. */
export function rewrite(file: string, change: (content: Buffer) => Buffer, what: string, reference: string): Mutation {
  const before = fs.readFileSync(file);
  spawnSync('touch', ['-r', file, reference]);
  const write = (content: Buffer): void => {
    fs.writeFileSync(file, content);
    spawnSync('touch', ['-r', reference, file]);
  };
  write(change(Buffer.from(before)));
  return { what: `${what} of ${file}`, undo: () => write(before) };
}

export function reference({ site }: Ground): string {
  return path.join(site.root, 'times');
}

export function move(from: string, to: string, what: string): Mutation {
  fs.renameSync(from, to);
  return { what, undo: () => fs.renameSync(to, from) };
}

export function aside({ site }: Ground): string {
  return path.join(site.root, 'aside');
}

export function flip(content: Buffer, random: Random): Buffer {
  const at = random.int(0, content.length - 1);
  content[at]! ^= random.int(1, 255);
  return content;
}

/** A file more; undefined when the name is taken. */
export function addFile(file: string, content: string): Mutation | undefined {
  if (fs.existsSync(file)) return undefined;
  fs.writeFileSync(file, content, { mode: 0o600 });
  owned(file);
  return { what: `new file ${file}`, undo: () => fs.unlinkSync(file) };
}

/** A symbolic link in place of a file or directory, to what it was. */
export function replaceByLink(ground: Ground, name: string): Mutation {
  const moved = move(name, aside(ground), '');
  fs.symlinkSync(aside(ground), name);
  return {
    what: `a symbolic link in place of ${name}`,
    undo() {
      fs.unlinkSync(name);
      moved.undo();
    },
  };
}

export function owned(file: string): void {
  const { uid, gid } = fs.statSync(path.dirname(file));
  if (process.geteuid?.() === 0) fs.chownSync(file, uid, gid);
}
