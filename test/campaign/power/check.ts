/** What must hold on the disks that a power loss left, before and after the next run. */

import * as fs from 'node:fs';
import type { ListedMailbox } from '../../support/site.js';
import { fingerprint, originals, type Site, survivingContents } from '../support/kept-site.js';
import { leftByReset } from '../support/left-by-reset.js';
import type { Reader } from './reader.js';

/** A run that was not interrupted, and what a reader may have seen before and after it. */
export interface Golden {
  /** `fingerprint` of test/campaign/support/kept-site.ts. */
  readonly result: readonly string[];
  /** Names left in 3.x. */
  readonly originals: readonly string[];
  /** Of each mailbox, the dumps with which it may be NON-TRANSITION: the old one and the new one. */
  readonly published: ReadonlyMap<string, ReadonlySet<string>>;
  /** Contents of messages that may never be without a name. */
  readonly contents: ReadonlySet<string>;
  /** `progress` before the run and after it. */
  readonly ends: readonly string[];
  /** Of a reset: both stores when it has ended. */
  readonly reset: readonly string[] | undefined;
}

/**
 * What a reader may see of a published mailbox before the next run.
 *
 * - `whole`: the old messages, or the old and all new ones
 * - `growing`: the old messages and some of the new ones, by journal entries
 * - `nothing`: nobody may read
 */
export type Readable = 'whole' | 'growing' | 'nothing';

/** The published mailboxes with what `mboxutil --dump` says of their messages: contents, flags, structure. */
export async function publishedDumps(site: Site, reader: Reader): Promise<Map<string, string>> {
  const dumps = new Map<string, string>();
  const listed = linesOf(await mboxutil(site, reader, '-l')).map((line) => JSON.parse(line) as ListedMailbox);
  for (const { name, state } of listed) if (state === 'NON-TRANSITION') dumps.set(name, '');
  for (const line of linesOf(await mboxutil(site, reader, '--dump'))) {
    const { mailbox } = JSON.parse(line) as { mailbox: string };
    const before = dumps.get(mailbox);
    if (before !== undefined) dumps.set(mailbox, `${before}${line}\n`);
  }
  return dumps;
}

async function mboxutil(site: Site, reader: Reader, option: string): Promise<string> {
  const { status, stdout, stderr } = await reader.run('mboxutil', [option, '--json', '--instance', site.instance]);
  if (status !== 0) throw new Error(`mboxutil ${option} ended with ${status}: ${stderr.trim()}`);
  return stdout;
}

function linesOf(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}

/** Messages that are in neither store, by content. */
export function lostContents(site: Site, contents: ReadonlySet<string>): string[] {
  const surviving = survivingContents(site);
  return [...contents].filter((content) => !surviving.has(content));
}

/** What a reader of the 4.x store must not see. */
export async function checkPublished(
  site: Site,
  reader: Reader,
  golden: Golden,
  readable: Exclude<Readable, 'nothing'>,
): Promise<string[]> {
  let dumps: Map<string, string>;
  try {
    dumps = await publishedDumps(site, reader);
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  }
  const problems: string[] = [];
  for (const [mailbox, dump] of dumps) {
    const allowed = golden.published.get(mailbox) ?? new Set();
    const ok = allowed.has(dump) || (readable === 'growing' && isBetween(dump, [...allowed]));
    if (!ok) problems.push(`${mailbox} is NON-TRANSITION, but not with its messages`);
  }
  return problems;
}

/** All messages that a mailbox has before and after the run, and some of those that it has after it. */
function isBetween(dump: string, allowed: readonly string[]): boolean {
  const lines = linesOf(dump);
  const sets = allowed.map((text) => new Set(linesOf(text)));
  const common = [...(sets[0] ?? [])].filter((line) => sets.every((set) => set.has(line)));
  const found = new Set(lines);
  return common.every((line) => found.has(line)) && lines.every((line) => sets.some((set) => set.has(line)));
}

/** How many message files 3.x and each partition have: tells a run that is half done from one that is not. */
export function progress(site: Site): string {
  const migrated = site.partitions.map((partition) => {
    if (!fs.existsSync(partition)) return 0;
    return fs.readdirSync(partition, { recursive: true, encoding: 'latin1' }).filter((name) => name.endsWith('.msg'))
      .length;
  });
  return [originals(site).length, ...migrated].join(' ');
}

/** Both stores after a reset. The lock file goes with the store, and comes with a reset that finds nothing to do. */
export function afterReset(site: Site): string[] {
  return leftByReset(site).filter((line) => !line.includes('/lock/__lock.share '));
}

/** The end state, after the commands that bring the work to its end. */
export async function checkEnd(site: Site, reader: Reader, golden: Omit<Golden, 'published'>): Promise<string[]> {
  const problems: string[] = [];
  const lost = lostContents(site, golden.contents);
  if (lost.length > 0) problems.push(`${lost.length} messages are lost after the next run`);
  const end = await endState(site, reader);
  const difference = firstDifference(golden.result, end.result);
  if (difference !== undefined) problems.push(difference);
  if (end.originals.join('\n') !== golden.originals.join('\n')) problems.push('other 3.x files are left');
  const verified = await reader.run('upgrade', ['--verify', '--instance', site.instance]);
  if (verified.status !== 0) {
    problems.push(`--verify ended with ${verified.status}: ${verified.stdout}${verified.stderr}`);
  }
  return problems;
}

/** The end state as it is now. */
export async function endState(site: Site, reader: Reader): Promise<Pick<Golden, 'result' | 'originals'>> {
  return { result: fingerprint(site, await mboxutil(site, reader, '-l')), originals: originals(site) };
}

export function firstDifference(expected: readonly string[], actual: readonly string[]): string | undefined {
  const found = new Set(actual);
  const wanted = new Set(expected);
  const missing = expected.find((line) => !found.has(line));
  const extra = actual.find((line) => !wanted.has(line));
  if (missing === undefined && extra === undefined) return undefined;
  return `the result differs: expected ${missing ?? '(nothing)'}, found ${extra ?? '(nothing)'}`;
}
