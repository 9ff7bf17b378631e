/**
 * One migrated folder against its 3.x original, as far as that is still there: uids, flags and dates by `.mailbox`,
 * access rights by `.acl`, content by digest.
 */
import { describeError, isNotThere, messageOf } from '../../errors.js';
import { type Dir, displayPath, entries } from '../../fs/dir.js';
import { walk } from '../../fs/walk.js';
import { nsms3 } from '../../source/nsms3/source.js';
import type { FolderIndex } from '../../source/types.js';
import type { IndexRecord } from '../../store/index/record.js';
import type { AclEntry } from '../../store/types.js';
import { type Check, report, rethrowDefect, rethrowLack, stopped } from './context.js';
import { CANDIDATE, CANDIDATE_FIELDS } from './inodes.js';
import { factsOf, type Lines, matchLines } from './lines.js';
import { flagText } from './mailbox.js';
import { type Looked, verifyOriginal } from './original.js';
import type { Migrated } from './record.js';
import { type RecordNames, recordNames } from './recordNames.js';
import type { OriginTask } from './tasks.js';

/** The 3.x folder, held; undefined when it is not there or cannot be opened, which is reported. */
export function openSource(check: Check, origin: OriginTask): Dir | undefined {
  const { folder, storePath, store, storeUnreadable } = origin;
  const where = `${storePath}/${folder.uid}/${folder.legacyName}`;
  try {
    if (store !== null) return walk(store, [folder.uid, ...folder.path]);
    if (!folder.missing && !storeUnreadable) {
      report(check, 'VERIFY_SOURCE_GONE', where, 'The 3.x store path is not there any more.');
    }
  } catch (error) {
    rethrowLack(error);
    if (!isNotThere(error)) {
      const text = `The 3.x folder cannot be opened: ${describeError(error)}.`;
      report(check, 'VERIFY_SOURCE_UNREADABLE', where, text);
    } else if (!folder.missing) report(check, 'VERIFY_SOURCE_GONE', where, 'The 3.x folder is not there any more.');
  }
  return undefined;
}

/**
 * @param dir the 3.x folder; undefined: gone
 * @returns messages for the check of single copies (inodes.ts, CANDIDATE)
 */
export function verifySource(check: Check, migrated: Migrated, dir: Dir | undefined): Uint32Array {
  const { record, index } = migrated;
  const names = recordNames(record);
  const lines = dir === undefined ? undefined : readLines(check, migrated, dir, names);
  const candidates = new Candidates();
  for (let row = 0; row < record.count && !stopped(check.context); row++) {
    const uid = record.uids[row] ?? 0;
    if (migrated.failed.has(uid)) continue;
    if (names.isReplaced(row)) {
      candidates.consider(migrated, row, undefined);
      continue;
    }
    if (lines !== undefined && index.reader.header.generation === 0) verifyLine(check, migrated, lines, row);
    let seen: Looked | undefined;
    if (dir !== undefined) {
      const name = record.names.subarray(record.nameOffsets[row], record.nameOffsets[row + 1]);
      seen = verifyOriginal(check, migrated, dir, row, name);
    }
    candidates.consider(migrated, row, seen);
  }
  if (dir !== undefined && !stopped(check.context)) verifyNoNewMessages(check, names, dir);
  return candidates.finish();
}

function readLines(check: Check, migrated: Migrated, dir: Dir, names: RecordNames): Lines | undefined {
  try {
    const lines = matchLines(nsms3.readIndex(dir), migrated.record, names);
    if (migrated.index.reader.header.generation === 0) verifyHeader(check, migrated, lines.index);
    return lines;
  } catch (error) {
    rethrowLack(error);
    report(check, 'VERIFY_SOURCE_UNREADABLE', dir.path, `The 3.x index cannot be read: ${describeError(error)}.`);
    return undefined;
  }
}

