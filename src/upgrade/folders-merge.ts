/**
 * Brings what lies in 3.x for one user together with what earlier runs of `-s` and `-m` left in the databases.
 * Pure but for reading the databases: the result is the list of changes, which folders-write.ts makes durable.
 *
 * What an earlier run fixed stays (4x-store.md, "The migration record"; commands.md, `-s` run again):
 *
 *     published once (also deleted or renamed since)   left alone
 *     first attempt made (`root` is set)               partition, root and uidvalidity stay
 *     a uidvalidity that `-s` chose                    stays, also when the header is back
 *     4.x name                                         stays, once its mailbox is made
 */
import { INBOX, inboxName } from '../store/names.js';
import type { MailboxRecord } from '../store/types.js';
import { unrecorded } from './disagree.js';
import {
  type Earlier,
  type FolderChange,
  sameFolder,
  sameMailbox,
  sameUser,
  type UserChanges,
} from './folders-changes.js';
import { INBOX_PATH, nameFolders, pathKey, subscriptionName } from './folders-names.js';
import type { FolderProblem } from './folders-report.js';
import type { SourceFolder, UserMailbox } from './folders-user.js';
import { isAnothers } from './folders-write.js';
import { hasOriginals } from './originals.js';
import type { MappingFolder, MappingUser } from './types.js';

const UINT32_MAX = 0xffffffff;

/** Names of deletes and renames on record: where such a name leads, another mailbox's directory may still be. */
export function namesChanging({ mailboxes }: Earlier): ReadonlySet<string> {
  return new Set([...mailboxes.nameChanges()].flatMap(({ name, to }) => [name, to ?? name]));
}

/**
 * @param changing `namesChanging`
 * @param now seconds since 1970, the uidvalidity of folders whose header is lost
 */
export function mergeUser(
  user: MappingUser,
  found: Extract<UserMailbox, { kind: 'read' | 'missing' }>,
  earlier: Earlier,
  changing: ReadonlySet<string>,
  now: number,
): UserChanges {
  const merge = new UserMerge(user, earlier, changing, now);
  if (found.kind === 'missing') merge.withoutMailbox();
  else merge.mailbox(found);
  return merge.result(found);
}

/** The state of one merge; `mergeUser` is its only user. */
class UserMerge {
  private readonly before: MappingUser | undefined;
  private readonly known: MappingFolder[];
  private readonly byKey: Map<string, MappingFolder>;
  private readonly changes: FolderChange[] = [];
  private readonly errors: FolderProblem[] = [];
  private readonly warnings: FolderProblem[] = [];
  private readonly names = new Map<string, string>();
  /** Folders whose mailboxes this run makes: also those of a run that was stopped between the databases. */
  private readonly addedKeys = new Set<string>();
  private readonly counts = { found: 0, added: 0, waiting: 0, migrated: 0 };
  private indexBytes = 0;
  /** Ids of known folders that were published once. */
  private readonly published = new Set<number>();
  /** Ids of those that never were, and whose name a service has given to a mailbox since. */
  private readonly lostNames = new Set<number>();
  /** The folders are left as they are, and so are the subscriptions. */
  private unchanged = false;

  constructor(
    private user: MappingUser,
    private readonly earlier: Earlier,
    private readonly changing: ReadonlySet<string>,
    private readonly now: number,
  ) {
    this.before = earlier.mapping.user(user.uid);
    // A user and the user's folders are written in one transaction: without the one there are none of the others.
    this.known = this.before === undefined ? [] : earlier.mapping.foldersOf(user.uid);
    this.byKey = new Map(this.known.map((folder) => [pathKey(folder.path), folder]));
    for (const folder of this.known) {
      if (folder.migrated || earlier.mailboxes.wasPublished(folder.id)) this.published.add(folder.id);
      else if (folder.root === null && isAnothers(earlier.mailboxes.get(folder.mailbox), folder.id)) {
        // A run was stopped before the mailbox was made.
        this.lostNames.add(folder.id);
      }
      this.names.set(pathKey(folder.path), folder.mailbox);
    }
  }

  /** No mailbox directory: an empty INBOX (3x-profile.md, Directory entries), unless there was one earlier. */
  withoutMailbox(): void {
    this.keepStorePath();
    if (this.isGone('is gone')) return;
    this.emptyInbox('USER_NO_MAILBOX', 'The user has no mailbox directory and gets an empty INBOX.');
  }

