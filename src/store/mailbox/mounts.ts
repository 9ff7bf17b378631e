/**
 * Disks that are mounted below a partition: on the directory of a user, of a mailbox, or of none.
 *
 * rename(2) moves nothing from one mount to another (EXDEV) and no mount point (EBUSY), so such a rename is refused
 * before it is entered in the database: its directory could never follow. And where a disk is not mounted, the empty
 * directory in its place says nothing of the mailboxes on it.
 */
import { hasErrno, MailhaulError } from '../../errors.js';
import { descriptorInfo } from '../../fs/descriptor.js';
import { closeDir, type Dir, fstat, openDir, stat } from '../../fs/dir.js';
import { walk, walkIfThere } from '../../fs/walk.js';
import { INDEX_FILE } from '../layout.js';
import { INBOX, inboxName, mailboxPathComponents, parseMailboxName } from '../names.js';
import type { MailboxDatabase, NameChange } from '../types.js';

/** Errors: MAILBOX_MOUNT, when the directory `from` cannot become `to` because of a mount between or on them. */
export function refuseMounts(root: Dir, from: readonly string[], to: readonly string[]): void {
  const parent = walk(root, from.slice(0, -1));
  try {
    const here = mountOf(parent);
    for (const dir of [walk(root, from), deepest(root, to)]) {
      try {
        if (mountOf(dir) !== here) throw onAnother(parent, dir);
      } finally {
        closeDir(dir);
      }
    }
  } finally {
    closeDir(parent);
  }
}

/** The device tells subvolumes of one mount apart, the mount two of one device. */
function mountOf(dir: Dir): string {
  return `${fstat(dir).dev}:${descriptorInfo(dir.fd, 'mnt_id') ?? ''}`;
}

/** The last directory of the way that is there. */
function deepest(root: Dir, components: readonly string[]): Dir {
  let dir = walk(root, []);
  for (const name of components) {
    let next: Dir;
    try {
      next = openDir(dir, name);
    } catch (error) {
      if (hasErrno(error, 'ENOENT')) return dir;
      closeDir(dir);
      throw error;
    }
    closeDir(dir);
    dir = next;
  }
  return dir;
}

function onAnother(parent: Dir, dir: Dir): MailhaulError {
  return new MailhaulError(
    'MAILBOX_MOUNT',
    `The directory of the mailbox cannot be moved: ${dir.path} and ${parent.path} are not in the same mount.`,
    { where: dir.path, hint: 'A rename goes within one disk only: make the new mailbox, and copy the messages.' },
  );
}

/**
 * Errors: MAILBOX_DIRECTORY, when a change on record whose old directory is not there has not been done either. The new
 * place of a rename is there when it has. A delete leaves nothing: but where the next mailbox above, in the same
 * partition, has no index, its disk may not be mounted, and the deleted messages be there.
 */
export function refuseUnmounted(
  mailboxes: Pick<MailboxDatabase, 'get'>,
  root: Dir,
  { name, owner, to, root: partition }: NameChange,
): void {
  if (to !== null) {
    if (!isThere(root, mailboxPathComponents(owner, to))) throw notThere(name, root);
    return;
  }
  const above = mailboxesAbove(name, owner).find((mailbox) => {
    const record = mailboxes.get(mailbox);
    return record?.state === 'NON-TRANSITION' && record.root === partition;
  });
  if (above !== undefined && !isThere(root, mailboxPathComponents(owner, above), INDEX_FILE))
    throw notThere(name, root);
}

/** The names that may be mailboxes whose directories lie on the way to that of `name`, the nearest first. */
function mailboxesAbove(name: string, owner: string): string[] {
  const levels = name.split('/');
  const names = levels.slice(3).map((_, i) => levels.slice(0, -1 - i).join('/'));
  // The directory of that name below the user's own is not the INBOX.
  return [...names.filter((above) => parseMailboxName(above)?.components.join('/') !== INBOX), inboxName(owner)];
}

function isThere(root: Dir, components: readonly string[], file?: string): boolean {
  const dir = walkIfThere(root, components);
  if (dir === undefined) return false;
  try {
    return file === undefined || stat(dir, file) !== undefined;
  } finally {
    closeDir(dir);
  }
}

function notThere(name: string, root: Dir): MailhaulError {
  return new MailhaulError(
    'MAILBOX_DIRECTORY',
    `The directory of a mailbox that was deleted or renamed is in neither place below ${root.path}.`,
    { where: name, hint: 'Is its disk mounted? docs/operations.md says what to do when it is lost.' },
  );
}
