/**
 * The `admin` section of store.idx: the backup copy of the mailbox-list and quota record (4x-store.md,
 * store.idx), from which `reconstruct` can make the database entry again. Layout: docs/formats/store-idx.md.
 */
import type { AclEntry } from './types.js';

export interface AdminRecord {
  readonly mailbox: string;
  readonly legacyName: string | null;
  readonly owner: string;
  readonly partition: string;
  readonly acl: readonly AclEntry[];
  /** Quota limit in bytes, 0 none, null server default. */
  readonly quota: number | null;
}

/**
 * The bytes of the section. Key order is part of the format: both engines must write the same index. In memory of their
 * own: they go to another thread, and a message to one copies all of the memory that bytes lie in. `Buffer.from` puts
 * short ones into a piece of 8 KB that they share with others.
 */
export function encodeAdminRecord(record: AdminRecord): Uint8Array {
  const { mailbox, legacyName, owner, partition, quota } = record;
  const acl = record.acl.map((entry) => [entry.identifier, entry.rights]);
  return new Uint8Array(Buffer.from(JSON.stringify({ v: 1, mailbox, legacyName, owner, partition, acl, quota })));
}
