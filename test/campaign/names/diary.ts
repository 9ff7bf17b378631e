/**
 * The diary of a worker (worker.mjs): lines of JSON with the time of the machine's monotonic clock, nanoseconds. Each step
 * has a line before it and another when it has succeeded. Names are written within the transaction that changes them, what
 * is done to mail under the lock of the mailbox, so that the order of the times is the order in which it happened.
 * Mailboxes go by their uidvalidity, which no other has and which no rename changes.
 */
import * as fs from 'node:fs';
import type { Task } from './order.js';

/** `name` null: deleted. */
export interface NameFact {
  readonly v: number;
  readonly name: string | null;
}

export type Line = { readonly t: number } & (
  | { readonly k: 'begin'; readonly task: Task }
  | { readonly k: 'end'; readonly code: string; readonly text?: string }
  | { readonly k: 'done' }
  | { readonly k: 'names'; readonly n: number; readonly names: readonly NameFact[] }
  | { readonly k: 'named'; readonly n: number }
  | {
      readonly k: 'append' | 'appended';
      readonly v: number;
      readonly uid: number;
      readonly sha256: string;
      readonly flags: number;
    }
  | { readonly k: 'flag' | 'flagged'; readonly v: number; readonly uid: number; readonly flags: number }
  | { readonly k: 'expunge' | 'expunged'; readonly v: number; readonly uid: number }
);

/** A line that a kill cut off is none. */
export function readDiary(file: string): Line[] {
  if (!fs.existsSync(file)) return [];
  return fs
    .readFileSync(file, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Line);
}

/** Codes that a service has to expect, whatever others do. */
const EXPECTED: ReadonlySet<string> = new Set([
  'ok',
  'MAILBOX_BUSY',
  'MAILBOX_EXISTS',
  'MAILBOX_INBOX',
  'MAILBOX_TRANSITION',
  'NAME_INVALID',
  'NO_MAILBOX',
]);

export interface Answers {
  readonly codes: ReadonlyMap<string, number>;
  readonly problems: readonly string[];
}

/** What the operations of a diary ended with. */
export function answersOf(lines: readonly Line[]): Answers {
  const codes = new Map<string, number>();
  const problems: string[] = [];
  let told = '';
  for (const line of lines) {
    if (line.k === 'begin') told = describeTask(line.task);
    if (line.k !== 'end') continue;
    codes.set(line.code, (codes.get(line.code) ?? 0) + 1);
    if (!EXPECTED.has(line.code)) problems.push(`${told} ended with ${line.code}: ${line.text}`);
  }
  return { codes, problems };
}

export function describeTask(task: Task): string {
  if (task.op === 'rename') return `rename ${task.name} to ${task.to}`;
  if (task.op === 'create') return `create ${task.name} in ${task.partition}`;
  return `${task.op} ${task.name}`;
}
