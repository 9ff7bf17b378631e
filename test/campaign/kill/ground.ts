/**
 * The ground of the kill campaign: an installation with everything that makes a run's calls differ, on a file system
 * in memory, with one partition on another file system, and its states, which are put back before each kill.
 *
 *     <root>/site/                the installation, at paths that never change (databases hold them)
 *     <root>/kept/<state>/        copies of it
 *     <other>/partition           the partition of the third store path: messages go there by copying
 *     <other>/kept/<state>/
 */
import { spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { generateInstallation } from '../../support/generate/index.js';
import { commandFile } from '../../support/process.js';
import { messageFiles } from '../../support/site.js';
import { ACCOUNT } from '../../upgrade/small-store.js';

export interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command of the package with its arguments but `--instance`. */
export type Command = readonly [name: string, ...args: string[]];

export interface Ground {
  readonly root: string;
  readonly instance: string;
  readonly storePaths: readonly string[];
  /** The default ones, then the one on the other file system; some may not be there. */
  readonly partitions: readonly string[];
  /** The one on the other file system. */
  readonly elsewhere: string;
  readonly manifest: string;
  readonly ldif: string;
  /** Command line of `upgrade -s`. */
  readonly folders: Command;
  /** Runs a command to its end; `wrap` goes in front of node. */
  run(command: Command, env?: Readonly<Record<string, string>>, wrap?: readonly string[]): Promise<Ended>;
  keep(state: string): void;
  restore(state: string): void;
  remove(): void;
}

function memoryDirectory(): string {
  return fs.existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir();
}

export function makeGround(seed: string): Ground {
  const root = fs.mkdtempSync(path.join(memoryDirectory(), 'mailhaul-kill-'));
  const other = fs.mkdtempSync(path.join(os.tmpdir(), 'mailhaul-kill-'));
  for (const directory of [root, other]) fs.chmodSync(directory, 0o755);
  const site = path.join(root, 'site');
  const made = generateInstallation({
    root: site,
    seed: `kill ${seed}`,
    owner: ACCOUNT.user,
    users: 4,
    folders: 4,
    nested: 0.5,
    messages: 200,
    size: 1_500,
    storePaths: 3,
    singleCopy: 0.3,
    bareLf: 0.25,
    damage: 0.4,
    damageKinds: ['file-without-line', 'uid-repeated', 'header-lost'],
    hostileNames: 0.2,
    keywords: 0.3,
    emptyUsers: 1,
  });
  const instance = path.join(site, 'server4', 'msg-tango');
  const partition = path.join(other, 'partition');
  fs.mkdirSync(partition, { mode: 0o700 });
  fs.chownSync(partition, ACCOUNT.uid, ACCOUNT.gid);
  const partitions = [
    path.join(instance, 'store/partition/primary'),
    ...made.storePaths.slice(1).map((store) => path.join(store, `.0004x.${path.basename(store)}`)),
  ];
  partitions.push(partition);
  const copy = (from: string, to: string): void => {
    fs.rmSync(to, { recursive: true, force: true });
    fs.mkdirSync(path.dirname(to), { recursive: true });
    const { status, stderr } = spawnSync('cp', ['-a', from, to], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`cp -a ${from} ${to}: ${stderr}`);
  };
  return {
    root,
    instance,
    storePaths: made.storePaths,
    partitions,
    elsewhere: partition,
    manifest: made.manifest ?? '',
    ldif: made.ldif,
    folders: ['upgrade', '-s', '--from', made.instance, '--directory', made.ldif, '--keep-partition-paths'],
    run([name, ...args], env = {}, wrap = []) {
      const argv = [...wrap, process.execPath, commandFile(name), '--instance', instance, ...args];
      return ended(argv, env);
    },
    keep(state) {
      copy(site, path.join(root, 'kept', state));
      copy(partition, path.join(other, 'kept', state));
    },
    restore(state) {
      copy(path.join(root, 'kept', state), site);
      copy(path.join(other, 'kept', state), partition);
    },
    remove() {
      fs.rmSync(root, { recursive: true, force: true });
      fs.rmSync(other, { recursive: true, force: true });
    },
  };
}

function ended([program = '', ...args]: readonly string[], env: Readonly<Record<string, string>>): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.once('error', reject);
    child.once('close', (status, signal) => resolve({ status, signal, stdout, stderr }));
  });
}

/** 3.x message files of all store paths; paths are latin1, so that any byte survives. */
export function originals(ground: Ground): string[] {
  return ground.storePaths.flatMap((store) => messageFiles(store)).sort();
}
