/**
 * The directories of the store against the mailbox database: every directory belongs to a mailbox or is on the
 * way to one, and is the server account's alone.
 */
import { describeError, hasErrno } from '../../errors.js';
import { closeDir, type Dir, displayPath, list, openDir, walk } from '../../fs/dir.js';
import { SINGLE_DIRECTORY, USER_DIRECTORY } from '../../store/layout.js';
import {
  escapeComponent,
  mailboxPathComponents,
  unescapeComponent,
  userHash,
  userPathComponents,
} from '../../store/names.js';
import type { MailboxRecord } from '../../store/types.js';
import { checkDirectory, heldRoot, type VerifyContext } from './context.js';
import { NO_SUBJECT, type Subject } from './findings.js';

/** A directory below a user's home that is a mailbox, or leads to one. */
interface Node {
  readonly children: Map<string, Node>;
  mailbox: MailboxRecord | undefined;
}

const newNode = (): Node => ({ children: new Map(), mailbox: undefined });

/** The directories of one user, root by root. `rootOf` tells where a mailbox lies. */
export function verifyUserTree(
  context: VerifyContext,
  uid: string,
  records: readonly MailboxRecord[],
  rootOf: (record: MailboxRecord) => string | undefined,
): void {
  const home = userPathComponents(uid);
  const trees = new Map<string, Node>();
  for (const record of records) {
    const root = rootOf(record);
    if (root === undefined) continue;
    let node = trees.get(root) ?? newNode();
    trees.set(root, node);
    for (const component of mailboxPathComponents(uid, record.name).slice(home.length)) {
      const child = node.children.get(component) ?? newNode();
      node.children.set(component, child);
      node = child;
    }
    node.mailbox = record;
  }
  for (const [path, tree] of trees) {
    const root = heldRoot(context, path);
    if (root !== null) verifyNode(context, uid, root, home, tree);
  }
}

/** Goes down one level a call; a directory is opened from the root, so only one is held at a time. */
function verifyNode(context: VerifyContext, uid: string, root: Dir, components: readonly string[], node: Node): void {
  const subject: Subject = {
    user: uid,
    mailbox: node.mailbox?.name ?? '',
    folder: node.mailbox?.legacyName ?? '',
  };
  const present: string[] = [];
  let dir: Dir;
  try {
    dir = walk(root, components);
  } catch (error) {
    // A published mailbox without a directory is reported with the mailbox.
    if (!hasErrno(error, 'ENOENT')) {
      const where = `${root.path}/${components.join('/')}`;
      const text = `The directory cannot be opened: ${describeError(error)}.`;
      context.findings.add(subject, 'VERIFY_DIRECTORY_MISSING', where, text);
    }
    return;
  }
  try {
    checkDirectory(context, subject, dir);
    for (const bytes of list(dir)) {
      const name = bytes.toString();
      if (node.children.has(name)) present.push(name);
      else if (name.startsWith('=') || node.mailbox === undefined) {
        const text = 'This belongs to no mailbox of the mailbox database.';
        context.findings.add(subject, 'VERIFY_UNKNOWN_FILE', displayPath(dir, bytes), text);
      }
    }
  } finally {
    closeDir(dir);
  }
  for (const name of present) verifyNode(context, uid, root, [...components, name], node.children.get(name)!);
}

/** The top of a partition: only users that the mailbox database knows, and the registry of shared copies. */
export function verifyPartition(context: VerifyContext, path: string, waiting: boolean): void {
  const root = heldRoot(context, path);
  if (root === null) {
    context.findings.add(NO_SUBJECT, 'VERIFY_DIRECTORY_MISSING', path, 'The partition directory cannot be opened.');
    return;
  }
  checkDirectory(context, NO_SUBJECT, root);
  for (const bytes of list(root)) {
    const name = bytes.toString();
    if (name === USER_DIRECTORY) withDirectory(context, root, bytes, (dir) => verifyUsers(context, dir, []));
    else if (name === SINGLE_DIRECTORY)
      withDirectory(context, root, bytes, (dir) => verifySingle(context, dir, waiting));
    // The root of a file system of its own has this one.
    else if (name !== 'lost+found') stranger(context, root, bytes);
  }
}

function verifySingle(context: VerifyContext, dir: Dir, waiting: boolean): void {
  const left = list(dir).length;
  if (left === 0 || waiting) return;
  const text = `${left} shared copies are left although no folder waits any more.`;
  context.findings.add(NO_SUBJECT, 'VERIFY_SINGLE_LEFT', dir.path, text);
}

/** `=user`, then the two hash levels. */
function verifyUsers(context: VerifyContext, dir: Dir, hashes: readonly string[]): void {
  for (const bytes of list(dir)) {
    const name = bytes.toString();
    if (hashes.length === 2) {
      if (!isUserHome(context, name, hashes)) stranger(context, dir, bytes);
    } else if (/^[0-9a-f]{2}$/.test(name)) {
      withDirectory(context, dir, bytes, (next) => verifyUsers(context, next, [...hashes, name]));
    } else stranger(context, dir, bytes);
  }
}

function isUserHome(context: VerifyContext, name: string, hashes: readonly string[]): boolean {
  const unescaped = unescapeComponent(name);
  if (unescaped === undefined) return false;
  const prefix = unescaped.kind === 'name' ? `user/${unescaped.component}/` : `user/${unescaped.prefix}`;
  for (const { owner } of context.mailboxes.list(prefix, () => {})) {
    if (escapeComponent(owner) === name) return userHash(owner).join() === hashes.join();
    if (unescaped.kind === 'name') return false;
  }
  return false;
}

function withDirectory(context: VerifyContext, parent: Dir, name: Buffer, use: (dir: Dir) => void): void {
  let dir: Dir;
  try {
    dir = openDir(parent, name);
  } catch {
    stranger(context, parent, name);
    return;
  }
  try {
    checkDirectory(context, NO_SUBJECT, dir);
    use(dir);
  } finally {
    closeDir(dir);
  }
}

function stranger(context: VerifyContext, parent: Dir, name: Buffer): void {
  const where = displayPath(parent, name);
  context.findings.add(NO_SUBJECT, 'VERIFY_UNKNOWN_FILE', where, 'This does not belong into a partition.');
}
