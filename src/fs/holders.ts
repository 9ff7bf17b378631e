/**
 * Who holds a kernel lock, for messages: pid, command line, and whether the process is stopped (SIGSTOP, job
 * control, a debugger), because a stopped holder never lets go by itself.
 *
 * Two sources, both of Linux. /proc/locks is one small file that every account may read, but names the process
 * that called flock: without the addon that is flock(1), which has ended by then. /proc/<pid>/fdinfo names whoever
 * has the descriptor, but takes a walk over all processes, and shows other accounts' only to root.
 *
 * To read /proc/locks the kernel has all processors wait for each other: 2 ms and more, however few locks there are. What
 * is asked whenever a database is opened is asked by fcntl(2) where there is the addon.
 */
import * as fs from 'node:fs';
import { hasErrno } from '../errors.js';
import { loadAddon } from './addon.js';
import { descriptorInfo, statOpenExactly } from './descriptor.js';

/** A process that is in the way. */
export interface LockHolder {
  readonly pid: number;
  /** Command line, printable ASCII; '' when it cannot be read. */
  readonly command: string;
  /** It was stopped and holds the lock until somebody continues or ends it. */
  readonly stopped: boolean;
}

/** Characters of a command line that are shown. */
const COMMAND_LIMIT = 200;

/** How long the walk over all processes stands: thousands of folders may be busy at once. */
const WALK_VALID_MS = 1_000;

/** Other processes that hold a flock on the file behind `fd`; this one when no other does. */
export function flockPids(fd: number): number[] {
  const named = pidsOfTable('FLOCK', fd).filter(isAlive);
  return othersFirst(named.length > 0 ? named : pidsOfDescriptors(statOpenExactly(fd)));
}

/** Other processes that hold a POSIX lock on the first byte of the file behind `fd`. */
export function firstByteLockers(fd: number): number[] {
  return pidsOfTable('POSIX', fd, undefined, '0').filter((pid) => pid !== process.pid);
}

/** The one that write-locks it, if there is one. */
export function firstByteWriters(fd: number): number[] {
  try {
    const pid = loadAddon()?.firstByteWriter(fd);
    if (pid !== undefined) return pid === 0 ? [] : [pid];
  } catch {
    // A file system without such locks, say: LMDB has more to say of that.
  }
  return pidsOfTable('POSIX', fd, 'WRITE', '0').filter((pid) => pid !== process.pid);
}

export function describeHolder(pid: number): LockHolder {
  return { pid, command: commandLine(pid), stopped: isStopped(pid) };
}

/** `process 12 (upgrade -m), which is stopped: …`; `another process` when there is nobody to name. */
export function holdersText(holders: readonly LockHolder[]): string {
  if (holders.length === 0) return 'another process';
  return holders
    .map(({ pid, command, stopped }) => {
      const named = command === '' ? `process ${pid}` : `process ${pid} (${command})`;
      return stopped ? `${named}, which is stopped (continue it with kill -CONT ${pid}, or end it)` : named;
    })
    .join(', ');
}

/** The process that a thread belongs to; undefined when it is gone. */
export function processOfThread(tid: number): number | undefined {
  try {
    const match = /^Tgid:\s*(\d+)$/m.exec(fs.readFileSync(`/proc/${tid}/status`, 'latin1'));
    return match === null ? undefined : Number(match[1]);
  } catch {
    return undefined;
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return hasErrno(error, 'EPERM');
  }
}

function othersFirst(pids: readonly number[]): number[] {
  const others = pids.filter((pid) => pid !== process.pid);
  return others.length > 0 ? others : [...pids];
}

/** Pids of /proc/locks: `1: FLOCK  ADVISORY  WRITE 708 00:13:1425 0 EOF`; waiting ones have `->` after the number. */
function pidsOfTable(kind: 'FLOCK' | 'POSIX', fd: number, access?: string, first?: string): number[] {
  let table: string;
  try {
    table = fs.readFileSync('/proc/locks', 'latin1');
  } catch {
    return [];
  }
  const file = identityInTable(fd);
  const pids = new Set<number>();
  for (const line of table.split('\n')) {
    const [, lineKind, , lineAccess, pid, identity, start] = line.trim().split(/\s+/);
    if (lineKind !== kind || (access !== undefined && lineAccess !== access)) continue;
    if ((first !== undefined && start !== first) || identity !== file.identity || !(Number(pid) > 0)) continue;
    pids.add(Number(pid));
  }
  return file.shared ? [...pids].filter((pid) => mayHaveOpen(pid, file)) : [...pids];
}

