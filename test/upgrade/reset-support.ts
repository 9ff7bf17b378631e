/** What the tests of `--reset` share: the stores as they are, to compare, and the calls. */
import { type ChildProcess, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { mailboxPathComponents } from '../../src/store/names.js';
import { type ResetOptions, type ResetReport, resetStore } from '../../src/upgrade/reset.js';
import { fillFolder, type SmallStore, smallStore } from '../support/migrated-store.js';
import { digestWithoutClock } from '../support/without-clock.js';

export const primaryOf = (store: SmallStore): string => `${store.instance}/store/partition/primary`;

/** A store of joe, whose INBOX has one message, `msg1` of uid 1, not migrated yet. */
export function joeStore(content: string): SmallStore {
  const store = smallStore();
  store.user('joe');
  fillFolder(store, 'joe', 'INBOX', 7, [{ uid: 1, content }]);
  return store;
}

/** The 4.x directory of joe's INBOX. */
export const joeInbox = (store: SmallStore): string =>
  `${primaryOf(store)}/${mailboxPathComponents('joe', 'user/joe/INBOX').join('/')}`;

export function reset(store: SmallStore, options: Partial<ResetOptions> = {}): Promise<ResetReport> {
  return resetStore({ instance: store.instance, confirm: () => 'yes', ...options });
}

/** Every file below `root` that `take` accepts: content, and the other names of its inode there. */
export function filesBelow(root: string, take: (name: string) => boolean = () => true): Record<string, string> {
  const entries = fs
    .readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)))
    .filter(take)
    .sort();
  const names = new Map<number, string[]>();
  for (const name of entries) {
    const { ino } = fs.statSync(path.join(root, name));
    names.set(ino, [...(names.get(ino) ?? []), name]);
  }
  return Object.fromEntries(
    entries.map((name) => {
      const full = path.join(root, name);
      const content = fs.readFileSync(full);
      const digest = digestWithoutClock(name, content);
      const others = (names.get(fs.statSync(full).ino) ?? []).filter((other) => other !== name);
      return [name, `${digest} ${others.join(' ')}`];
    }),
  );
}

/** The 3.x message files: content, and which of them are one inode. */
export const originalsOf = (store: SmallStore): Record<string, string> =>
  filesBelow(store.mailbox, (name) => /\/[^./][^/]*$/.test(name) && !name.startsWith('.') && !name.startsWith('__'));

/** Modification times of the 3.x message files, nanoseconds. */
export function timesOf(store: SmallStore): Record<string, bigint> {
  return Object.fromEntries(
    Object.keys(originalsOf(store)).map((name) => [
      name,
      fs.statSync(path.join(store.mailbox, name), { bigint: true }).mtimeNs,
    ]),
  );
}

export const refusalsOf = (report: ResetReport): string[] =>
  [...new Set(report.refusals.map(({ code }) => code))].sort();

/** State of a process and its command line, words apart. */
export function processOf({ pid }: ChildProcess): { stopped: boolean; command: string } {
  const stopped = /^State:\s+T/m.test(fs.readFileSync(`/proc/${pid}/status`, 'utf8'));
  return { stopped, command: fs.readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ').trim() };
}

/** Asks again and again; a test that waits in vain runs into its time limit. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** A process, `sleep 600`, that holds the lock of a file or directory and was stopped. Kill it. */
export async function stoppedHolder(file: string): Promise<ChildProcess> {
  const holder = spawn('flock', ['-F', file, 'sleep', '600'], { stdio: 'ignore' });
  await until(() => processOf(holder).command === 'sleep 600');
  holder.kill('SIGSTOP');
  await until(() => processOf(holder).stopped);
  return holder;
}

/** How a message names such a process. */
export const namedAsStopped = ({ pid }: ChildProcess): string =>
  `process ${pid} (sleep 600), which is stopped (continue it with kill -CONT ${pid}, or end it)`;

/** What a report has that halted because of `code`. */
export const haltedBy = (code: string) => ({ outcome: 'halted', exitCode: 4, halted: { code } });
