/** The product's commands as a benchmark runs them, and what they answer. A run that did nothing is no result. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { runChild } from './children.js';
import type { Migration } from './plan.js';
import { CONFIGUTIL, UPGRADE } from './project.js';
import type { MadeStore } from './stores.js';

/** What `-s` made. */
export interface FoldersMade {
  readonly instance: string;
  /** By store path; that of MailboxDirectory is `primary`, whatever its directory is called. */
  readonly partitions: readonly { readonly name: string; readonly storePath: string; readonly users: number }[];
}

export function foldersCommand({ installation: { instance: from, ldif } }: MadeStore, instance: string): string[] {
  return [process.execPath, UPGRADE, '-s', '--from', from, '--directory', ldif, '--instance', instance, '--json'];
}

export function foldersOf(stdout: string, instance: string): FoldersMade {
  const { partitions } = resultOf<Pick<FoldersMade, 'partitions'>>(stdout);
  return { instance, partitions };
}

export function messagesCommand(instance: string, { engine, threads, remove }: Migration): readonly string[] {
  const options = [engine === 'native' ? '--native' : '--no-native'];
  if (threads !== null) options.push('-t', String(threads));
  if (remove) options.push('-r');
  return [process.execPath, UPGRADE, '-m', ...options, '--instance', instance, '--json'];
}

/** Back to before the first `-s`. What it leaves (the instance's configuration, empty partitions) is in nobody's way. */
export async function resetInstance(instance: string): Promise<void> {
  const command = [process.execPath, UPGRADE, '--reset', '--yes', '--instance', instance, '--json'];
  const { status, stdout, stderr } = await runChild(command);
  if (status !== 0) throw new Error(`${command.join(' ')}: exit code ${status}\n${stdout}${stderr}`);
  const { outcome } = resultOf<{ readonly outcome: string }>(stdout);
  if (outcome !== 'done') throw new Error(`upgrade --reset of ${instance} ended with "${outcome}"`);
}

/**
 * Gives each partition a directory on the other file system of its disk.
 *
 * @returns those that messages will lie in
 */
export function movePartitions({ instance, partitions }: FoldersMade, store: MadeStore, prefix: string): string[] {
  const { chown, uid, gid } = store.installation.owner;
  return store.trees.flatMap(({ path: storePath, disk }) => {
    if (disk.across === null) throw new Error('there is no other file system: --across, or --partition-dir');
    const real = fs.realpathSync(storePath);
    const partition = partitions.find((one) => fs.realpathSync(one.storePath) === real);
    if (partition === undefined) throw new Error(`upgrade -s made no partition for ${storePath}`);
    const directory = path.join(disk.across, `${prefix}-${partition.name}`);
    fs.mkdirSync(directory, { mode: 0o700 });
    if (chown) fs.chownSync(directory, uid, gid);
    const option = ['-o', `store.partition.${partition.name}.path`, '-v', directory];
    execFileSync(process.execPath, [CONFIGUTIL, '--instance', instance, ...option], { stdio: 'pipe' });
    return partition.users > 0 ? [directory] : [];
  });
}

/** A migration that went to the old place has measured links where copies were asked for. */
export function checkMoved(partitions: readonly string[]): void {
  const empty = partitions.find((directory) => fs.readdirSync(directory).length === 0);
  if (empty !== undefined) throw new Error(`upgrade -m put nothing into ${empty}`);
}

interface MessagesResult {
  readonly messages: { readonly done: number };
  /** Not every version tells. */
  readonly times?: Readonly<Record<string, number>>;
}

function resultOf<T>(stdout: string): T {
  const text = stdout.trim();
  return JSON.parse(text.startsWith('{') ? text : (text.split('\n').at(-1) ?? '')) as T;
}

export function timesOf(stdout: string): Readonly<Record<string, number>> | null {
  const { times } = resultOf<MessagesResult>(stdout);
  return times !== undefined && typeof times === 'object' ? times : null;
}

/** Messages that this run has moved, by what it says itself. */
export function doneOf(stdout: string): number {
  return resultOf<MessagesResult>(stdout).messages.done;
}

export function checkDone(stdout: string, messages: number): void {
  const done = doneOf(stdout);
  if (done !== messages) throw new Error(`upgrade -m moved ${done} messages of ${messages}`);
}
