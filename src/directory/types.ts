/**
 * The users of one server, wherever they are listed.
 *
 * Everything in a directory is somebody else's text. What comes out as `user` has passed every rule of
 * 3x-profile.md, "Directory entries", that needs no file system; everything else comes out as `problem` and
 * is skipped. `users()` yields nothing before the whole directory was read: a server that goes away half-way
 * is an error before the first user, never a short list (see unique.ts).
 */

/** Codes of entries that are skipped; part of the `--json` promise. */
export type DirectoryProblemCode =
  /** No `uid`. */
  | 'DIR_NO_UID'
  /** The uid breaks a rule. */
  | 'DIR_UID'
  /** The same uid, compared without case, in several entries: each of them is reported with this code. */
  | 'DIR_DUPLICATE_UID'
  /** `mailMessageStore` is not an absolute, clean path. */
  | 'DIR_STORE_PATH'
  /** `mailQuota` is not a decimal number of bytes. */
  | 'DIR_QUOTA'
  /** Part of the directory is on another server and was not read. */
  | 'DIR_REFERRAL'
  /** An LDIF record that cannot be read; the message names the line. */
  | 'DIR_LDIF'
  /** An LDIF record that does not add an entry (modify, delete, modrdn). */
  | 'DIR_LDIF_CHANGE'
  /** An entry larger than the reader holds. */
  | 'DIR_ENTRY_SIZE';

/** Codes of what is told of entries that are taken; part of the `--json` promise. */
export type DirectoryWarningCode =
  /** The last line of an LDIF file has no line end: the file may be cut off. */
  | 'DIR_LDIF_CUT'
  /** `mailQuota` is more than 4.x can hold; the most that it can is taken. */
  | 'DIR_QUOTA_LARGE';

export interface DirectoryUser {
  readonly kind: 'user';
  /** First value, case kept; safe as one path component. */
  readonly uid: string;
  /** Normalised absolute path; null: the server's MailboxDirectory. */
  readonly storePath: string | null;
  /** Bytes; 0 no limit; null: the server's default. */
  readonly quota: number | null;
  readonly mail: string | null;
  readonly cn: string | null;
  /** For messages; its beginning when it is long. */
  readonly dn: string;
}

export interface DirectoryProblem {
  readonly kind: 'problem';
  readonly code: DirectoryProblemCode;
  /** Empty when the entry has none that can be read. */
  readonly dn: string;
  /** Whole sentences; control characters are escaped. */
  readonly message: string;
}

/** Something to know about an entry that was taken. */
export interface DirectoryWarning {
  readonly kind: 'warning';
  readonly code: DirectoryWarningCode;
  readonly dn: string;
  readonly message: string;
}

export type DirectoryItem = DirectoryUser | DirectoryProblem | DirectoryWarning;

export interface UserDirectory {
  /** What is being read, for messages; without password. */
  readonly description: string;
  /**
   * Every user of this server and every problem, once. Throws MailhaulError (DIR_CONNECT, DIR_TLS, DIR_BIND,
   * DIR_TIMEOUT, DIR_LOST, DIR_PARTIAL, DIR_SIZE_LIMIT, DIR_REFERRAL, DIR_SEARCH, DIR_PROTOCOL, DIR_FILE) when
   * the directory cannot be read to its end, always before the first item; the signal's reason when aborted.
   */
  users(signal?: AbortSignal): AsyncIterable<DirectoryItem>;
  close(): Promise<void>;
}

/** An entry as its source delivered it; only the attributes of ATTRIBUTES, names in lower case, values raw. */
export interface RawEntry {
  readonly dn: string;
  readonly attributes: ReadonlyMap<string, readonly Uint8Array[]>;
}

/** What a source yields before uids are compared. `uid` of a problem, when readable, still counts as taken. */
export type SourceItem =
  | { readonly item: DirectoryUser; readonly uid: string; readonly warning?: DirectoryWarning }
  | { readonly item: DirectoryProblem | DirectoryWarning; readonly uid: string | null };
