/** Writes files and directories with owner, mode and time. Paths are bytes: names may hold anything. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import type { FileKind } from './draft.js';
import type { Owner } from './options.js';

const SLASH = Buffer.from('/');
const NOBODY = 65534;

export function join(directory: Buffer, name: Buffer): Buffer {
  return Buffer.concat([directory, SLASH, name]);
}

export function makeDirectory(path: Buffer | string, mode: number, owner?: Owner): void {
  fs.mkdirSync(path, { recursive: typeof path === 'string', mode });
  fs.chmodSync(path, mode);
  if (owner?.chown) fs.chownSync(path, owner.uid, owner.gid);
}

/** A new file; `mtime` in seconds. */
export function writeNew(
  path: Buffer | string,
  data: Uint8Array | string,
  options: { mode: number; owner: Owner; mtime?: number; foreign?: boolean },
): void {
  const fd = fs.openSync(path, 'wx', 0o600);
  try {
    const bytes = typeof data === 'string' ? Buffer.from(data, 'utf8') : data;
    for (let at = 0; at < bytes.length; ) at += fs.writeSync(fd, bytes, at);
    if (options.foreign) fs.fchownSync(fd, NOBODY, NOBODY);
    else if (options.owner.chown) fs.fchownSync(fd, options.owner.uid, options.owner.gid);
    if (options.mode !== 0o600) fs.fchmodSync(fd, options.mode);
    if (options.mtime !== undefined) fs.futimesSync(fd, options.mtime, options.mtime);
  } finally {
    fs.closeSync(fd);
  }
}

/** What is no regular file; `name` is plain ASCII. Its modification time is set where the system can. */
export function makeSpecial(
  directory: Buffer,
  name: Buffer,
  kind: Exclude<FileKind, 'regular' | 'empty' | 'absent'>,
  owner: Owner,
  mtime: number,
): void {
  const path = join(directory, name);
  if (kind === 'symlink') fs.symlinkSync('/etc/passwd', path);
  else if (kind === 'directory') fs.mkdirSync(path, { mode: 0o700 });
  else if (kind === 'fifo') run('mkfifo', ['-m', '600', name.toString()], directory);
  else if (kind === 'device') run('mknod', [name.toString(), 'c', '1', '3'], directory);
  else run(process.execPath, ['-e', LISTEN, name.toString()], directory);
  if (owner.chown) fs.lchownSync(path, owner.uid, owner.gid);
  fs.lutimesSync(path, mtime, mtime);
}

/** Leaves without closing: closing a listening socket would remove its name. */
const LISTEN = "require('node:net').createServer().listen({ path: process.argv[1] }, () => process.reallyExit(0))";

function run(command: string, args: readonly string[], directory: Buffer): void {
  // A path of raw bytes cannot be a working directory of spawn, but its descriptor can.
  const fd = fs.openSync(directory, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  try {
    const cwd = `/proc/self/fd/${fd}`;
    const result = spawnSync('sh', ['-c', 'cd -P "/proc/$PPID/fd/$0" && exec "$@"', String(fd), command, ...args], {
      encoding: 'utf8',
    });
    if (result.status !== 0) throw new Error(`${command} in ${cwd}: ${result.stderr}${result.error ?? ''}`);
  } finally {
    fs.closeSync(fd);
  }
}

/** Opened once, written in large pieces. */
export class LineWriter {
  private readonly fd: number;
  private pending: string[] = [];
  private size = 0;

  constructor(path: string) {
    this.fd = fs.openSync(path, 'wx', 0o644);
  }

  write(text: string): void {
    this.pending.push(text);
    this.size += text.length;
    if (this.size > 1 << 20) this.flush();
  }

  close(): void {
    this.flush();
    fs.closeSync(this.fd);
  }

  private flush(): void {
    const bytes = Buffer.from(this.pending.join(''), 'utf8');
    for (let at = 0; at < bytes.length; ) at += fs.writeSync(this.fd, bytes, at);
    this.pending = [];
    this.size = 0;
  }
}
