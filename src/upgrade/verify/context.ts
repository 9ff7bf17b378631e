/** What all checks of a verification share. Nothing here writes to disk. */

import type { BigIntStats } from 'node:fs';
import * as fs from 'node:fs';
import { closeDir, type Dir, displayPath, fstat, openFile, openRoot } from '../../fs/dir.js';
import { DIRECTORY_MODE, FILE_MODE } from '../../store/layout.js';
import type { MailboxDatabase } from '../../store/types.js';
import type { MappingDatabase } from '../types.js';
import type { Findings, Subject } from './findings.js';
import { type SingleCopies, singleCopies } from './singles.js';

export interface VerifyTotals {
  mailboxes: number;
  /** In TRANSITION. */
  waiting: number;
  messages: number;
  /** Message files read, hashed and parsed. */
  read: number;
  /** Of those, compared with a 3.x file that is still there. */
  compared: number;
  bytes: number;
}

export interface VerifyContext {
  readonly mailboxes: MailboxDatabase;
  readonly mapping: MappingDatabase;
  /** The server account. */
  readonly owner: { readonly uid: number; readonly gid: number };
  readonly findings: Findings;
  readonly totals: VerifyTotals;
  readonly singles: SingleCopies;
  /** Share of the messages that are read, 0 … 1. */
  readonly sample: number;
  readonly buffer: MessageBuffer;
  /** Partition roots and 3.x store paths, by absolute path; null: cannot be opened. */
  readonly roots: Map<string, Dir | null>;
}

export function makeContext(
  databases: Pick<VerifyContext, 'mailboxes' | 'mapping' | 'owner'>,
  findings: Findings,
  sample: number,
): VerifyContext {
  const totals = { mailboxes: 0, waiting: 0, messages: 0, read: 0, compared: 0, bytes: 0 };
  return { ...databases, findings, totals, singles: singleCopies(), sample, buffer: messageBuffer(), roots: new Map() };
}

/** The held directory of an absolute path that the databases name; null when it cannot be opened. */
export function heldRoot(context: VerifyContext, path: string): Dir | null {
  const held = context.roots.get(path);
  if (held !== undefined) return held;
  let root: Dir | null = null;
  try {
    root = openRoot(path);
  } catch {
    // Whoever needs it reports it, with what is missing because of it.
  }
  context.roots.set(path, root);
  return root;
}

export function closeRoots(context: VerifyContext): void {
  for (const root of context.roots.values()) if (root !== null) closeDir(root);
  context.roots.clear();
}

/** Whether the content of a message is read: a function of folder and uid, so that a run can be repeated. */
export function isSampled(context: VerifyContext, folderId: number, uid: number): boolean {
  if (context.sample >= 1) return true;
  // Fibonacci hashing spreads neighbouring uids evenly.
  const mixed = Math.imul(uid + Math.imul(folderId, 0x85ebca6b), 0x9e3779b1) >>> 0;
  return mixed / 2 ** 32 < context.sample;
}

/** Owner and mode of a file or directory of the 4.x store. */
export function checkOwnership(
  context: VerifyContext,
  subject: Subject,
  stats: BigIntStats,
  where: string,
  uid?: number,
): void {
  const { owner, findings } = context;
  if (stats.uid !== BigInt(owner.uid) || stats.gid !== BigInt(owner.gid)) {
    const text = `It belongs to ${stats.uid}:${stats.gid}, not to the server account ${owner.uid}:${owner.gid}.`;
    findings.add(subject, 'VERIFY_OWNER', where, text, uid);
  }
  const wanted = stats.isDirectory() ? DIRECTORY_MODE : FILE_MODE;
  const mode = Number(stats.mode & 0o7777n);
  if (mode !== wanted) {
    findings.add(subject, 'VERIFY_MODE', where, `Its mode is ${mode.toString(8)}, not ${wanted.toString(8)}.`, uid);
  }
}

export function checkDirectory(context: VerifyContext, subject: Subject, dir: Dir): void {
  checkOwnership(context, subject, fstat(dir), dir.path);
}

/** A buffer for one message at a time; it grows, and shrinks again after a giant one. */
export interface MessageBuffer {
  /** The whole content of an open file; valid until the next call. */
  read(fd: number, size: number): Buffer;
}

const KEPT_BYTES = 16 << 20;

function messageBuffer(): MessageBuffer {
  let buffer = Buffer.allocUnsafeSlow(1 << 20);
  return {
    read(fd, size) {
      if (size > buffer.length || buffer.length > KEPT_BYTES) buffer = Buffer.allocUnsafeSlow(Math.max(size, 1 << 20));
      let done = 0;
      while (done < size) {
        const bytes = fs.readSync(fd, buffer, done, Math.min(size - done, 1 << 30), done);
        if (bytes === 0) break;
        done += bytes;
      }
      return buffer.subarray(0, done);
    },
  };
}

/** A regular file's stats and, when asked for, its content. Closes what it opens. */
export function withFile<T>(
  dir: Dir,
  name: string | Uint8Array,
  use: (fd: number, stats: BigIntStats, where: string) => T,
): T {
  const fd = openFile(dir, name);
  try {
    return use(fd, fs.fstatSync(fd, { bigint: true }), displayPath(dir, name));
  } finally {
    fs.closeSync(fd);
  }
}