  /** Mail that waits for its migration is not there: that is no reason to make empty mailboxes of it. */
  private isGone(what: string): boolean {
    const gone = this.known.filter((folder) => !folder.missing && !this.isPublished(folder));
    if (gone.length === 0) return false;
    const message =
      `The mailbox directory ${what}, ${gone.length} folders of it are not migrated yet; they were left as they ` +
      'are. Is the disk mounted?';
    this.errors.push({ user: this.user.uid, folder: '', code: 'USER_DIRECTORY_GONE', message });
    this.unchanged = true;
    return true;
  }

  /**
   * Where nothing is at a new mailMessageStore, the mail is still where it was: a late `-r`, `--verify` and folders
   * that wait go on with the old path.
   */
  private keepStorePath(): void {
    const { before, user } = this;
    if (before === undefined || before.storePath === user.storePath) return;
    if (this.known.every(({ missing }) => missing)) return;
    const message =
      `The user has no folder in the new store path ${user.storePath}; ${before.storePath}, where its mail ` +
      'was, stays on record. When the directory has been moved, run `upgrade -s` again.';
    this.warnings.push({ user: user.uid, folder: '', code: 'USER_STORE_PATH', message });
    this.user = { ...user, storePath: before.storePath, partition: before.partition };
  }

  mailbox(found: Extract<UserMailbox, { kind: 'read' }>): void {
    this.errors.push(...found.errors);
    this.warnings.push(...found.warnings);
    // Not even an INBOX, which 3.x never deletes: the empty mount point of a disk of the user's own, most likely.
    if (found.folders.length === 0 && found.unread.length === 0) {
      this.keepStorePath();
      if (this.isGone('holds no folder')) return;
    }
    const names = nameFolders({
      uid: this.user.uid,
      paths: [...found.folders.map(({ path }) => path), ...found.unread, INBOX_PATH],
      known: this.known.filter((folder) => this.keepsName(folder)),
      isTaken: (mailbox) => this.isTaken(mailbox),
    });
    for (const [key, { mailbox }] of names) this.names.set(key, mailbox);
    for (const folder of found.folders) {
      const name = names.get(folder.key);
      if (name !== undefined) this.folder(folder, name.mailbox, name.collided);
    }
    const unread = new Set(found.unread.map(pathKey));
    const present = new Set(found.folders.map(({ key }) => key));
    if (!present.has(INBOX) && !unread.has(INBOX) && !unread.has('')) {
      this.emptyInbox('USER_NO_INBOX', 'The mailbox directory holds no INBOX; the user gets an empty one.');
    }
    if (unread.size === 0) this.vanished(present);
  }

  private folder(found: SourceFolder, mailbox: string, collided: boolean): void {
    this.counts.found += 1;
    const old = this.byKey.get(found.key);
    if (old !== undefined && this.isPublished(old)) {
      this.counts.migrated += 1;
      if (!this.earlier.mailboxes.wasPublished(old.id)) this.disagrees(old);
      else if (old.attempts === 0) {
        // Whatever else could be said of it rests on a record that is not there.
        const { code, message } = unrecorded(old);
        this.errors.push({ user: this.user.uid, folder: old.legacyName, code, message });
        return;
      }
      if (!hasOriginals(this.earlier.mapping, old)) {
        const message =
          'The folder appeared in 3.x after an empty one was made for it in 4.x; its mail is not migrated.';
        this.errors.push({ user: this.user.uid, folder: found.legacyName, code: 'FOLDER_LATE', message });
      } else if (!old.missing && old.inode !== found.inode) {
        const message =
          'Another directory is where a migrated folder was: one that was restored or copied, or a new folder of the ' +
          'name. It counts as migrated; mail that only it has is not taken.';
        this.warnings.push({ user: this.user.uid, folder: found.legacyName, code: 'FOLDER_REPLACED', message });
      }
      return;
    }
    if (old !== undefined && this.hasLostName(old) && this.isTaken(mailbox)) {
      const message =
        'A mailbox that was made in 4.x has its name, which folders below it keep; its mail is not migrated.';
      this.errors.push({ user: this.user.uid, folder: found.legacyName, code: 'FOLDER_NAME_TAKEN', message });
      return;
    }
    this.indexBytes += found.indexBytes;
    const { uidvalidity, chosen } = this.uidvalidity(found, old, mailbox);
    const folder: MappingFolder = {
      ...this.fresh(found.path, mailbox, found.legacyName, old),
      mailbox,
      missing: false,
      inode: found.inode,
      indexBytes: found.indexBytes,
      uidvalidity,
      uidvalidityChosen: chosen,
    };
    if (collided) {
      const message = `Another folder has the 4.x name already; this one is ${mailbox}.`;
      this.warnings.push({ user: this.user.uid, folder: found.legacyName, code: 'FOLDER_RENAMED', message });
    }
    this.put(folder, old, found.header?.uidnext ?? 1, found.acl ?? this.aclOnRecord(mailbox));
  }

