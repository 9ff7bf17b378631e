/**
 * What there is to do, user by user: the checks of the databases happen on the way, and each published mailbox and
 * each user becomes one item for a thread.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { describeError, MailhaulError } from '../../errors.js';
import type { MailboxRecord, NameChange } from '../../store/types.js';
import type { MappingFolder, MappingUser, MessageFailure, MigrationRecord } from '../types.js';
import { type KnownUser, verifyDatabases, verifyQuotaUse } from './databases.js';
import { collectFindings, type Findings, NO_SUBJECT, type Subject } from './findings.js';
import { travelling } from './survey.js';
import type { HeldRoot, MailboxTask, OriginTask, UserTask, VerifyItem } from './tasks.js';
import type { Verification } from './verification.js';

/** The items of one user that are not done yet, and what its mailboxes hold. */
export interface UserProgress {
  readonly known: KnownUser;
  /** Mailboxes of 4.x that were found in the place of one that was renamed (again.ts). */
  readonly followed: Set<string>;
  left: number;
  bytes: number;
  messages: number;
}

export interface Work {
  readonly item: VerifyItem;
  readonly progress: UserProgress;
  /** Times it was done and not believed. */
  attempts: number;
}

/** Times a user's databases are read again while other processes change them. */
const READ_AGAIN = 3;

export async function* workOf(verification: Verification): AsyncGenerator<Work> {
  const { session, findings } = verification;
  const { mailboxes, mapping } = session;
  const damaged = (error: Error): void => {
    const where = (error instanceof MailhaulError ? error.where : undefined) ?? 'mailbox database';
    findings.add(NO_SUBJECT, 'VERIFY_RECORD', where, describeError(error));
  };
  for (const [uid, records] of usersOf(mailboxes.list('', damaged))) yield* workOfUser(verification, uid, records);
  const withoutMailboxes: string[] = [];
  attempt(findings, '', () => {
    for (const { uid } of mapping.users()) {
      if (
        mailboxes
          .list(`user/${uid}/`, () => {})
          [Symbol.iterator]()
          .next().done === true
      )
        withoutMailboxes.push(uid);
    }
  });
  for (const uid of withoutMailboxes) yield* workOfUser(verification, uid, []);
}

async function* workOfUser(
  verification: Verification,
  uid: string,
  listed: readonly MailboxRecord[],
): AsyncGenerator<Work> {
  const { findings, session } = verification;
  let known = knowUser(verification, uid, listed);
  for (let round = 1; known.found.count('error') > 0 && round <= READ_AGAIN; round++) {
    // Two environments are never read at the same moment: what a migration changed in between is no disagreement.
    if (verification.otherProcesses().length === 0) break;
    await sleep(100 * round);
    session.mailboxes.refresh();
    session.mapping.refresh();
    known = knowUser(verification, uid, [...session.mailboxes.list(`user/${uid}/`, () => {})]);
  }
  findings.merge({ listed: known.found.listed, byCode: known.found.byCode });
  verification.folders += known.folders.length;
  const published = known.records.filter(({ state }) => state === 'NON-TRANSITION');
  const left = published.length + 1;
  const progress: UserProgress = { known, followed: new Set(), left, bytes: 0, messages: 0 };
  for (const record of known.records) {
    const partition = verification.survey.partition(record);
    partition.mailboxes += 1;
    if (record.state === 'TRANSITION') partition.waiting += 1;
  }
  const changes = verification.nameChanges.filter(({ owner }) => owner === uid);
  for (const change of changes) reportNameChange(findings, change);
  for (const record of published) {
    const moving = changes.some(({ to }) => to !== null && `${record.name}/`.startsWith(`${to}/`));
    const item = moving ? undefined : mailboxItem(verification, known, record);
    if (item !== undefined) yield { item, progress, attempts: 0 };
    else {
      progress.bytes += record.summary?.bytes ?? 0;
      progress.messages += record.summary?.messages ?? 0;
      settle(verification, progress);
    }
  }
  const item = userItem(verification, known);
  // While a directory has not followed its name, the tree is not what the database says.
  yield { item: changes.length === 0 ? item : { ...item, roots: [] }, progress, attempts: 0 };
}

