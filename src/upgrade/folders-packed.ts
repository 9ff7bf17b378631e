/**
 * What one user's mailbox directory holds (folders-user.ts), as a thread sends it: paths as one string each, because an
 * array of bytes costs a memory block of its own on each side.
 *
 *     path   raw names as ISO-8859-1, `/` between levels (pathKey); '' is the mailbox directory itself
 */
import { legacyPath } from '../store/names.js';
import type { AclEntry } from '../store/types.js';
import { pathKey } from './folders-names.js';
import type { FolderProblem } from './folders-report.js';
import type { SourceFolder, UserMailbox } from './folders-user.js';

/** key, inode, indexBytes, uidvalidity and uidnext (0: the header is lost), acl. */
type PackedFolder = readonly [string, string, number, number, number, readonly AclEntry[]];

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

export function pack(found: UserMailbox): PackedMailbox {
  if (found.kind !== 'read') return found;
  const { folders, unread, subscriptions, errors, warnings } = found;
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

export function unpack(packed: PackedMailbox): UserMailbox {
  if (packed.kind !== 'read') return packed;
  const { folders, unread, subscriptions, errors, warnings } = packed;
  return {
    kind: 'read',
    folders: folders.map(folderOf),
    unread: unread.map(pathOf),
    subscriptions: subscriptions?.map(pathOf),
    errors,
    warnings,
  };
}

function folderOf([key, inode, indexBytes, uidvalidity, uidnext, acl]: PackedFolder): SourceFolder {
  const path = pathOf(key);
  const header = uidvalidity === 0 ? undefined : { uidvalidity, uidnext };
  return { path, key, legacyName: legacyPath(path), inode, indexBytes, header, acl };
}

/** The inverse of `pathKey`. */
function pathOf(key: string): readonly Uint8Array[] {
  return key === '' ? [] : key.split('/').map((name) => new Uint8Array(Buffer.from(name, 'latin1')));
}
