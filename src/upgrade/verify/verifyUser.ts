/** What of a user is no single mailbox: directories in the partitions, 3.x folders that came later, subscriptions. */
import { describeError, isNotThere, messageOf } from '../../errors.js';
import { closeDir, type Dir, openDir } from '../../fs/dir.js';
import { nsms3 } from '../../source/nsms3/source.js';
import { changedSinceMigration } from '../../store/changed.js';
import { openMailboxDirectory } from '../../store/layout.js';
import { legacyPath, rawKey } from '../../store/names.js';
import { pathKey, subscriptionName } from '../folders-names.js';
import { type Check, report, rethrowLack, type VerifyContext } from './context.js';
import { collectFindings } from './findings.js';
import type { UserResult, UserTask } from './tasks.js';
import { verifyUserTree } from './tree.js';

export function verifyUser(context: VerifyContext, task: UserTask): UserResult {
  const findings = collectFindings();
  const subject = { user: task.uid, mailbox: '', folder: '' };
  const check: Check = { context, subject, findings, totals: { checked: 0, read: 0, compared: 0, bytes: 0 } };
  verifyUserTree(check, task);
  verifyOrigin(check, task);
  return { kind: 'user', found: { listed: findings.listed, byCode: findings.byCode } };
}

function verifyOrigin(check: Check, task: UserTask): void {
  const { origin, uid } = task;
  // Without the store path every folder reports that its original is gone; one that cannot be opened is reported itself.
  if (origin === null || origin.store === null) return;
  let mailbox: Dir;
  try {
    mailbox = openDir(origin.store, uid);
  } catch (error) {
    rethrowLack(error);
    if (!isNotThere(error)) {
      const text = `The 3.x mailbox directory cannot be opened: ${describeError(error)}.`;
      report(check, 'VERIFY_SOURCE_UNREADABLE', `${origin.storePath}/${uid}`, text);
    }
    return;
  }
  try {
    verifyNoNewFolders(check, mailbox, origin.folders);
    verifySubscriptions(check, task, mailbox, origin.folders);
  } finally {
    closeDir(mailbox);
  }
}

type KnownFolders = NonNullable<UserTask['origin']>['folders'];

/** 3.x folders that came after `-s`. */
function verifyNoNewFolders(check: Check, mailbox: Dir, folders: KnownFolders): void {
  const known = new Set(folders.filter(({ taken }) => taken).map(({ path }) => pathKey(path)));
  for (const item of nsms3.listFolders(mailbox)) {
    const folder = legacyPath(item.path);
    const subject = { ...check.subject, folder };
    if (item.kind === 'problem') {
      if (item.severity !== 'error') continue;
      check.findings.add(subject, 'VERIFY_SOURCE_UNREADABLE', `${mailbox.path}/${folder}`, item.message);
    } else if (!known.has(item.path.map(rawKey).join('/'))) {
      const text = 'This 3.x folder is not in the mapping database.';
      check.findings.add(subject, 'VERIFY_FOLDER_UNKNOWN', item.dir.path, text);
    }
  }
}

/** The 3.x subscriptions are in 4.x. More there are the user's own; fewer, where a service has been at work, too. */
function verifySubscriptions(check: Check, task: UserTask, mailbox: Dir, folders: KnownFolders): void {
  const names = new Map(folders.map(({ path, mailbox: name }) => [pathKey(path), name]));
  const wanted = new Set<string>();
  try {
    for (const path of nsms3.readSubscriptions(mailbox).folders) {
      wanted.add(subscriptionName(task.uid, path, (key) => names.get(key)));
    }
  } catch (error) {
    rethrowLack(error);
    const text = `The subscriptions are not compared: ${messageOf(error)}`;
    report(check, 'VERIFY_SOURCE_UNREADABLE', `${mailbox.path}/.subscriptions`, text);
    return;
  }
  const where = `subscriptions of ${task.uid}`;
  const present = new Set(task.subscriptions);
  const missing = [...wanted].filter((name) => !present.has(name));
  const more = task.subscriptions.filter((name) => !wanted.has(name));
  const used = missing.length > 0 && isUsed(task);
  for (const name of missing) {
    const text = `${name} is subscribed in 3.x, not in 4.x.`;
    report(check, used ? 'VERIFY_CHANGED_SINCE' : 'VERIFY_SUBSCRIPTIONS', where, text);
  }
  for (const name of more) report(check, 'VERIFY_CHANGED_SINCE', where, `${name} is subscribed in 4.x, not in 3.x.`);
  if (present.size !== task.subscriptions.length) {
    report(check, 'VERIFY_SUBSCRIPTIONS', where, 'A mailbox is subscribed twice in 4.x.');
  }
}

/** A service has opened a mailbox of the user, renamed or deleted one. */
function isUsed({ uid, mailboxes, roots, origin }: UserTask): boolean {
  const names = new Set(mailboxes.map(({ name }) => name));
  if (origin?.folders.some(({ mailbox }) => !names.has(mailbox)) === true) return true;
  return mailboxes.some(({ name, published, root }) => {
    const held = roots[root];
    if (!published || held === undefined) return false;
    try {
      const dir = openMailboxDirectory(held, uid, name);
      if (dir === undefined) return false;
      try {
        return changedSinceMigration(dir);
      } finally {
        closeDir(dir);
      }
    } catch {
      // What is wrong with it is the mailbox's own finding.
      return false;
    }
  });
}