/** Until the directory has followed its name, what is under either name cannot be judged. */
function reportNameChange(findings: Findings, { owner, name, to }: NameChange): void {
  const text =
    to === null
      ? 'The mailbox was deleted; its directory is not gone yet.'
      : `The mailbox was renamed to ${to}; its directory has not followed yet.`;
  findings.add({ user: owner, mailbox: to ?? name, folder: '' }, 'VERIFY_IN_FLIGHT', name, text);
}

/** One item of a user is done; with the last one its quota can be judged. */
export function settle(verification: Verification, progress: UserProgress): void {
  progress.left -= 1;
  if (progress.left > 0) return;
  const { uid, records } = progress.known;
  const { mailboxes } = verification.session;
  attempt(verification.findings, uid, () => {
    const found = collectFindings();
    verifyQuotaUse(found, uid, mailboxes.quota(uid), progress);
    if (found.count('error') > 0) {
      mailboxes.refresh();
      const now = [...mailboxes.list(`user/${uid}/`, () => {})];
      if (JSON.stringify(now) !== JSON.stringify(records)) {
        verifyQuotaUse(verification.findings, uid, mailboxes.quota(uid), useOf(now));
        return;
      }
    }
    verification.findings.merge({ listed: found.listed, byCode: found.byCode });
  });
}

function useOf(records: readonly MailboxRecord[]): { bytes: number; messages: number } {
  let [bytes, messages] = [0, 0];
  for (const { state, summary } of records) {
    if (state !== 'NON-TRANSITION') continue;
    bytes += summary?.bytes ?? 0;
    messages += summary?.messages ?? 0;
  }
  return { bytes, messages };
}

interface KnownWithFindings extends KnownUser {
  readonly found: Findings;
}

/** Reads a user from the databases and checks them against each other. */
function knowUser(verification: Verification, uid: string, records: readonly MailboxRecord[]): KnownWithFindings {
  const { mapping, mailboxes } = verification.session;
  const { configuration } = verification;
  const found = collectFindings();
  let folders: MappingFolder[] = [];
  let user: MappingUser | undefined;
  attempt(found, uid, () => {
    user = mapping.user(uid);
    folders = mapping.foldersOf(uid);
  });
  const known = { uid, records, folders, user };
  attempt(found, uid, () => {
    verifyDatabases({ findings: found, mailboxes, mapping, configuration }, known);
  });
  const byId = new Map(folders.map((folder) => [folder.id, folder]));
  for (const record of records) {
    attempt(found, uid, () => {
      const folder = record.mappingId === null ? undefined : byId.get(record.mappingId);
      const subject = subjectOf(uid, record);
      if (record.state === 'TRANSITION') verifyWaiting(verification, found, subject, record, folder);
      else if (record.mappingId !== null && !mailboxes.wasPublished(record.mappingId)) {
        found.add(subject, 'VERIFY_DATABASES', record.name, 'The mailbox is published but has no tombstone.');
      }
    });
  }
  return { ...known, found };
}

function verifyWaiting(
  { session }: Verification,
  findings: Findings,
  subject: Subject,
  record: MailboxRecord,
  folder: MappingFolder | undefined,
): void {
  findings.add(subject, 'VERIFY_WAITING', record.name, 'The folder waits for its migration: it is in TRANSITION.');
  if (folder === undefined) {
    const text = 'The mailbox is in TRANSITION, but no folder of the mapping leads to it.';
    findings.add(subject, 'VERIFY_DATABASES', record.name, text);
    return;
  }
  if (folder.migrated || session.mailboxes.wasPublished(folder.id)) {
    const text = 'The mailbox is in TRANSITION although it was published once.';
    findings.add(subject, 'VERIFY_DATABASES', record.name, text);
  }
  for (const { uid, file, code, message } of session.mapping.failures(folder.id)) {
    findings.add(subject, 'VERIFY_NOT_MIGRATED', file, `${code}: ${message}`, uid);
  }
}

