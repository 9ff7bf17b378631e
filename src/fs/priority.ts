/**
 * The priority of this process behind all others (`--nice`): niceness 19 and the I/O class idle.
 *
 * Linux keeps both by thread. A new thread has those of the thread that made it, so all threads that are there are set,
 * again and again until no new one has come meanwhile. Without the addon ionice(1) of util-linux sets the I/O class.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';
import { describeError, hasErrno } from '../errors.js';
import { loadAddon } from './addon.js';

const NICEST = 19;
/** Of the process before it was made nice. */
let before: number | undefined;

/** Sets both, or (false) gives both back; what could not be done, in words, is returned. */
export function setIdle(idle: boolean): string[] {
  before ??= getPriority();
  const niceness = idle ? NICEST : before;
  const problems = new Set<string>();
  const done = new Set<number>();
  for (;;) {
    const threads = threadsOf().filter((thread) => !done.has(thread));
    if (threads.length === 0) return [...problems];
    for (const thread of threads) {
      done.add(thread);
      note(problems, 'The niceness', () => setPriority(thread, niceness));
    }
    note(problems, 'The I/O class', () => setIoClass(threads, idle));
  }
}

function threadsOf(): number[] {
  try {
    return readdirSync('/proc/self/task').map(Number);
  } catch {
    return [process.pid];
  }
}

function setIoClass(threads: readonly number[], idle: boolean): void {
  const addon = loadAddon();
  if (addon !== undefined) {
    for (const thread of threads) ignoreGone(() => addon.setIoIdle(thread, idle));
    return;
  }
  const { error, status, stderr } = spawnSync('ionice', ['-t', '-c', idle ? '3' : '0', '-p', ...threads.map(String)], {
    encoding: 'utf8',
  });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`ionice(1): ${stderr.trim()}`);
}

/** A thread that ended meanwhile needs nothing any more. */
function ignoreGone(call: () => void): void {
  try {
    call();
  } catch (error) {
    if (!hasErrno(error, 'ESRCH')) throw error;
  }
}

function note(problems: Set<string>, what: string, call: () => void): void {
  try {
    ignoreGone(call);
  } catch (error) {
    // Node's own error of setPriority keeps the code one level deeper.
    const { info } = error as { info?: { code?: string } };
    const cause = info?.code ?? describeError(error);
    const advice = cause === 'EACCES' ? '; only root may lower it' : '';
    if (cause !== 'ESRCH') problems.add(`${what} stays as it is: ${cause}${advice}.`);
  }
}
