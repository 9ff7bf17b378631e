/**
 * Turns of the event loop. A reset works with synchronous calls, and a signal is answered between two turns only: a
 * loop that never ends one answers none, however many promises it awaits.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { checkSignal, type ResetContext } from './context.js';

/** How long a loop over messages may keep the event loop: people do not notice it, and the turns cost nothing. */
const LONGEST_MS = 50;

/** Of the event loop, which all resets of a process share. */
let lastMs = 0;

/** For loops over messages: asking is cheap, a promise for every message is not. */
export function isTurnDue(): boolean {
  return performance.now() - lastMs >= LONGEST_MS;
}

/** Lets signals be answered. */
export async function takeTurn(): Promise<void> {
  await nextTurn();
  lastMs = performance.now();
}

/**
 * Between two users, of most of whom nothing may be in 4.x, so that a turn costs more than the look at one: the same as
 * between two folders, when it is time.
 *
 * @throws MailhaulError HALTED (exit 4)
 */
export async function betweenUsers(context: ResetContext): Promise<void> {
  if (isTurnDue()) await takeTurn();
  checkSignal(context);
}

/**
 * Between two folders: lets signals be answered, and stops when one has asked for it.
 *
 * @throws MailhaulError HALTED (exit 4)
 */
export async function betweenFolders(context: ResetContext): Promise<void> {
  await takeTurn();
  checkSignal(context);
}
