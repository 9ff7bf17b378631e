/**
 * The Damage table of 3x-profile.md, row by row, through the real commands: every row is one folder of a store made by
 * hand, of a user of its own.
 */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { type HandSite, handSite, MAIL, type Mailbox, type Message } from './hand-site.js';

/** Modification time of message files and internal date of index lines: different, so that it shows which counts. */
export const FILE_TIME = 900_000_000;
export const LINE_TIME = 850_000_000;
export const UIDVALIDITY = 77;

export const line = (
  uid: number | string,
  name: string,
  rest: { date?: string; flags?: string; size?: number } = {},
): string =>
  `${uid} ${rest.date ?? LINE_TIME} ${rest.flags ?? '-'} ${rest.size ?? Buffer.byteLength(MAIL(name))} ${name}\n`;
export const header = (uidnext: number, uidvalidity = UIDVALIDITY): string => `NSMB 3 ${uidvalidity} ${uidnext}\n`;
export const sha256 = (content: string): string => createHash('sha256').update(content).digest('hex');
export const subject = (name: string): string => sha256(MAIL(name));

/** What a row's folder became. */
export interface Became {
  readonly mailbox: Mailbox;
  readonly messages: readonly Message[];
  /** Its lines of the log. */
  readonly log: string;
  readonly directory: string;
  /** Seconds; when `-s` began and ended. */
  readonly started: number;
  readonly ended: number;
}

export interface Row {
  readonly row: string;
  /** Fills the folder; returns the content of `.mailbox`, or null for none. */
  make(directory: string): string | null;
  check(became: Became): void;
}

/** uid, name of the message (by content), flags, internal date. */
export function shown(became: Became, names: readonly string[]): [number, string | undefined, string, number][] {
  return became.messages.map(({ uid, sha256: digest, flags, internaldate }) => [
    uid,
    names.find((name) => subject(name) === digest),
    [...flags].sort().join(' '),
    internaldate,
  ]);
}

/** One user a row: `row0` … with the folder INBOX. */
export const userOf = (index: number): string => `row${index}`;

export function makeRows(rows: readonly Row[]): HandSite {
  const site = handSite();
  rows.forEach((row, index) => {
    site.store.user(userOf(index));
    const directory = site.store.folder(site.store.mailbox, userOf(index), 'INBOX', null);
    const content = row.make(directory);
    if (content !== null) fs.writeFileSync(path.join(directory, '.mailbox'), content);
  });
  site.store.finish();
  return site;
}

export const inbox = (site: HandSite, index: number): string => path.join(site.store.mailbox, userOf(index), 'INBOX');
export const ofUser = (log: string, user: string): string =>
  log
    .split('\n')
    .filter((text) => text.includes(`user/${user}/`) || text.includes(`${user}, `) || text.includes(`${user}: `))
    .join('\n');

/** All that `mboxutil` and the log say, read once. */
export interface Seen {
  readonly mailboxes: readonly Mailbox[];
  readonly messages: readonly Message[];
  readonly log: string;
}

export const look = (site: HandSite): Seen => ({ mailboxes: site.mailboxes(), messages: site.dump(), log: site.log() });

/** uid and digest of the messages of a row's INBOX. */
export const inboxOf = (seen: Seen, index: number): (readonly [number, string])[] =>
  seen.messages
    .filter(({ mailbox }) => mailbox === `user/${userOf(index)}/INBOX`)
    .map(({ uid, sha256: digest }) => [uid, digest] as const);

export function mailboxOf(seen: Seen, index: number): Mailbox {
  const found = seen.mailboxes.find(({ name }) => name === `user/${userOf(index)}/INBOX`);
  if (found === undefined) throw new Error(`user/${userOf(index)}/INBOX is not in the list`);
  return found;
}

export const seconds = (): number => Math.floor(Date.now() / 1000);
