/**
 * A generated 3.x installation with its 4.x instance beside it, and the package's commands run on it as real
 * processes: the ground of the tests of whole runs.
 */
import { type ChildProcess, type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { loadAddon } from '../../src/fs/addon.js';
import { type Comparison, compareWithManifest } from './generate/compare.js';
import { type GenerateOptions, generateInstallation, type Installation } from './generate/index.js';
import { mboxutil } from './kept-mboxutil.js';
import { commandFile } from './process.js';
import { storeLines } from './store-lines.js';

export type Result = SpawnSyncReturns<string>;

export interface TestSite {
  readonly root: string;
  readonly made: Installation;
  /** The 4.x instance. */
  readonly instance: string;
  /** Runs a command with `--instance` to its end. */
  run(name: string, ...args: string[]): Result;
  start(name: string, ...args: string[]): ChildProcess;
  /** `upgrade -s`. */
  folders(...args: string[]): Result;
  /** `upgrade -m --json` on two threads. */
  messages(...args: string[]): Result;
  /** Compares the 4.x store with the generator's manifest. */
  compare(): Promise<Comparison>;
  /** Lines of `mboxutil -l --json`, by kept-mboxutil.ts. */
  mailboxes(): ListedMailbox[];
  remove(): void;
}

export interface ListedMailbox {
  readonly name: string;
  readonly legacyName: string | null;
  readonly partition: string;
  readonly path: string;
  readonly state: 'TRANSITION' | 'NON-TRANSITION';
  readonly messages: number;
  readonly uidvalidity: number;
  readonly uidnext: number;
}

/** The engines that can run here, as options of `upgrade -m`. */
export function engineOptions(): readonly ('--native' | '--no-native')[] {
  if (loadAddon() !== undefined) return ['--native', '--no-native'];
  console.log('The native addon is not built: these tests run with the portable engine only.');
  return ['--no-native'];
}

export function makeTestSite(options: Partial<GenerateOptions> = {}): TestSite {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'mailhaul-site-'));
  const made = generateInstallation({
    root: path.join(root, '3x'),
    users: 4,
    folders: 3,
    messages: 120,
    size: 1_500,
    ...options,
  });
  const instance = path.join(root, 'server4', 'msg-tango');
  const argv = (name: string, args: readonly string[]): string[] => [
    commandFile(name),
    '--instance',
    instance,
    ...args,
  ];
  const run = (name: string, ...args: string[]): Result =>
    spawnSync(process.execPath, argv(name, args), { encoding: 'utf8', maxBuffer: 1 << 28 });
  return {
    root,
    made,
    instance,
    run,
    start: (name, ...args) => spawn(process.execPath, argv(name, args), { stdio: ['ignore', 'pipe', 'pipe'] }),
    folders: (...args) => run('upgrade', '-s', '--from', made.instance, '--directory', made.ldif, ...args),
    messages: (...args) => run('upgrade', '-m', '-t', '2', '--json', ...args),
    async compare() {
      if (made.manifest === null) throw new Error('made without a manifest');
      const { mailboxes, messages } = await storeLines(instance);
      return compareWithManifest(made.manifest, mailboxes, messages);
    },
    mailboxes: () =>
      mboxutil(['--instance', instance, '-l', '--json'])
        .stdout.split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as ListedMailbox),
    remove: () => fs.rmSync(root, { recursive: true, force: true }),
  };
}

/** The report that a run printed. */
export function reportOf(result: Result): {
  folders: { done: number; skipped: number; failed: number };
  messages: { done: number; failed: number };
  methods: { rename: number; link: number; reflink: number; copy: number; rewrite: number };
  errors: { user: string; folder: string; file: string; code: string; message: string }[];
  halted: { code: string; message: string } | null;
  removed: { messages: number; kept: number };
} {
  return JSON.parse(result.stdout);
}

/** Message files below a 3.x store path: no dot names, nothing that `-s` wrote. */
export function messageFiles(directory: string, found: string[] = []): string[] {
  for (const entry of fs.readdirSync(Buffer.from(directory, 'latin1'), { withFileTypes: true, encoding: 'buffer' })) {
    const name = entry.name.toString('latin1');
    if (name.startsWith('.') || name.startsWith('__') || name === 'upgrade4x.conf') continue;
    const file = `${directory}/${name}`;
    if (entry.isDirectory()) messageFiles(file, found);
    else if (entry.isFile()) found.push(file);
  }
  return found;
}
