/**
 * Where things lie in a mailbox directory (docs/formats/partition.md).
 *
 *     <partition>/=user/<hh>/<hh>/=<uid>/…/   mailbox directory (names.ts)
 *       store.idx  store.jnl                  docs/formats/store-idx.md
 *       .retry/                               only while a retry runs, or after one was stopped
 *       <nn>/<uid>.msg                        nn = floor(uid / 100), at least two digits
 */

import type { Dir } from '../fs/dir.js';
import { walkIfThere } from '../fs/walk.js';
import { mailboxPathComponents } from './names.js';

export const INDEX_FILE = 'store.idx';
export const JOURNAL_FILE = 'store.jnl';
/** In a mailbox directory: messages on their way into a published folder (upgrade/additions.ts). */
export const RETRY_DIRECTORY = '.retry';
/** Registry of shared copies at the top of a partition, while a migration runs. */
export const SINGLE_DIRECTORY = '=single';
/** Users' mailboxes at the top of a partition. */
export const USER_DIRECTORY = '=user';
/** Message uids a hash directory holds. */
const MESSAGES_PER_DIRECTORY = 100;

export const FILE_MODE = 0o600;

/** `<nn>` of a message uid. */
export function hashDirectory(uid: number): string {
  return String(Math.floor(uid / MESSAGES_PER_DIRECTORY)).padStart(2, '0');
}

/** `<uid>.msg`. */
export function messageFile(uid: number): string {
  return `${uid}.msg`;
}

/** True for a name that is some message's hash directory. */
export function isHashDirectory(name: string): boolean {
  return /^\d{2,8}$/.test(name) && String(Number(name)).padStart(2, '0') === name && Number(name) <= 42_949_672;
}

/** The uid of a message file in the hash directory where it belongs; undefined for any other file. */
export function parseMessageFile(directory: string, file: string): number | undefined {
  const match = /^([1-9]\d{0,9})\.msg$/.exec(file);
  if (match === null) return undefined;
  const uid = Number(match[1]);
  return uid <= 0xffffffff && hashDirectory(uid) === directory ? uid : undefined;
}

/** Opens the directory of a mailbox below its partition; undefined when there is none. */
export function openMailboxDirectory(partition: Dir, uid: string, mailbox: string): Dir | undefined {
  return walkIfThere(partition, mailboxPathComponents(uid, mailbox));
}
