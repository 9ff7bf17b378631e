/**
 * The top of each partition: only users that have a mailbox there, and the registry of shared copies. Runs in the main
 * thread, a few directories at a time: whose a directory is, the mailbox database says.
 */
import type { BigIntStats } from 'node:fs';
import { describeError } from '../../errors.js';
import { closeDir, type Dir, displayPath, entries, fstat, list, openDir, stat } from '../../fs/dir.js';
import { SINGLE_DIRECTORY, USER_DIRECTORY } from '../../store/layout.js';
import { escapeComponent, unescapeComponent, userHash } from '../../store/names.js';
import type { MailboxDatabase, MailboxRecord } from '../../store/types.js';
import { ownershipProblems, rethrowDefect } from './context.js';
import { type Findings, NO_SUBJECT } from './findings.js';

export interface PartitionCheck {
  readonly findings: Findings;
  readonly mailboxes: MailboxDatabase;
  readonly owner: { readonly uid: number; readonly gid: number };
  readonly path: string;
  /** null: it cannot be opened. */
  readonly root: Dir | null;
  /** A folder of the partition waits, and may want the registry. */
  readonly waiting: boolean;
  readonly rootOf: (record: MailboxRecord) => string | undefined;
}

/** A step is one directory; the caller may do something else between two. */
export function* verifyPartition(check: PartitionCheck): Generator<void> {
  const { root, path, findings } = check;
  if (root === null) {
    findings.add(NO_SUBJECT, 'VERIFY_DIRECTORY_MISSING', path, 'The partition directory cannot be opened.');
    return;
  }
  ownership(check, fstat(root), path);
  yield* listing(check, root, verifyTop(check, root));
}

function* verifyTop(check: PartitionCheck, root: Dir): Generator<void> {
  for (const bytes of list(root)) {
    const name = bytes.toString('latin1');
    if (name === USER_DIRECTORY) yield* withDirectory(check, root, bytes, (dir) => verifyUsers(check, dir, []));
    else if (name === SINGLE_DIRECTORY) yield* withDirectory(check, root, bytes, (dir) => verifySingle(check, dir));
    // The root of a file system of its own has this one.
    else if (name !== 'lost+found') stranger(check, root, bytes);
  }
}

function* verifySingle({ findings, waiting }: PartitionCheck, dir: Dir): Generator<void> {
  yield;
  const left = list(dir).length;
  if (left === 0 || waiting) return;
  const text = `${left} shared copies are left although no folder waits any more.`;
  findings.add(NO_SUBJECT, 'VERIFY_SINGLE_LEFT', dir.path, text);
}

/** `=user`, then the two hash levels. */
function* verifyUsers(check: PartitionCheck, dir: Dir, hashes: readonly string[]): Generator<void> {
  yield;
  for (const { name: bytes } of entries(dir)) {
    const name = bytes.toString('latin1');
    if (hashes.length === 2) {
      if (!isUserHome(check, name, hashes)) stranger(check, dir, bytes);
    } else if (/^[0-9a-f]{2}$/.test(name)) {
      yield* withDirectory(check, dir, bytes, (next) => verifyUsers(check, next, [...hashes, name]));
    } else stranger(check, dir, bytes);
  }
}

/** Whether a user of this name has a mailbox in this partition. */
function isUserHome({ mailboxes, path, rootOf }: PartitionCheck, name: string, hashes: readonly string[]): boolean {
  const unescaped = unescapeComponent(name);
  if (unescaped === undefined) return false;
  const whole = unescaped.kind === 'name';
  const prefix = whole ? `user/${unescaped.component}/` : `user/${unescaped.prefix}`;
  for (const record of mailboxes.list(prefix, () => {})) {
    const { owner } = record;
    if (escapeComponent(owner) !== name) continue;
    if (userHash(owner).join() !== hashes.join()) return false;
    if (rootOf(record) === path) return true;
  }
  return false;
}

function* withDirectory(
  check: PartitionCheck,
  parent: Dir,
  name: Buffer,
  use: (dir: Dir) => Generator<void>,
): Generator<void> {
  let dir: Dir;
  try {
    const seen = stat(parent, name);
    if (seen === undefined) return;
    if (!seen.isDirectory()) {
      stranger(check, parent, name);
      return;
    }
    ownership(check, seen, displayPath(parent, name));
    dir = openDir(parent, name);
  } catch (error) {
    unreadable(check, displayPath(parent, name), error);
    return;
  }
  try {
    yield* listing(check, dir, use(dir));
  } finally {
    closeDir(dir);
  }
}

/** The steps of a directory. One that cannot be listed is a finding; what else there is goes on. */
function* listing(check: PartitionCheck, dir: Dir, steps: Generator<void>): Generator<void> {
  try {
    yield* steps;
  } catch (error) {
    unreadable(check, dir.path, error);
  }
}

/** The partition itself may be held since the process was root, and yet not be readable to the server account. */
function unreadable({ findings }: PartitionCheck, where: string, error: unknown): void {
  rethrowDefect(error);
  findings.add(NO_SUBJECT, 'VERIFY_DIRECTORY_MISSING', where, `It cannot be read: ${describeError(error)}.`);
}

function ownership({ findings, owner }: PartitionCheck, stats: BigIntStats, where: string): void {
  for (const { code, text } of ownershipProblems(stats, owner)) findings.add(NO_SUBJECT, code, where, text);
}

function stranger({ findings }: PartitionCheck, parent: Dir, name: Buffer): void {
  const text = 'This does not belong into a partition.';
  findings.add(NO_SUBJECT, 'VERIFY_UNKNOWN_FILE', displayPath(parent, name), text);
}
