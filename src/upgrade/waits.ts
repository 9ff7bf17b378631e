/**
 * Whether the threads of this process wait for something else than a processor: a disk, or a lock of the kernel. Where they
 * are on a processor, or ready to be (others may have it), nearly all the time, more of them do not do more: a further
 * task has to bring 1.15 times as much (limit.ts), which nothing can where less than an eighth of the time is waiting. What
 * the main thread does counts as well: where all wait for that, further threads would, too. Where they wait for the limit
 * of the run (`--bwlimit`, `--iops`), which all share, more of them would as well.
 */
import { busyMs } from '../fs/threadTimes.js';

export interface ThreadWaits {
  /**
   * Whether that is so of `threads` threads, since this was asked first. False until a tenth of a second has passed; true
   * where nobody can know.
   */
  areLong(threads: number): boolean;
  /** Until it is asked again the threads may have nothing to do, which is no wait. */
  pause(): void;
  /** The next question is the first one. */
  restart(): void;
}

/** Milliseconds that are looked at; doubled while the answer stays no. */
const LOOK_MS = 100;
const LOOK_AT_MOST_MS = 2_000;
/** Waits are long from this share of the time on. */
const LONG = 0.2;
/** What was seen before a longer pause says nothing any more. */
const PAUSE_MS = 20;

export interface Times {
  now(): number;
  /** Milliseconds that threads were on a processor or ready for one, all together. */
  busy(): number;
}

const OF_THIS_PROCESS: Times = { now: () => performance.now(), busy: busyMs };

/** @param isHeldBack a limit that is no disk's holds the threads back now */
export function threadWaits(isHeldBack: () => boolean = () => false, times: Times = OF_THIS_PROCESS): ThreadWaits {
  let since: { at: number; readonly busy: number } | undefined;
  let pausedAt: number | undefined;
  let lookMs = LOOK_MS;
  const goOn = (at: number): void => {
    const paused = pausedAt === undefined ? 0 : at - pausedAt;
    pausedAt = undefined;
    if (paused > PAUSE_MS) since = undefined;
    else if (since !== undefined) since.at += paused;
  };
  return {
    areLong(threads) {
      const at = times.now();
      goOn(at);
      if (isHeldBack()) {
        // What was seen so far has that in it.
        since = undefined;
        return false;
      }
      if (since !== undefined && at - since.at < lookMs) return false;
      const busy = times.busy();
      const before = since;
      since = { at, busy };
      if (before === undefined) return false;
      if (busy - before.busy <= (1 - LONG) * threads * (at - before.at)) return true;
      lookMs = Math.min(LOOK_AT_MOST_MS, lookMs * 2);
      return false;
    },
    pause() {
      pausedAt ??= times.now();
    },
    restart() {
      since = undefined;
    },
  };
}
