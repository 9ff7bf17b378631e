/** A small 3.x installation made by hand, for tests of single rules. Everything lies below one mkdtemp. */

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestContext } from 'vitest';
import { MailhaulError } from '../../src/errors.js';
import { closeDir, openRoot } from '../../src/fs/dir.js';
import { openMailboxDatabase } from '../../src/store/database.js';
import type { MailboxDatabase } from '../../src/store/types.js';
import { type FoldersOptions, upgradeFolders } from '../../src/upgrade/folders.js';
import type { FoldersReport } from '../../src/upgrade/folders-report.js';
import { openMappingDatabase } from '../../src/upgrade/mapping/database.js';
import type { MappingDatabase } from '../../src/upgrade/types.js';

export const HOST = 'mail.example.com';

/** The account that owns the store: `mail` when the tests run as root, else whoever runs them. */
export const ACCOUNT = serverAccount();

function serverAccount(): { user: string; group: string; uid: number; gid: number } {
  const { username, uid, gid } = userInfo();
  if (uid === 0) return { user: 'mail', group: 'mail', uid: idOf('-u', 'mail'), gid: idOf('-g', 'mail') };
  const group = spawnSync('id', ['-gn'], { encoding: 'utf8' }).stdout.trim();
  return { user: username, group, uid, gid };
}

function idOf(flag: string, user: string): number {
  return Number(spawnSync('id', [flag, user], { encoding: 'utf8' }).stdout);
}

export interface SmallStore {
  readonly root: string;
  /** 3.x instance directory. */
  readonly from: string;
  /** MailboxDirectory. */
  readonly mailbox: string;
  /** 4.x instance directory; not made. */
  readonly instance: string;
  readonly ldif: string;
  /** Another store path below the root, made. */
  storePath(name: string): string;
  /** A user's entry for the LDIF file; the mailbox directory is not made. */
  user(uid: string, extra?: Readonly<Record<string, string>>): void;
  /** A folder directory with its `.mailbox`; `index` null: none. Returns its path. */
  folder(storePath: string, uid: string, path: string | Buffer, index?: string | null): string;
  /** Writes the LDIF file and gives everything to the server account. */
  finish(): void;
  configure(settings: Readonly<Record<string, string>>): void;
  remove(): void;
}

export const INDEX = (uidvalidity: number, uidnext = 1): string => `NSMB 3 ${uidvalidity} ${uidnext}\n`;

/** @param base where its temporary directory goes; a file system in memory for many quick runs */
export function smallStore(base = tmpdir()): SmallStore {
  const root = fs.mkdtempSync(join(base, 'mailhaul-s-'));
  fs.chmodSync(root, 0o755);
  const from = join(root, 'server3/msg-old');
  const mailbox = join(root, 'mail/default');
  const ldif = join(root, 'users.ldif');
  const entries: string[] = [];
  const settings: Record<string, string> = {
    Version: '3.6',
    HostName: HOST,
    MailboxDirectory: mailbox,
    ServerUser: ACCOUNT.user,
    ServerGroup: ACCOUNT.group,
  };
  fs.mkdirSync(join(from, 'config'), { recursive: true });
  fs.mkdirSync(mailbox, { recursive: true });
  const store: SmallStore = {
    root,
    from,
    mailbox,
    ldif,
    instance: join(root, 'server4/msg-new'),
    storePath(name) {
      const path = join(root, name);
      fs.mkdirSync(path, { recursive: true });
      return path;
    },
    user(uid, extra = {}) {
      const lines = Object.entries(extra).map(([name, value]) => `${name}: ${value}\n`);
      entries.push(
        `dn: cn=${entries.length},o=test\nobjectClass: mailRecipient\nuid: ${uid}\nmailHost: ${HOST}\n` +
          `mailDeliveryOption: mailbox\n${lines.join('')}\n`,
      );
    },
    folder(storePath, uid, path, index = INDEX(100)) {
      const directory = Buffer.concat([Buffer.from(`${storePath}/${uid}/`), Buffer.from(path)]);
      fs.mkdirSync(directory, { recursive: true });
      if (index !== null) fs.writeFileSync(Buffer.concat([directory, Buffer.from('/.mailbox')]), index);
      return directory.toString();
    },
    configure: (changes) => Object.assign(settings, changes),
    finish() {
      const lines = Object.entries(settings).map(([key, value]) => `${key}: ${value}\n`);
      fs.writeFileSync(join(from, 'config/NscpMail.conf'), lines.join(''));
      fs.writeFileSync(ldif, entries.join(''));
      if (process.getuid?.() === 0) spawnSync('chown', ['-R', '-h', `${ACCOUNT.uid}:${ACCOUNT.gid}`, dirname(mailbox)]);
    },
    // rm(1): Node's own cannot remove what lies deeper than PATH_MAX.
    remove: () => void spawnSync('rm', ['-rf', root]),
  };
  return store;
}

