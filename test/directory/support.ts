/** What the tests of this room share. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DirectoryOptions, openDirectory } from '../../src/directory/open.js';
import type { DirectoryItem, DirectoryUser, UserDirectory } from '../../src/directory/types.js';
import { MailhaulError } from '../../src/errors.js';

export const HOST = 'mail.airius.com';

/** Everything a directory yields; closes it. */
export async function allItems(directory: UserDirectory, signal?: AbortSignal): Promise<DirectoryItem[]> {
  const items: DirectoryItem[] = [];
  try {
    for await (const item of directory.users(signal)) items.push(item);
  } finally {
    await directory.close();
  }
  return items;
}

export function usersOf(items: readonly DirectoryItem[]): DirectoryUser[] {
  return items.filter((item): item is DirectoryUser => item.kind === 'user');
}

/** `code dn` of each problem. */
export function problemsOf(items: readonly DirectoryItem[]): string[] {
  return items.flatMap((item) => (item.kind === 'problem' ? [`${item.code} ${item.dn}`.trim()] : []));
}

/** Reads LDIF text as openDirectory reads a file. */
export async function readText(content: string | Uint8Array): Promise<DirectoryItem[]> {
  const directory = mkdtempSync(join(tmpdir(), 'mailhaul-ldif-'));
  try {
    const file = join(directory, 'users.ldif');
    writeFileSync(file, content);
    return await allItems(openDirectory({ location: file, hostName: HOST }));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The MailhaulError that reading ends with, and how many items came before it. */
export async function failureOf(options: DirectoryOptions): Promise<{ error: MailhaulError; items: number }> {
  const directory = openDirectory(options);
  let items = 0;
  try {
    for await (const _ of directory.users()) items += 1;
  } catch (error) {
    if (error instanceof MailhaulError) return { error, items };
    throw error;
  } finally {
    await directory.close();
  }
  throw new Error(`no failure after ${items} items`);
}

/** A plain LDIF record of a user of HOST. */
export function record(uid: string, more = '', dn = `uid=${uid},o=airius.com`): string {
  return (
    `dn: ${dn}\nobjectClass: mailRecipient\nuid: ${uid}\nmailHost: ${HOST}\n` +
    `mailDeliveryOption: mailbox\n${more}${more === '' || more.endsWith('\n') ? '' : '\n'}\n`
  );
}