interface TableIdentity {
  /** As /proc/locks has it: `major:minor:inode`, the first two in hexadecimal. */
  readonly identity: string;
  /** Other files may have the same identity: subvolumes of btrfs number their files each by itself. */
  readonly shared: boolean;
  readonly dev: bigint;
  readonly ino: bigint;
}

/**
 * What /proc/locks calls the file behind `fd`. Its device is that of the superblock, which on btrfs and overlayfs is
 * another one than stat(2) tells; /proc/self/mountinfo has it for the mount that the descriptor was opened through.
 * Where that mount is not listed (one outside our root directory), what stat(2) tells has to do.
 */
function identityInTable(fd: number): TableIdentity {
  const { dev, ino } = statOpenExactly(fd);
  const own = [((dev >> 8n) & 0xfffn) | ((dev >> 32n) & 0xfffff000n), (dev & 0xffn) | ((dev >> 12n) & 0xffffff00n)];
  const inode = descriptorInfo(fd, 'ino') ?? String(ino);
  let device = own.join(':');
  try {
    const mount = descriptorInfo(fd, 'mnt_id') ?? '';
    const mounts = fs.readFileSync('/proc/self/mountinfo', 'latin1');
    device = new RegExp(`^${mount} \\d+ (\\d+:\\d+) `, 'm').exec(mounts)?.[1] ?? device;
  } catch {
    // Without /proc there is no table either.
  }
  const hexadecimal = device.split(':').map((part) => Number(part).toString(16).padStart(2, '0'));
  return { identity: [...hexadecimal, inode].join(':'), shared: device !== own.join(':'), dev, ino };
}

/** False only when the process's descriptors can be looked at and none is of the file. */
function mayHaveOpen(pid: number, { dev, ino }: TableIdentity): boolean {
  let descriptors: string[];
  try {
    descriptors = fs.readdirSync(`/proc/${pid}/fd`);
  } catch (error) {
    return !hasErrno(error, 'ENOENT');
  }
  return descriptors.some((descriptor) => {
    try {
      const open = fs.statSync(`/proc/${pid}/fd/${descriptor}`, { bigint: true });
      return open.dev === dev && open.ino === ino;
    } catch {
      return false;
    }
  });
}

let walked: { atMs: number; holders: Map<string, number[]> } | undefined;

/** Pids with a descriptor of this file that carries a flock. */
function pidsOfDescriptors(file: fs.BigIntStats): number[] {
  if (walked === undefined || performance.now() - walked.atMs > WALK_VALID_MS) {
    walked = { atMs: performance.now(), holders: walkProcesses() };
  }
  return (walked.holders.get(`${file.dev}:${file.ino}`) ?? []).filter(isAlive);
}

function walkProcesses(): Map<string, number[]> {
  const holders = new Map<string, number[]>();
  for (const entry of list('/proc')) {
    if (!/^[1-9][0-9]*$/.test(entry)) continue;
    for (const descriptor of list(`/proc/${entry}/fdinfo`)) {
      try {
        if (!/^lock:.*\bFLOCK\b/m.test(fs.readFileSync(`/proc/${entry}/fdinfo/${descriptor}`, 'latin1'))) continue;
        const open = fs.statSync(`/proc/${entry}/fd/${descriptor}`, { bigint: true });
        const key = `${open.dev}:${open.ino}`;
        holders.set(key, [...new Set([...(holders.get(key) ?? []), Number(entry)])]);
      } catch {
        // The process or its descriptor went away while we looked, or is not ours to look at.
      }
    }
  }
  return holders;
}

function list(path: string): string[] {
  try {
    return fs.readdirSync(path);
  } catch {
    return [];
  }
}

/** State T (stopped) or t (traced) of /proc/<pid>/stat; the command before it may hold anything, `)` too. */
function isStopped(pid: number): boolean {
  try {
    const text = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
    return /^[Tt]$/.test(text.slice(text.lastIndexOf(')') + 2)[0] ?? '');
  } catch {
    return false;
  }
}

function commandLine(pid: number): string {
  try {
    const words = fs.readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0');
    return words
      .join(' ')
      .trim()
      .replace(/[^ -~]/g, '?')
      .slice(0, COMMAND_LIMIT);
  } catch {
    return '';
  }
}
