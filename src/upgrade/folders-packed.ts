/**
 * What one user's mailbox directory holds (folders-user.ts), as a thread sends it: paths as one string each, because an
 * array of bytes costs a memory block of its own on each side.
 *
 *     path   raw names as ISO-8859-1, `/` between levels (pathKey); '' is the mailbox directory itself
 *
 * A thousand users may be packed at a time, so one with very much is not (MOST_PACKED): the main thread reads that one
 * alone.
 */
import { legacyPath } from '../store/names.js';
import type { AclEntry } from '../store/types.js';
import { pathBytes, pathKey } from './folders-names.js';
import type { FolderProblem } from './folders-report.js';
import type { SourceFolder, UserMailbox } from './folders-user.js';

/** key, inode, indexBytes, uidvalidity and uidnext (0: the header is lost), acl (undefined: could not be read). */
type PackedFolder = readonly [string, string, number, number, number, readonly AclEntry[] | undefined];

export type PackedMailbox =
  | Exclude<UserMailbox, { kind: 'read' }>
  | {
      readonly kind: 'read';
      readonly folders: readonly PackedFolder[];
      readonly unread: readonly string[];
      readonly subscriptions: readonly string[] | undefined;
      readonly errors: readonly FolderProblem[];
      readonly warnings: readonly FolderProblem[];
    };

/** Characters of a user's texts, and what each takes besides; 50 folders have 2,000. */
const MOST_PACKED = 100_000;
const OF_ENTRY = 50;

/** undefined: too much to be held beside others. */
export function pack(found: UserMailbox): PackedMailbox | undefined {
  if (found.kind !== 'read') return found;
  const { folders, unread, subscriptions, errors, warnings } = found;
  if (sizeOf(found) > MOST_PACKED) return undefined;
  return {
    kind: 'read',
    folders: folders.map(({ key, inode, indexBytes, header, acl }) => [
      key,
      inode,
      indexBytes,
      header?.uidvalidity ?? 0,
      header?.uidnext ?? 0,
      acl,
    ]),
    unread: unread.map(pathKey),
    subscriptions: subscriptions?.map(pathKey),
    errors,
    warnings,
  };
}

function sizeOf({ folders, unread, subscriptions, errors, warnings }: Extract<UserMailbox, { kind: 'read' }>): number {
  let size = 0;
  for (const { folder, message } of [...errors, ...warnings]) size += OF_ENTRY + folder.length + message.length;
  for (const { path, acl } of folders) {
    size += pathBytes(path);
    for (const { identifier, rights } of acl ?? []) size += OF_ENTRY + identifier.length + rights.length;
  }
  for (const path of unread) size += pathBytes(path);
  for (const path of subscriptions ?? []) size += pathBytes(path);
  return size;
}

export function unpack(packed: PackedMailbox): UserMailbox {
  if (packed.kind !== 'read') return packed;
  const { folders, unread, subscriptions, errors, warnings } = packed;
  return {
    kind: 'read',
    folders: foldersOf(folders),
    unread: unread.map(pathOf),
    subscriptions: subscriptions?.map(pathOf),
    errors,
    warnings,
  };
}

/** Parents come before children, whose paths begin with the arrays of the parents' (as the walk has made them). */
function foldersOf(packed: readonly PackedFolder[]): SourceFolder[] {
  const paths = new Map<string, readonly Uint8Array[]>([['', []]]);
  return packed.map(([key, inode, indexBytes, uidvalidity, uidnext, acl]) => {
    const slash = key.lastIndexOf('/');
    const above = paths.get(slash === -1 ? '' : key.slice(0, slash));
    const path = above === undefined ? pathOf(key) : [...above, nameOf(key.slice(slash + 1))];
    paths.set(key, path);
    const header = uidvalidity === 0 ? undefined : { uidvalidity, uidnext };
    return { path, key, legacyName: legacyPath(path), inode, indexBytes, header, acl };
  });
}

/** The inverse of `pathKey`. */
function pathOf(key: string): readonly Uint8Array[] {
  return key === '' ? [] : key.split('/').map(nameOf);
}

function nameOf(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'latin1'));
}