function verifyHeader(check: Check, { record, folder }: Migrated, lines: FolderIndex): void {
  const { header } = lines;
  if (header === undefined) return;
  // A folder that ran out of uids has a higher one on record; one whose header was lost keeps what `-s` chose.
  if (record.uidvalidity < header.uidvalidity && folder.uidvalidityChosen !== true) {
    const text = `The 3.x index has uidvalidity ${header.uidvalidity}, the migrated folder ${record.uidvalidity}.`;
    report(check, 'VERIFY_UIDVALIDITY', folder.mailbox, text);
  } else if (record.uidvalidity === header.uidvalidity && record.uidnext < header.uidnext) {
    const text = `The 3.x index has uidnext ${header.uidnext}, the migrated folder ${record.uidnext}.`;
    report(check, 'VERIFY_UIDNEXT', folder.mailbox, text);
  }
}

/** uid, flags, keywords and date of a message against its line. Changes in the journal are the services'. */
function verifyLine(check: Check, { record, index, folder }: Migrated, lines: Lines, row: number): void {
  const uid = record.uids[row] ?? 0;
  const stored = index.reader.byUid(uid);
  if (stored === undefined) return;
  const said = factsOf(lines, row);
  const where = folder.mailbox;
  const line = lines.lineOf[row] ?? -1;
  const sameNumbers = record.uidvalidity === lines.index.header?.uidvalidity;
  if (line >= 0 && sameNumbers && lines.holdsUid[line] === 1 && said.uid !== uid) {
    report(check, 'VERIFY_UID', where, `The 3.x index gives it uid ${said.uid}.`, uid);
  }
  if (said.flags !== stored.flags) {
    const text = `Its flags are ${flagText(stored.flags)}; in 3.x they are ${flagText(said.flags)}.`;
    report(check, 'VERIFY_FLAGS', where, text, uid);
  }
  if (stored.keywordCount > 0 || said.keywords.length > 0) {
    if (foldKeywords(index.reader.keywordsOf(stored)) !== foldKeywords(said.keywords)) {
      report(check, 'VERIFY_FLAGS', where, 'Its keywords are not those of 3.x.', uid);
    }
  }
  verifyDate(check, where, record.mtimes[row] ?? 0n, stored, said.date);
}

function verifyDate(check: Check, where: string, mtime: bigint, stored: IndexRecord, said: number): void {
  const wanted = Number.isNaN(said) ? wholeSeconds(mtime) : said;
  if (stored.internalDate === wanted) return;
  const text = `Its date is ${stored.internalDate}; in 3.x it is ${wanted} (seconds since 1970).`;
  report(check, 'VERIFY_DATE', where, text, stored.uid);
}

/** Down, also before 1970. */
function wholeSeconds(nanoseconds: bigint): number {
  const rest = ((nanoseconds % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  return Number((nanoseconds - rest) / 1_000_000_000n);
}

/** Keywords as a set without case. */
function foldKeywords(keywords: readonly string[]): string {
  return [...new Set(keywords.map((keyword) => keyword.toLowerCase()))].sort().join(' ');
}

/** 3.x messages that came after the migration. */
function verifyNoNewMessages(check: Check, names: RecordNames, dir: Dir): void {
  try {
    for (const { name, ...entry } of withTypes(dir)) {
      if (name[0] === 0x2e || entry.isDirectory || names.find(name, 0, name.length) >= 0) continue;
      const text = 'This 3.x message is not in the migration record.';
      report(check, 'VERIFY_SOURCE_NEW', displayPath(dir, name), text);
    }
  } catch (error) {
    rethrowLack(error);
    report(check, 'VERIFY_SOURCE_UNREADABLE', dir.path, `The 3.x folder cannot be listed: ${describeError(error)}.`);
  }
}

function* withTypes(dir: Dir): Generator<{ name: Buffer; isDirectory: boolean }> {
  for (const entry of entries(dir)) yield { name: entry.name, isDirectory: entry.isDirectory() };
}

/**
 * The mailbox's access rights against `.acl`; where that is gone, against the copy in the index, which says what they
 * were when the folder was migrated.
 */
export function verifyAcl(
  check: Check,
  { folder, used }: Pick<Migrated, 'folder' | 'used'>,
  dir: Dir | undefined,
  now: readonly AclEntry[],
  copied: readonly AclEntry[] | undefined,
): void {
  const { mailbox, missing } = folder;
  const then = dir === undefined || missing ? copied : readAcl(check, dir);
  if (then === undefined || sameAcl(now, then)) return;
  const text = `The mailbox gives ${aclText(now)}; ${dir === undefined ? 'when it was migrated' : 'in 3.x'} it gave ${aclText(then)}.`;
  report(check, used ? 'VERIFY_CHANGED_SINCE' : 'VERIFY_ACL', mailbox, text);
}

function readAcl(check: Check, dir: Dir): readonly AclEntry[] | undefined {
  try {
    return nsms3.readAcl(dir).entries;
  } catch (error) {
    rethrowDefect(error);
    report(check, 'VERIFY_SOURCE_UNREADABLE', `${dir.path}/.acl`, `The rights are not compared: ${messageOf(error)}`);
    return undefined;
  }
}

function sameAcl(a: readonly AclEntry[], b: readonly AclEntry[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ identifier, rights }, i) => identifier === b[i]?.identifier && rights === b[i].rights)
  );
}

