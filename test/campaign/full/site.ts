/** The ground of the campaign `full`: an installation of which one part lies on a small disk. */
import { type ChildProcess, type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { generateInstallation } from '../../support/generate/index.js';
import { commandFile } from '../../support/process.js';
import { messageFiles } from '../../support/site.js';
import { contentOf, originals, type Site } from '../support/kept-site.js';

/** Which part lies on the small disk. */
export type OnDisk = 'partition' | 'store' | 'mailbox-directory' | 'instance' | 'nothing';

export interface FullSite extends Site {
  command(name: string, ...args: string[]): SpawnSyncReturns<string>;
  start(...args: string[]): ChildProcess;
  readonly log: string;
}

/** Makes an installation below `root`, after `upgrade -s`; `disk` is where the small disk is mounted. */
export function makeFullSite(root: string, disk: string, onDisk: OnDisk): FullSite {
  const base = path.join(root, 'site');
  const first = onDisk === 'mailbox-directory' ? path.join(disk, 'disk1') : path.join(base, 'disk1');
  const second = onDisk === 'store' ? path.join(disk, 'disk2') : path.join(base, 'disk2');
  const made = generateInstallation({
    root: base,
    seed: 'full',
    users: 8,
    folders: 3,
    messages: 400,
    size: 12_000,
    sizes: 'fixed',
    spread: 'even',
    storePaths: [first, second],
    singleCopy: 0.2,
    bareLf: 0.1,
    damage: 0,
    hostileNames: 0,
    manifest: false,
  });
  const instance = path.join(onDisk === 'instance' ? disk : base, 'server4', 'msg-tango');
  const contents = new Set<string>();
  for (const store of made.storePaths) for (const file of messageFiles(store)) contents.add(contentOf(file));
  const argv = (name: string, args: readonly string[]) => [commandFile(name), '--instance', instance, ...args];
  const command: FullSite['command'] = (name, ...args) =>
    spawnSync(process.execPath, argv(name, args), { encoding: 'utf8', maxBuffer: 1 << 28 });
  const folders = command('upgrade', '-s', '--from', made.instance, '--directory', made.ldif);
  if (folders.status !== 0) throw new Error(folders.stderr + folders.stdout);
  // The partition that moves: mail is copied to another device.
  const moved = path.join(disk, 'part');
  if (onDisk === 'partition') {
    fs.mkdirSync(moved, { mode: 0o700 });
    const { uid, gid } = fs.statSync(first);
    fs.chownSync(moved, uid, gid);
    const set = command('configutil', '-o', 'store.partition.primary.path', '-v', moved);
    if (set.status !== 0) throw new Error(set.stderr);
  }
  const primary = onDisk === 'partition' ? moved : path.join(instance, 'store/partition/primary');
  return {
    root,
    instance,
    from: made.instance,
    ldif: made.ldif,
    stores: made.storePaths,
    partitions: [primary, path.join(second, `.0004x.${path.basename(second)}`)],
    contents,
    command,
    start: (...args) => spawn(process.execPath, argv('upgrade', args), { stdio: ['ignore', 'pipe', 'pipe'] }),
    log: path.join(instance, 'log/default/default'),
  };
}

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** `during` found its moment. */
  readonly disturbed: boolean;
}

/** Runs `-m`; at the first message file in the partition the process is held while `during` acts. */
export async function disturbedRun(site: FullSite, args: readonly string[], during: () => boolean): Promise<Ended> {
  const child = site.start('-m', '-t', '1', '-q', '2', '--json', ...args);
  let [stdout, stderr] = ['', ''];
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const closed = once(child, 'close');
  const [partition] = site.partitions;
  let disturbed = false;
  while (child.exitCode === null && !disturbed) {
    if (!hasMessage(partition ?? '')) {
      await sleep(2);
      continue;
    }
    child.kill('SIGSTOP');
    disturbed = during();
    child.kill('SIGCONT');
    if (!disturbed) await sleep(1);
  }
  const [status] = (await closed) as [number | null];
  return { status, stdout, stderr, disturbed };
}

function hasMessage(partition: string): boolean {
  try {
    return fs.readdirSync(partition, { recursive: true }).some((name) => String(name).endsWith('.msg'));
  } catch {
    return false;
  }
}

/** Nothing half-visible: what is published can be read in full; and 3.x is as it was. */
export function stateProblems(site: FullSite, before: readonly string[]): string[] {
  const problems: string[] = [];
  if (originals(site).join('\n') !== before.join('\n')) problems.push('3.x files are gone');
  const dump = site.command('mboxutil', '--dump', '--json');
  if (dump.status !== 0) problems.push(`what is published cannot be read: ${dump.stderr.slice(0, 500)}`);
  return problems;
}

export function states(site: FullSite): { name: string; partition: string; state: string }[] {
  const { status, stdout, stderr } = site.command('mboxutil', '-l', '--json');
  if (status !== 0) throw new Error(stderr);
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as { name: string; partition: string; state: string });
}