function subjectOf(uid: string, record: MailboxRecord): Subject {
  return { user: uid, mailbox: record.name, folder: record.legacyName ?? '' };
}

/** undefined: a value of a database cannot be read, which is reported. */
export function mailboxItem(
  verification: Verification,
  { uid, folders, user }: Pick<KnownUser, 'uid' | 'folders' | 'user'>,
  record: MailboxRecord,
): MailboxTask | undefined {
  const { survey, findings } = verification;
  const folder = folders.find(({ id }) => id === record.mappingId);
  const root = record.root === null ? null : travelling(survey.held(record.root));
  return attempt(findings, uid, () => {
    const origin = folder === undefined || user === undefined ? null : originOf(verification, folder, user);
    return { kind: 'mailbox', subject: subjectOf(uid, record), record, root, origin };
  });
}

function originOf({ session, survey, findings }: Verification, folder: MappingFolder, user: MappingUser): OriginTask {
  let record: MigrationRecord | null = null;
  // An empty folder has one, too: it is made before the first step of any migration.
  let recordExpected = true;
  let failures: readonly MessageFailure[] = [];
  try {
    record = session.mapping.record(folder.id) ?? null;
    failures = session.mapping.failures(folder.id);
  } catch (error) {
    if (!(error instanceof MailhaulError)) throw error;
    recordExpected = false;
    const subject = { user: folder.uid, mailbox: folder.mailbox, folder: folder.legacyName };
    findings.add(subject, 'VERIFY_RECORD', folder.mailbox, describeError(error));
  }
  const { storePath } = user;
  const [store, storeUnreadable] = [travelling(survey.held(storePath)), survey.isUnreadable(storePath)];
  return { folder, storePath, store, storeUnreadable, record, recordExpected, failures };
}

export function userItem({ session, survey, findings }: Verification, known: KnownUser): UserTask {
  const { uid, records, folders, user } = known;
  const roots: HeldRoot[] = [];
  const places = new Map<string, number>();
  const place = (path: string | undefined): number => {
    if (path === undefined) return -1;
    const before = places.get(path);
    if (before !== undefined) return before;
    const held = travelling(survey.held(path));
    const index = held === null ? -1 : roots.push(held) - 1;
    places.set(path, index);
    return index;
  };
  const mailboxes = records.map((record) => ({
    name: record.name,
    legacyName: record.legacyName ?? '',
    published: record.state === 'NON-TRANSITION',
    root: place(survey.rootOf(record)),
  }));
  const own = new Set(records.map(({ mappingId }) => mappingId));
  const subscriptions = attempt(findings, uid, () => session.mailboxes.subscriptions(uid)) ?? [];
  const origin =
    user === undefined
      ? null
      : {
          storePath: user.storePath,
          store: travelling(survey.held(user.storePath)),
          folders: folders.map((folder) => ({
            path: folder.path,
            mailbox: folder.mailbox,
            taken: !folder.missing || own.has(folder.id) || session.mailboxes.wasPublished(folder.id),
          })),
        };
  return { kind: 'user', uid, roots, mailboxes, origin, subscriptions };
}

/**
 * The value of `read`. A value of a database that cannot be read is a finding like any other (then undefined); a defect
 * of this program is not.
 */
export function attempt<T>(findings: Findings, uid: string, read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof MailhaulError)) throw error;
    findings.add({ ...NO_SUBJECT, user: uid }, 'VERIFY_RECORD', error.where ?? uid, describeError(error));
    return undefined;
  }
}

/** Mailboxes by owner; a user's mailboxes are neighbours in the order of names. */
function* usersOf(records: Iterable<MailboxRecord>): Generator<[string, MailboxRecord[]]> {
  let group: MailboxRecord[] = [];
  for (const record of records) {
    if (group.length > 0 && group[0]!.owner !== record.owner) {
      yield [group[0]!.owner, group];
      group = [];
    }
    group.push(record);
  }
  if (group.length > 0) yield [group[0]!.owner, group];
}
