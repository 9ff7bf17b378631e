/**
 * Where the flipper fights: one file system in memory of its own, mounted with strictatime so that every read shows.
 *
 *     <mount>/site/          a generated installation (test/campaign/support/kept-site.ts), the roots of the run
 *     <mount>/far/           a partition on a file system of its own (states.ts)
 *     <mount>/canary/        outside the roots: look-alikes of everything in the site, and secrets of root
 *         alike/<n>          a folder, user or file that looks like the one in the site; of the server account, readable,
 *                            so that nothing but the program's own care keeps it from being read
 *         secret/<n>         mode 0600, root: hard links of these stand in mailboxes
 *
 * Every file of the canary holds MARKER, which must never be found in a 4.x file.
 */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

export const MARKER = 'CANARY-7f3b19d2-never-migrated';

export interface Ground {
  readonly mount: string;
  readonly canary: string;
  readonly far: string;
  remove(): void;
}

/** Why the campaign cannot run here; undefined when it can. */
export function groundMissing(): string | undefined {
  if (process.platform !== 'linux') return 'needs Linux';
  if (process.getuid?.() !== 0) return 'needs root (mount, other owners)';
  const missing = ['g++', 'mount'].filter((tool) => spawnSync(tool, ['--version']).error !== undefined);
  return missing.length === 0 ? undefined : `needs ${missing.join(', ')}`;
}

export function makeGround(): Ground {
  const mount = fs.mkdtempSync(path.join(os.tmpdir(), 'mailhaul-flip-'));
  const remove = () => {
    process.removeListener('exit', remove);
    spawnSync('umount', ['-l', mount]);
    fs.rmdirSync(mount);
  };
  run('mount', '-t', 'tmpfs', '-o', 'strictatime,mode=755,size=1g', 'mailhaul-flip', mount);
  process.once('exit', remove);
  const far = path.join(mount, 'far');
  fs.mkdirSync(far);
  run('mount', '-t', 'tmpfs', '-o', 'strictatime,mode=700,size=256m', 'mailhaul-flip', far);
  const canary = path.join(mount, 'canary');
  fs.mkdirSync(path.join(canary, 'alike'), { recursive: true });
  fs.mkdirSync(path.join(canary, 'secret'));
  return { mount, canary, far, remove };
}

/** Builds flipper.cc; its path. */
export function buildFlipper(ground: Ground): string {
  const program = path.join(ground.mount, 'flipper');
  run('g++', '-std=c++20', '-O2', '-o', program, path.join(import.meta.dirname, 'flipper.cc'));
  return program;
}

export function run(program: string, ...args: string[]): void {
  const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${error ?? stderr}`);
}

/** Raw names of a directory. */
export function names(directory: Buffer): Buffer[] {
  return fs.readdirSync(directory, { encoding: 'buffer' }).sort(Buffer.compare);
}

export const join = (directory: Buffer, name: Buffer | string): Buffer =>
  Buffer.concat([directory, Buffer.from('/'), Buffer.from(name)]);
