/**
 * A gate: a flock that is waited for politely. Processes take turns before they enter a part of LMDB that would
 * make them wait inside LMDB, where a wait has no end and cannot be called off (environment.ts).
 *
 * The wait is a row of tries, so the event loop goes on; after `waitMs` without success it ends with DB_BUSY, which
 * names the process that is inside; from then on it is tried once only, until a try succeeds: a run that gives up has
 * more than one thing to write. The lock belongs to a descriptor: it ends with `leave`, or with the process.
 *
 * Leaving fails where flock(1) has to be started for it and cannot (EMFILE). That is no failure of what was done inside,
 * and keeps nobody of this process out: the descriptor still has the lock, who enters next takes it over and leaves.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { EXIT, MailhaulError } from '../errors.js';
import { tryFlock, unlock } from '../fs/flock.js';
import { describeHolder, flockPids, holdersText } from '../fs/holders.js';

/** How long a gate is waited for unless somebody says otherwise; milliseconds. */
export const GATE_WAIT_MS = 60_000;

/** The pauses between two tries: the first, and the longest. */
const FIRST_PAUSE_MS = 1;
const LONGEST_PAUSE_MS = 25;

export interface GateOptions {
  /** Whose lock it is. */
  readonly fd: number;
  readonly waitMs: number;
  /** Others that are inside without having passed the gate: pids, none when the way is free. */
  readonly others?: () => number[];
  /** What cannot be done, and where. */
  readonly what: string;
  readonly where: string;
}

export interface Gate {
  /**
   * Resolves inside, with the function that leaves, which never throws. Those of this process enter in the order of their
   * calls. `over` is asked before each try; it throws when there is nothing to wait for any more.
   */
  enter(over?: () => void): Promise<() => void>;
}

export function makeGate(options: GateOptions): Gate {
  let last: Promise<void> = Promise.resolve();
  let gaveUp = false;
  return {
    enter(over) {
      const before = last;
      let release = (): void => {};
      last = new Promise((resolve) => {
        release = resolve;
      });
      const leave = (): void => {
        letGo(options.fd);
        release();
      };
      return before
        .then(() => waitFor(options, gaveUp ? 0 : options.waitMs, over))
        .then(
          () => {
            gaveUp = false;
            return leave;
          },
          (error: unknown) => {
            gaveUp = true;
            // Who fails between lock and entry has it.
            letGo(options.fd);
            release();
            throw error;
          },
        );
    },
  };
}

function letGo(fd: number): void {
  try {
    unlock(fd);
  } catch {
    // Head comment.
  }
}

async function waitFor(options: GateOptions, waitMs: number, over?: () => void): Promise<void> {
  const { fd } = options;
  const untilMs = performance.now() + waitMs;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    over?.();
    let inside: number[] = [];
    if (tryFlock(fd, 'exclusive')) {
      inside = options.others?.() ?? [];
      if (inside.length === 0) return;
      unlock(fd);
    }
    // Looked at after the try: a process that was stopped itself finds its time over, and tries once more.
    if (performance.now() >= untilMs) throw busy(options, inside.length > 0 ? inside : flockPids(fd));
    await sleep(pauseMs);
  }
}

function busy({ what, where, waitMs }: GateOptions, pids: readonly number[]): MailhaulError {
  const by = holdersText(pids.map(describeHolder));
  return new MailhaulError('DB_BUSY', `${what}: for ${waitMs / 1000} s it was in use by ${by}.`, {
    where,
    exit: EXIT.halted,
    hint: 'Nothing was lost. Run the same command again when that process goes on or has ended.',
  });
}
