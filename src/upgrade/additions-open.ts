/**
 * What a retry finds in 4.x: the mailbox, locked until the outcome is on record, and which of the folder's messages
 * have to be added. Done by the thread that prepares the folder, while it holds the 3.x lock (tasks.ts).
 */

import { rowOfUid } from '../engine/rows.js';
import { hasErrno, MailhaulError } from '../errors.js';
import { closeDir, type Dir, fstat } from '../fs/dir.js';
import { tryFlock } from '../fs/flock.js';
import { flockPids } from '../fs/holders.js';
import { walk } from '../fs/walk.js';
import { changedSinceMigration } from '../store/changed.js';
import { loadDigest } from '../store/digest.js';
import { openWholeMailboxIndex } from '../store/index/mailboxIndex.js';
import { removeMoved, settleRetry } from '../store/mailbox/retry.js';
import { planAdditions } from './additions-plan.js';
import { type AddTo, ownerOf } from './steps.js';
import type { PrepareFolder } from './tasks.js';
import type { FolderPlan } from './types.js';

/** `addToPublished`, ready to use in this thread. */
export async function loadAddTo(): Promise<AddTo> {
  await loadDigest();
  return addToPublished;
}

const addToPublished: AddTo = ({ context }, task, plan) => {
  const { previous, failed } = task;
  if (previous === null || failed === null) {
    throw new MailhaulError('FOLDER_UNRECORDED', 'The folder was published, but its migration record is gone.', {
      hint: 'Restore the mapping database from a backup.',
    });
  }
  const mailbox = openPublished(task);
  let used = false;
  try {
    if (!tryFlock(mailbox.fd, 'exclusive')) return { holders: flockPids(mailbox.fd) };
    const settled = new Set(settleRetry(mailbox, ownerOf(context)));
    const index = openWholeMailboxIndex(mailbox);
    const { uidnext } = index;
    let appendFrom: number | null = null;
    try {
      // The recorded uids are this folder's alone as long as no service has been here.
      if (changedSinceMigration(mailbox)) {
        appendFrom = uidnext;
        removeMoved(
          mailbox,
          (uid) => index.byUid(uid) === undefined && !settled.has(uid),
          (uid) => isReadable(plan, uid),
        );
      } else for (const uid of failed) if (index.byUid(uid) !== undefined) settled.add(uid);
    } finally {
      index.close();
    }
    const additions = planAdditions(plan, previous, { failed: new Set(failed), settled, appendFrom });
    const { dev: device } = fstat(mailbox);
    used = true;
    const { rows, recordedUids } = additions;
    return {
      targetFd: mailbox.fd,
      device,
      plan: additions.plan,
      additions: { mailboxFd: mailbox.fd, uidnext, append: appendFrom !== null, rows, recordedUids },
    };
  } finally {
    if (!used) closeDir(mailbox);
  }
};

/** Whether a uid of the plan is a message that 3.x can be asked for. */
function isReadable({ messages }: FolderPlan, uid: number): boolean {
  const row = rowOfUid(messages.uids, uid);
  return row >= 0 && messages.refused[row] === 0;
}

function openPublished({ target }: PrepareFolder): Dir {
  try {
    return walk({ fd: target.rootFd, path: target.rootPath }, target.components);
  } catch (cause) {
    if (!hasErrno(cause, 'ENOENT', 'ENOTDIR', 'ELOOP')) throw cause;
    throw new MailhaulError('MAILBOX_DIRECTORY', 'The directory of the published mailbox is not there.', {
      where: target.components.join('/'),
      hint: '`upgrade --verify` says what is wrong with it.',
      cause,
    });
  }
}