/** The code of the MailhaulError that `action` throws; undefined when it throws none. */
export function codeOf(action: () => unknown): string | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    return errorCode(error);
  }
}

/** The same for a promise. */
export async function codeOfAsync(action: () => Promise<unknown>): Promise<string | undefined> {
  try {
    await action();
    return undefined;
  } catch (error) {
    return errorCode(error);
  }
}

function errorCode(error: unknown): string {
  if (error instanceof MailhaulError) return error.code;
  throw error;
}

/** Takes a file of a 3.x folder away from whoever reads it; from root too, which opens none that its owner cannot. */
export function makeUnreadable(file: string): void {
  fs.chmodSync(file, 0);
  if (process.getuid?.() === 0) fs.chownSync(file, 12_345, 12_345);
}

/** Gives it back to the server account. */
export function makeReadable(file: string): void {
  if (process.getuid?.() === 0) fs.chownSync(file, ACCOUNT.uid, ACCOUNT.gid);
  fs.chmodSync(file, 0o600);
}

/** Skips a test that needs root, and says so. */
export function needRoot(ctx: TestContext): void {
  if (process.getuid?.() === 0) return;
  const reason = 'needs root (other owners, mounts)';
  console.log(`skipped: ${ctx.task.name}: ${reason}`);
  ctx.skip(reason);
}

/**
 * Every path below `root` with mode, owner, and content of files: two equal snapshots, nothing written. What
 * locks leave in their files does not count.
 */
export function snapshot(root: string): string[] {
  const lines: string[] = [];
  const visit = (directory: Buffer): void => {
    for (const name of fs.readdirSync(directory, { encoding: 'buffer' })) {
      const path = Buffer.concat([directory, Buffer.from('/'), name]);
      const status = fs.lstatSync(path);
      const locks = /-lock$|^__lock\.share$/.test(name.toString());
      const content = status.isFile() && !locks ? createHash('sha256').update(fs.readFileSync(path)).digest('hex') : '';
      lines.push(`${path.toString('latin1')} ${status.mode.toString(8)} ${status.uid} ${content}`);
      if (status.isDirectory()) visit(path);
    }
  };
  visit(Buffer.from(root));
  return lines.sort();
}

/** The databases that `-s` left, opened for reading. */
export async function databases<T>(
  store: SmallStore,
  action: (mapping: MappingDatabase, mailboxes: MailboxDatabase) => T | Promise<T>,
  workDir = store.mailbox,
): Promise<T> {
  const dir = openRoot(workDir);
  const mapping = await openMappingDatabase(dir);
  const mailboxes = await openMailboxDatabase(join(store.instance, 'store/mboxlist'));
  try {
    return await action(mapping, mailboxes);
  } finally {
    await mapping.close();
    await mailboxes.close();
    closeDir(dir);
  }
}

/** Names of all 4.x mailboxes. */
export function mailboxNames(store: SmallStore): Promise<string[]> {
  return databases(store, (_, mailboxes) => [...mailboxes.list()].map(({ name }) => name));
}

/** What `-m` does to one folder, as far as the databases see it. */
export async function publish(store: SmallStore, mailbox: string, root = '/partition'): Promise<void> {
  await databases(store, async (mapping, mailboxes) => {
    const folder = mapping.folderByMailbox(mailbox)!;
    await mapping.update((writes) => writes.putFolder({ ...folder, root, attempts: 1, migrated: true }));
    const summary = { messages: 1, bytes: 10, lastAppend: 1, seen: 0, answered: 0, flagged: 0, deleted: 0, draft: 0 };
    await mailboxes.update((writes) =>
      writes.publish(mailbox, { summary, uidvalidity: folder.uidvalidity, uidnext: 2, root }),
    );
  });
}

/** `upgrade -s` on this store with its LDIF file. */
export function run(store: SmallStore, options: Partial<FoldersOptions> = {}): Promise<FoldersReport> {
  return upgradeFolders({ instance: store.instance, from: store.from, directory: store.ldif, ...options });
}