  /** The mapping has it as migrated, the mailbox database does not: nothing of it is written. */
  private disagrees(old: MappingFolder): void {
    const message =
      'The mapping database has this folder as migrated, the mailbox database does not: one of them was restored ' +
      'without the other. Restore store/mboxlist and __upfolder.db from backups of the same moment.';
    this.errors.push({ user: this.user.uid, folder: old.legacyName, code: 'DATABASES_DISAGREE', message });
  }

  /** The header's, or the run's own time above any earlier one of that name (3x-profile.md, Damage). */
  private uidvalidity(
    found: SourceFolder,
    old: MappingFolder | undefined,
    mailbox: string,
  ): { uidvalidity: number; chosen: boolean } {
    if (old !== undefined && (old.root !== null || (old.uidvalidityChosen === true && !old.missing))) {
      return { uidvalidity: old.uidvalidity, chosen: old.uidvalidityChosen === true };
    }
    if (found.header !== undefined) return { uidvalidity: found.header.uidvalidity, chosen: false };
    const before = Math.max(old?.uidvalidity ?? 0, this.earlier.mailboxes.get(mailbox)?.uidvalidity ?? 0);
    const uidvalidity = Math.min(UINT32_MAX, Math.max(1, this.now, before + 1));
    const message =
      "The header of the folder's index is lost: its uidvalidity is the time of the `upgrade -s` that makes it.";
    this.warnings.push({ user: this.user.uid, folder: found.legacyName, code: 'FOLDER_HEADER_LOST', message });
    return { uidvalidity, chosen: true };
  }

  private emptyInbox(code: string, message: string): void {
    const old = this.byKey.get(INBOX);
    const mailbox = old?.mailbox ?? inboxName(this.user.uid);
    this.names.set(INBOX, mailbox);
    if (old !== undefined && (this.isPublished(old) || !old.missing)) return;
    // The user has an inbox that was made in 4.x.
    if (old === undefined ? this.isTaken(mailbox) : this.hasLostName(old)) return;
    this.counts.found += 1;
    this.warnings.push({ user: this.user.uid, folder: '', code, message });
    const folder: MappingFolder = {
      ...this.fresh(INBOX_PATH, mailbox, INBOX, old),
      missing: true,
      inode: '0',
      indexBytes: 0,
      uidvalidity: old?.uidvalidity ?? Math.min(UINT32_MAX, Math.max(1, this.now)),
    };
    this.put(folder, old, 1, []);
  }

  /** Folders of earlier runs whose directory is gone while their user's is there: deleted in 3.x since. */
  private vanished(present: ReadonlySet<string>): void {
    for (const old of this.known) {
      if (old.missing || present.has(pathKey(old.path)) || this.isPublished(old)) continue;
      const folder = { user: this.user.uid, folder: old.legacyName, code: 'FOLDER_VANISHED' };
      if (old.root !== null) {
        this.errors.push({ ...folder, message: 'The folder is gone from 3.x, but its migration had begun.' });
        continue;
      }
      const gone = { ...old, missing: true, inode: '0', indexBytes: 0 };
      const lost = this.hasLostName(old);
      const what = lost ? 'a mailbox that was made in 4.x has its name' : 'it will be empty';
      this.warnings.push({ ...folder, message: `The folder is gone from 3.x since the last \`upgrade -s\`; ${what}.` });
      if (lost) this.changes.push({ folder: gone, putFolder: true, mailbox: null });
      else this.put(gone, old, 1, this.aclOnRecord(old.mailbox));
    }
  }

  /** Access rights that an earlier run read. */
  private aclOnRecord(mailbox: string): MailboxRecord['acl'] {
    return this.earlier.mailboxes.get(mailbox)?.acl ?? [];
  }

  private fresh(
    path: readonly Uint8Array[],
    mailbox: string,
    legacyName: string,
    old: MappingFolder | undefined,
  ): MappingFolder {
    return {
      id: 0,
      uid: this.user.uid,
      path,
      mailbox,
      legacyName,
      isInbox: path.length === 1 && pathKey(path) === INBOX,
      missing: false,
      inode: '0',
      indexBytes: 0,
      uidvalidity: 1,
      root: null,
      attempts: 0,
      migrated: false,
      sourcesRemoved: false,
      ...old,
      // What has begun in one partition ends there.
      partition: old !== undefined && old.root !== null ? old.partition : this.user.partition,
    };
  }

