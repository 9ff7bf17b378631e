/**
 * A small installation that is put back to the same state again and again: the ground of campaigns.
 *
 *     <root>/site/       server3, disk1, disk2, server4 … at paths that never change (databases hold them)
 *     <root>/<name>/     a copy of site/ as it was when `keep(site, name)` was called
 */
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { type GenerateOptions, generateInstallation } from '../../support/generate/index.js';
import { commandFile } from '../../support/process.js';
import { messageFiles } from '../../support/site.js';
import { digestWithoutClock, textWithoutClock } from '../../support/without-clock.js';

export interface Site {
  readonly root: string;
  readonly instance: string;
  readonly from: string;
  readonly ldif: string;
  /** Directories that hold mail, 3.x store paths first, then the partitions. */
  readonly stores: readonly string[];
  readonly partitions: readonly string[];
  /** SHA-256 of the CRLF form of every message that must survive. */
  readonly contents: ReadonlySet<string>;
}

/** Runs one of the package's commands to its end. */
export function command(
  name: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, [commandFile(name), ...args], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
    maxBuffer: 1 << 28,
  });
}

/** Makes the installation. */
export function makeSite(root: string, options: Partial<GenerateOptions> = {}): Site {
  const at = path.join(root, 'site');
  const made = generateInstallation({
    root: at,
    seed: 'kill',
    users: 3,
    folders: 2,
    messages: 24,
    size: 1_500,
    storePaths: 2,
    singleCopy: 0.3,
    bareLf: 0.25,
    damage: 0.4,
    damageKinds: ['file-without-line', 'uid-repeated', 'header-lost'],
    hostileNames: 0.2,
    keywords: 0.3,
    emptyUsers: 1,
    ...options,
  });
  fs.chmodSync(root, 0o755);
  const instance = path.join(at, 'server4', 'msg-tango');
  const partitions = [
    path.join(instance, 'store/partition/primary'),
    ...made.storePaths.slice(1).map((store) => path.join(store, `.0004x.${path.basename(store)}`)),
  ];
  const contents = new Set<string>();
  for (const store of made.storePaths) for (const file of messageFiles(store)) contents.add(contentOf(file));
  const site = { root, instance, from: made.instance, ldif: made.ldif, stores: made.storePaths, partitions, contents };
  if (contents.size < 12) throw new Error(`the generator made only ${contents.size} messages`);
  return site;
}

export function upgradeFolders(site: Site, env: Readonly<Record<string, string>> = {}): SpawnSyncReturns<string> {
  return command('upgrade', ['-s', '--from', site.from, '--instance', site.instance, '--directory', site.ldif], env);
}

export function upgradeMessages(
  site: Site,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): SpawnSyncReturns<string> {
  return command('upgrade', ['-m', '-t', '1', '--instance', site.instance, '--json', ...args], env);
}

/** Keeps the site as it is now under `name`; hard links and times included. */
export function keep(site: Site, name: string): void {
  run('cp', ['-a', path.join(site.root, 'site'), path.join(site.root, name)]);
}

export function restore(site: Site, name: string): void {
  fs.rmSync(path.join(site.root, 'site'), { recursive: true, force: true });
  run('cp', ['-a', path.join(site.root, name), path.join(site.root, 'site')]);
}

function run(program: string, args: readonly string[]): void {
  const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr}`);
}

/** Every message content that has a name in 3.x or 4.x now. */
export function survivingContents(site: Site): Set<string> {
  const contents = new Set<string>();
  for (const store of site.stores) for (const file of messageFiles(store)) contents.add(contentOf(file));
  for (const partition of site.partitions) {
    for (const file of allFiles(partition))
      if (file.endsWith('.msg')) contents.add(contentOf(path.join(partition, file)));
  }
  return contents;
}

/** Names left in 3.x; paths are latin1 so that any byte survives. */
export function originals(site: Site): string[] {
  return site.stores.flatMap((store) => messageFiles(store)).sort();
}

export function contentOf(file: string): string {
  const text = fs.readFileSync(Buffer.from(file, 'latin1')).toString('latin1');
  return createHash('sha256')
    .update(text.replace(/(?<!\r)\n/g, '\r\n'), 'latin1')
    .digest('hex');
}

function allFiles(directory: string): string[] {
  if (!fs.existsSync(directory)) return [];
  return fs
    .readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(directory, path.join(entry.parentPath, entry.name)))
    .sort();
}

/**
 * The result, in a form to compare: every file of every partition with its content, mode and the names it
 * shares its inode with, and what the mailbox database says, which is `listing` where the caller has asked already.
 */
export function fingerprint(site: Site, listing = listMailboxes(site)): string[] {
  const lines: string[] = [];
  for (const partition of site.partitions) {
    const byInode = new Map<string, string[]>();
    const files = allFiles(partition);
    for (const file of files) {
      const { dev, ino } = fs.lstatSync(path.join(partition, file), { bigint: true });
      const key = `${dev}:${ino}`;
      byInode.set(key, [...(byInode.get(key) ?? []), file]);
    }
    for (const file of files) {
      const full = path.join(partition, file);
      const { dev, ino, mode, uid } = fs.lstatSync(full, { bigint: true });
      const content = fs.readFileSync(full);
      const digest = digestWithoutClock(file, content);
      const shared = (byInode.get(`${dev}:${ino}`) ?? []).join(' = ');
      lines.push(`${path.basename(partition)}/${file} ${digest} ${mode.toString(8)} ${uid} [${shared}]`);
    }
  }
  return [...lines, ...textWithoutClock(listing).trim().split('\n').sort()];
}

/** What `mboxutil -l --json` prints. */
function listMailboxes(site: Site): string {
  const { status, stdout, stderr } = command('mboxutil', ['-l', '--json', '--instance', site.instance]);
  if (status !== 0) throw new Error(stderr);
  return stdout;
}
