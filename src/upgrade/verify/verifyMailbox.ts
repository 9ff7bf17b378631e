/** One published mailbox, from its directory to its 3.x original. */
import { describeError } from '../../errors.js';
import { closeDir, type Dir, fstat, stat } from '../../fs/dir.js';
import { flockPids } from '../../fs/holders.js';
import { nsms3 } from '../../source/nsms3/source.js';
import { changedSinceMigration } from '../../store/changed.js';
import { type MailboxIndex, openMailboxIndex } from '../../store/index/mailboxIndex.js';
import { INDEX_FILE, JOURNAL_FILE, openMailboxDirectory } from '../../store/layout.js';
import type { AclEntry } from '../../store/types.js';
import { type Check, report, rethrowDefect, rethrowLack, stopped, type VerifyContext } from './context.js';
import { collectFindings } from './findings.js';
import { verifyAdmin, verifyIndexFile, verifyMessages, verifyNoStrangers, verifySummary } from './mailbox.js';
import type { MessageFiles } from './messageFiles.js';
import { type Migrated, verifyRecord } from './record.js';
import { openSource, verifyAcl, verifySource } from './source.js';
import type { MailboxResult, MailboxTask, OriginTask } from './tasks.js';

const NO_CANDIDATES = new Uint32Array(0);
const NOTHING = { used: null, candidates: NO_CANDIDATES };

export function verifyMailbox(context: VerifyContext, task: MailboxTask): MailboxResult {
  const findings = collectFindings();
  const totals = { checked: 0, read: 0, compared: 0, bytes: 0 };
  const check: Check = { context, subject: task.subject, findings, totals };
  const source = task.origin === null ? undefined : openSource(check, task.origin);
  let dir: Dir | undefined;
  try {
    dir = openDirectory(check, task);
    const before = stampOf(dir);
    const rest = dir === undefined ? NOTHING : verifyDirectory(check, task, source, dir);
    const hasErrors = findings.count('error') > 0;
    const changed = hasErrors && stampOf(dir) !== before;
    const lockedBy = hasErrors ? holders(source, dir) : [];
    const found = { listed: findings.listed, byCode: findings.byCode };
    const device = dir === undefined ? 0n : fstat(dir).dev;
    return {
      kind: 'mailbox',
      complete: !stopped(context),
      changed,
      found,
      messages: totals,
      lockedBy,
      device,
      ...rest,
    };
  } finally {
    for (const held of [dir, source]) if (held !== undefined) closeDir(held);
  }
}

/** Index and journal as they are now; another text when a service has changed the mailbox. */
function stampOf(dir: Dir | undefined): string {
  if (dir === undefined) return '';
  try {
    return [INDEX_FILE, JOURNAL_FILE]
      .map((name) => {
        const seen = stat(dir, name);
        return seen === undefined ? 'none' : `${seen.ino} ${seen.size} ${seen.mtimeNs}`;
      })
      .join();
  } catch (error) {
    // Reported by whoever opens them.
    rethrowDefect(error);
    return 'not to be looked at';
  }
}

/** Who holds the lock of the 3.x folder, as a migration does, or of the mailbox, as a service does. */
function holders(source: Dir | undefined, dir: Dir | undefined): number[] {
  return [...(source === undefined ? [] : nsms3.lockHolders(source)), ...(dir === undefined ? [] : flockPids(dir.fd))];
}

function verifyDirectory(
  check: Check,
  task: MailboxTask,
  source: Dir | undefined,
  dir: Dir,
): Pick<MailboxResult, 'used' | 'candidates'> {
  try {
    const index = openIndex(check, dir);
    if (index === undefined) return NOTHING;
    try {
      return verifyWithIndex(check, task, source, dir, index);
    } finally {
      index.close();
    }
  } catch (error) {
    rethrowDefect(error);
    report(check, 'VERIFY_INDEX', `${dir.path}/${INDEX_FILE}`, describeError(error));
    return NOTHING;
  }
}

function verifyWithIndex(
  check: Check,
  { record, origin }: MailboxTask,
  source: Dir | undefined,
  dir: Dir,
  index: MailboxIndex,
): Pick<MailboxResult, 'used' | 'candidates'> {
  const used = changedSinceMigration(dir);
  verifySummary(check, record, index, used);
  const copied = verifyAdmin(check, dir, record, origin?.folder.mailbox ?? record.name, index);
  verifyNoStrangers(check, dir, index, used);
  const files = verifyMessages(check, record.mappingId ?? 0, dir, index);
  // Where a service has been, the quota counts what the mailbox database says.
  const held = used ? null : { bytes: index.reader.header.bytesUsed, messages: index.count };
  const rest =
    origin === null
      ? { candidates: NO_CANDIDATES }
      : verifyOrigin(check, origin, source, { index, files, used }, record.acl, copied);
  return { used: held, ...rest };
}

function verifyOrigin(
  check: Check,
  origin: OriginTask,
  source: Dir | undefined,
  now: { readonly index: MailboxIndex; readonly files: MessageFiles; readonly used: boolean },
  acl: readonly AclEntry[],
  copied: readonly AclEntry[] | undefined,
): Pick<MailboxResult, 'candidates'> {
  const { folder, record, failures } = origin;
  verifyAcl(check, { folder, used: now.used }, source, acl, copied);
  if (record === null) {
    if (origin.recordExpected) {
      report(check, 'VERIFY_RECORD', folder.mailbox, 'The folder was migrated but has no migration record.');
    }
    return { candidates: NO_CANDIDATES };
  }
  const failed = new Set(failures.map(({ uid }) => uid));
  const migrated: Migrated = { folder, record, failures, failed, ...now };
  verifyRecord(check, migrated);
  return { candidates: verifySource(check, migrated, source) };
}

function openDirectory(check: Check, { root, record }: MailboxTask): Dir | undefined {
  const where = `${record.root ?? 'no partition path on record'}, ${record.name}`;
  try {
    const dir = root === null ? undefined : openMailboxDirectory(root, record.owner, record.name);
    if (dir === undefined) {
      report(check, 'VERIFY_DIRECTORY_MISSING', where, 'The mailbox is published but its directory does not exist.');
    }
    return dir;
  } catch (error) {
    rethrowLack(error);
    const text = `The mailbox directory cannot be opened: ${describeError(error)}.`;
    report(check, 'VERIFY_DIRECTORY_MISSING', where, text);
    return undefined;
  }
}

function openIndex(check: Check, dir: Dir): MailboxIndex | undefined {
  const sound = verifyIndexFile(check, dir);
  let index: MailboxIndex | undefined;
  try {
    index = openMailboxIndex(dir);
    // From here on the number of messages is one that the file has room for.
    index.reader.verify('records');
    if (index.lostChanges) {
      const text =
        'A record of the journal is damaged; changes behind it are ignored, and the mailbox takes no more changes.';
      report(check, 'VERIFY_INDEX', `${dir.path}/${JOURNAL_FILE}`, text);
    }
    if (index.hasOtherJournal) {
      const text =
        'The journal belongs to another index; its changes are ignored, and the mailbox takes no more changes.';
      report(check, 'VERIFY_INDEX', `${dir.path}/${JOURNAL_FILE}`, text);
    }
    return index;
  } catch (error) {
    index?.close();
    rethrowLack(error);
    // Damage of the index itself is reported already; that of the journal is not.
    if (sound) report(check, 'VERIFY_INDEX', dir.path, describeError(error));
    return undefined;
  }
}