  private put(folder: MappingFolder, old: MappingFolder | undefined, uidnext: number, acl: MailboxRecord['acl']): void {
    if (old === undefined) this.counts.added += 1;
    else this.counts.waiting += 1;
    const mailbox: Omit<MailboxRecord, 'mappingId'> = {
      name: folder.mailbox,
      owner: this.user.uid,
      legacyName: folder.legacyName,
      partition: folder.partition,
      acl,
      uidvalidity: folder.uidvalidity,
      uidnext,
      state: 'TRANSITION',
      summary: null,
      root: folder.root,
    };
    const putFolder = old === undefined || !sameFolder(old, folder);
    const before = old === undefined ? undefined : this.earlier.mailboxes.get(folder.mailbox);
    if (before?.state === 'NON-TRANSITION') {
      this.takenBy(folder);
      return;
    }
    // An entry of another id is nobody's: -m finds no mailbox of the folder (selection.ts).
    const isThere = before !== undefined && before.mappingId === folder.id;
    if (!isThere) this.addedKeys.add(pathKey(folder.path));
    if (!putFolder && isThere && sameMailbox(before, mailbox)) return;
    this.changes.push({ folder, putFolder, mailbox });
  }

  /** Of a folder that was never published, while services use the mailbox: its entry is not the folder's to write. */
  private takenBy({ legacyName, mailbox }: MappingFolder): void {
    const message =
      `The mailbox ${mailbox}, which the mapping database gives to this folder, is in use in 4.x and came from elsewhere: ` +
      'one of the databases was restored without the other. Rename the mailbox in 4.x, then run `upgrade -s` again.';
    this.errors.push({ user: this.user.uid, folder: legacyName, code: 'DATABASES_DISAGREE', message });
  }

  result(found: Extract<UserMailbox, { kind: 'read' | 'missing' }>): UserChanges {
    const { before } = this;
    const quota = this.earlier.mailboxes.quota(this.user.uid);
    return {
      user: this.user,
      newUser: before === undefined,
      putUser: before === undefined || !sameUser(before, this.user),
      folders: this.changes,
      quota: quota?.limit === this.user.quota && quota !== undefined ? null : { limit: this.user.quota },
      subscriptions: found.kind === 'read' ? this.subscriptions(found.subscriptions) : null,
      counts: this.counts,
      indexBytes: this.indexBytes,
      errors: this.errors,
      warnings: this.warnings,
    };
  }

  /**
   * Those of 3.x, until a folder of the user is published: from then on the user's 4.x subscriptions count, and
   * only folders that are new join them. null: no change.
   */
  private subscriptions(paths: readonly (readonly Uint8Array[])[] | undefined): readonly string[] | null {
    if (paths === undefined || this.unchanged) return null;
    const before = this.earlier.mailboxes.subscriptions(this.user.uid);
    const somePublished = this.published.size > 0;
    const wanted = new Set(somePublished ? before : []);
    for (const path of paths) {
      if (somePublished && !this.addedKeys.has(pathKey(path))) continue;
      wanted.add(subscriptionName(this.user.uid, path, (key) => this.names.get(key)));
    }
    const after = [...wanted];
    return after.length === before.length && after.every((name, i) => name === before[i]) ? null : after;
  }

  private isPublished({ id }: MappingFolder): boolean {
    return this.published.has(id);
  }

  private hasLostName({ id }: MappingFolder): boolean {
    return this.lostNames.has(id);
  }

  /** Nobody has seen the name of a folder without a mailbox: it goes with one above it that has lost its own. */
  private keepsName(folder: MappingFolder): boolean {
    if (this.lostNames.size === 0 || folder.root !== null || this.isPublished(folder)) return true;
    return this.earlier.mailboxes.get(folder.mailbox)?.mappingId === folder.id;
  }

  private isTaken(mailbox: string): boolean {
    if (this.changing.has(mailbox)) return true;
    const record = this.earlier.mailboxes.get(mailbox);
    if (record === undefined) return false;
    // An entry of a mapping database that was lost before anything was migrated is taken over.
    if (record.state === 'TRANSITION' && this.before === undefined && record.mappingId !== null) return false;
    return !this.known.some((folder) => folder.id === record.mappingId && folder.mailbox === mailbox);
  }
}