/** The first entries; an ACL may have thousands. */
function aclText(acl: readonly AclEntry[]): string {
  if (acl.length === 0) return 'nobody else any rights';
  const shown = acl.slice(0, 5).map(({ identifier, rights }) => `${identifier} ${rights}`);
  return shown.join(', ') + (acl.length > shown.length ? ` and ${acl.length - shown.length} more` : '');
}

/** Gathers messages whose file has more names than its own two, for the check of single-copy mail (singles.ts). */
class Candidates {
  #fields = new Uint32Array(64 * CANDIDATE_FIELDS);
  #used = 0;

  consider({ record, index, files }: Migrated, row: number, seen: Looked | undefined): void {
    const uid = record.uids[row] ?? 0;
    // A later message of 4.x that took the place of one that services expunged is none of ours.
    const i = index.reader.find(uid) < 0 ? -1 : files.find(uid);
    if (i < 0) return;
    const inode = files.inode(i);
    const linked = seen !== undefined && seen.inode === inode && seen.device === files.device(i);
    const names = linked ? 2 : 1;
    // With its original gone there is no telling whether that had other names: all are looked at.
    const shared = files.links(i) > names || seen === undefined || (!linked && seen.links > 1);
    if (!shared) return;
    if (this.#used + CANDIDATE_FIELDS > this.#fields.length) {
      const larger = new Uint32Array(this.#fields.length * 2);
      larger.set(this.#fields);
      this.#fields = larger;
    }
    const at = this.#used;
    const source = record.inodes[row] ?? 0n;
    this.#fields[at + CANDIDATE.sourceLow] = Number(source & 0xffff_ffffn);
    // Once removed, an inode number may be given to another file: size and time tell the two apart.
    const version = BigInt.asUintN(
      32,
      (record.mtimes[row] ?? 0n) ^ (BigInt.asUintN(64, record.mtimes[row] ?? 0n) >> 32n),
    );
    this.#fields[at + CANDIDATE.sourceHigh] = Number(source >> 32n) ^ Number(version) ^ (record.sizes[row] ?? 0);
    this.#fields[at + CANDIDATE.targetLow] = Number(inode & 0xffff_ffffn);
    this.#fields[at + CANDIDATE.targetHigh] = Number(inode >> 32n);
    this.#fields[at + CANDIDATE.links] = files.links(i);
    this.#fields[at + CANDIDATE.names] = names;
    this.#fields[at + CANDIDATE.uid] = uid;
    this.#used += CANDIDATE_FIELDS;
  }

  finish(): Uint32Array {
    return this.#fields.slice(0, this.#used);
  }
}
