/**
 * System calls that fail from outside, by `strace -e inject`: also those that the seam does not see (reads, stats,
 * LMDB's own). strace counts in each thread by itself, and only calls on the given paths: of descriptors it knows
 * where they lead, so calls relative to a held directory are among them.
 */
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from '../support/converge.js';
import type { Site } from '../support/kept-site.js';

export const TRACED = [
  'openat',
  'openat2',
  'newfstatat',
  'fstat',
  'statx',
  'getdents64',
  'read',
  'pread64',
  'preadv2',
  'write',
  'pwrite64',
  'pwritev',
  'linkat',
  'renameat',
  'rename',
  'unlink',
  'unlinkat',
  'mkdir',
  'mkdirat',
  'fchown',
  'fchmod',
  'fsync',
  'fdatasync',
  'syncfs',
  'ftruncate',
  'mmap',
  'ioctl',
  'flock',
] as const;

export function straceMissing(): string | undefined {
  const works = spawnSync('strace', ['-f', '-qq', '-o', '/dev/null', 'true']).status === 0;
  return works ? undefined : 'strace is not installed, or may not trace here';
}

/** Every directory and file below the stores, the databases and the log, as they are now. */
export function storePaths(site: Site): string[] {
  const roots = [...site.stores, ...site.partitions, site.instance];
  const found = new Set<string>();
  for (const root of roots) {
    if (!fs.existsSync(root)) continue;
    found.add(root);
    for (const entry of fs.readdirSync(root, { recursive: true, withFileTypes: true }))
      found.add(path.join(entry.parentPath, entry.name));
  }
  return [...found].filter((name) => !/[\n\ufffd]/.test(name));
}

const PRELOAD = fileURLToPath(new URL('./tracer.mjs', import.meta.url));

/** Runs the command with strace in front of it, with these arguments. */
function traced(command: Command, args: readonly string[]): SpawnSyncReturns<string> {
  return command.run({ NODE_OPTIONS: `--import=${PRELOAD}`, MAILHAUL_STRACE: JSON.stringify(args) });
}

function filter(paths: readonly string[]): string[] {
  return paths.flatMap((name) => ['-P', name]);
}

/** The most calls of each kind that one thread makes on the paths. */
export function countCalls(command: Command, paths: readonly string[]): Map<string, number> {
  const log = path.join(fs.mkdtempSync('/tmp/mailhaul-strace-'), 'log');
  try {
    const result = traced(command, ['-f', '-qq', '-o', log, '-e', `trace=${TRACED.join(',')}`, ...filter(paths)]);
    if (result.status !== 0) throw new Error(`${command.name} below strace: ${result.stderr}${result.stdout}`);
    const perThread = new Map<string, number>();
    for (const line of fs.readFileSync(log, 'latin1').split('\n')) {
      const [, thread, call] = /^(\d+) +([a-z0-9_]+)\(/.exec(line) ?? [];
      if (thread !== undefined) perThread.set(`${thread} ${call}`, (perThread.get(`${thread} ${call}`) ?? 0) + 1);
    }
    const most = new Map<string, number>();
    for (const [key, count] of perThread) {
      const call = key.split(' ')[1] ?? '';
      most.set(call, Math.max(most.get(call) ?? 0, count));
    }
    return most;
  } finally {
    fs.rmSync(path.dirname(log), { recursive: true, force: true });
  }
}

export function faultyRun(
  command: Command,
  paths: readonly string[],
  { call, n, errno }: { readonly call: string; readonly n: number; readonly errno: string },
): SpawnSyncReturns<string> {
  const inject = `inject=${call}:error=${errno}:when=${n}`;
  return traced(command, ['-f', '-qq', '-o', '/dev/null', '-e', `trace=${call}`, '-e', inject, ...filter(paths)]);
}
