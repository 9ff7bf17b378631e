/**
 * The directories of one user against the mailbox database: every directory belongs to a mailbox or is on the way to
 * one, and is the server account's alone.
 */
import { describeError, hasErrno } from '../../errors.js';
import { closeDir, type Dir, displayPath, entries } from '../../fs/dir.js';
import { walk } from '../../fs/walk.js';
import { mailboxPathComponents, userPathComponents } from '../../store/names.js';
import { type Check, checkDirectory, checkUnopened, report, rethrowDefect, rethrowLack } from './context.js';
import type { HeldRoot, TreeMailbox, UserTask } from './tasks.js';

/** A directory below a user's home that is a mailbox, or leads to one. */
interface Node {
  readonly children: Map<string, Node>;
  mailbox: TreeMailbox | undefined;
}

const newNode = (): Node => ({ children: new Map(), mailbox: undefined });

/** The directories of one user, root by root. */
export function verifyUserTree(check: Check, { uid, roots, mailboxes }: UserTask): void {
  const home = userPathComponents(uid);
  const trees = roots.map(newNode);
  for (const mailbox of mailboxes) {
    let node = trees[mailbox.root];
    if (node === undefined) continue;
    for (const component of mailboxPathComponents(uid, mailbox.name).slice(home.length)) {
      const child: Node = node.children.get(component) ?? newNode();
      node.children.set(component, child);
      node = child;
    }
    node.mailbox = mailbox;
  }
  trees.forEach((tree, i) => {
    verifyNode(check, roots[i]!, home, tree);
  });
}

/** Goes down one level a call; a directory is opened from the root, so only one is held at a time. */
function verifyNode(check: Check, root: HeldRoot, components: readonly string[], node: Node): void {
  const { mailbox } = node;
  const subject = { ...check.subject, mailbox: mailbox?.name ?? '', folder: mailbox?.legacyName ?? '' };
  const here: Check = { ...check, subject };
  const present: string[] = [];
  let dir: Dir;
  try {
    dir = walk(root, components);
  } catch (error) {
    rethrowLack(error);
    // A published mailbox without a directory is reported with the mailbox.
    if (!hasErrno(error, 'ENOENT')) {
      const text = `The directory cannot be opened: ${describeError(error)}.`;
      report(here, 'VERIFY_DIRECTORY_MISSING', `${root.path}/${components.join('/')}`, text);
      checkOwnershipOf(here, root, components);
    }
    return;
  }
  try {
    checkDirectory(here, dir);
    for (const { name: bytes } of entries(dir)) {
      const name = bytes.toString('latin1');
      if (node.children.has(name)) present.push(name);
      // All other names of a mailbox directory are looked at with its index.
      else if (name.startsWith('=') || mailbox === undefined) {
        const text = 'This belongs to no mailbox of the mailbox database.';
        report(here, 'VERIFY_UNKNOWN_FILE', displayPath(dir, bytes), text);
      }
    }
  } catch (error) {
    rethrowDefect(error);
    report(here, 'VERIFY_DIRECTORY_MISSING', dir.path, `The directory cannot be listed: ${describeError(error)}.`);
  } finally {
    closeDir(dir);
  }
  for (const name of present) verifyNode(check, root, [...components, name], node.children.get(name)!);
}

/** Its owner or mode is the likely cause. The directories above a user's home are partitions.ts's. */
function checkOwnershipOf(check: Check, root: HeldRoot, components: readonly string[]): void {
  let parent: Dir;
  try {
    parent = walk(root, components.slice(0, -1));
  } catch (error) {
    rethrowDefect(error);
    return;
  }
  try {
    checkUnopened(check, parent, components.at(-1)!);
  } finally {
    closeDir(parent);
  }
}
