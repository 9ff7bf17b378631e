/** What can be asked of the generator, with its defaults. */
import * as os from 'node:os';
import { DAMAGE, type DamageKind } from './damage.js';

export interface GenerateOptions {
  /** Directory to fill; made when missing. Holds server3/, disk1/ …, users.ldif and manifest.jsonl. */
  readonly root: string;
  readonly seed: string;
  readonly instance: string;
  readonly hostName: string;
  /** 3.x version in NscpMail.conf. */
  readonly version: string;
  readonly users: number;
  /** Folders of each user, INBOX included; at least 1. */
  readonly folders: number;
  /** Messages in all; ignored with `fromEml` in mode `once`. */
  readonly messages: number;
  /** `even`: every folder the same; `natural`: a few folders hold most; `giant`: half of all is in the first. */
  readonly spread: 'even' | 'natural' | 'giant';
  /** Messages of every folder, user after user, instead of `messages` and `spread`. */
  readonly counts: readonly number[] | null;
  /** Bytes a message: the size itself (fixed) or the median (lognormal, and mail without attachment). */
  readonly size: number;
  /** `mail`: lognormal, and a tail of attachments of 1 to 20 MiB; `classes`: as `sizeClasses` says. */
  readonly sizes: 'fixed' | 'lognormal' | 'mail' | 'classes';
  /** With `mail`: share of messages that carry such an attachment. */
  readonly attachments: number;
  /** With `classes`: a message is of a class with a probability in proportion to its weight. */
  readonly sizeClasses: readonly SizeClass[];
  /** Share of messages that were expunged: their uids are missing. null: a few, as in a mailbox that is used. */
  readonly gaps: number | null;
  /** Number of store paths, or the paths themselves; the first is MailboxDirectory. */
  readonly storePaths: number | readonly string[];
  /** Share of messages that are one more hard link to a message of another folder of the same store path. */
  readonly singleCopy: number;
  /**
   * Above 1: the same folder of so many users of a store path holds the same messages, each one inode (single-copy
   * mode, every message to so many recipients).
   */
  readonly recipients: number;
  /** Share of message files with bare LF line ends. */
  readonly bareLf: number;
  /** Share of folders that get one kind of damage each, the kinds taking turns. */
  readonly damage: number;
  readonly damageKinds: readonly DamageKind[];
  /** Share of folders with a name from HOSTILE_FOLDER_NAMES. */
  readonly hostileNames: number;
  /** Share of folders that lie inside another folder. */
  readonly nested: number;
  /** Share of messages with keywords. */
  readonly keywords: number;
  /** Users without a mailbox directory, besides `users`. */
  readonly emptyUsers: number;
  /** Directory entries that break a rule, besides `users`. */
  readonly badEntries: number;
  /** Take the messages from the files of this directory instead of making them. */
  readonly fromEml: string | null;
  readonly emlMode: 'once' | 'cycle';
  /** Account of the files and in the configuration; needs root when it is not the current user. */
  readonly owner: string | null;
  /** LdapUrl and so on of the configuration; null leaves them out. */
  readonly ldapUrl: string | null;
  readonly manifest: boolean;
}

export interface SizeClass {
  /** Bytes, both included; sizes within are equally likely by order of magnitude. */
  readonly low: number;
  readonly high: number;
  readonly weight: number;
}

export const DEFAULTS: Omit<GenerateOptions, 'root'> = {
  seed: '1',
  instance: 'tango',
  hostName: 'mail.example.com',
  version: '3.6',
  users: 20,
  folders: 5,
  messages: 1000,
  spread: 'natural',
  counts: null,
  size: 4096,
  sizes: 'lognormal',
  attachments: 0.02,
  sizeClasses: [],
  gaps: null,
  storePaths: 3,
  singleCopy: 0.1,
  recipients: 1,
  bareLf: 0.05,
  damage: 0.1,
  damageKinds: DAMAGE.map((damage) => damage.kind),
  hostileNames: 0.05,
  nested: 0.3,
  keywords: 0.1,
  emptyUsers: 0,
  badEntries: 0,
  fromEml: null,
  emlMode: 'once',
  owner: null,
  ldapUrl: null,
  manifest: true,
};

export interface Owner {
  readonly user: string;
  readonly group: string;
  readonly uid: number;
  readonly gid: number;
  /** Files must be given to the account. */
  readonly chown: boolean;
}

/** The messages of a large installation end here; a lognormal size is cut off. */
export const MAX_SIZE = 32 * 1024 * 1024;

export function currentUser(): string {
  return os.userInfo().username;
}
