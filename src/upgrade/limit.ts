/**
 * How many tasks a device gets at a time, found by measuring: a single spindle is slower with four readers than with
 * one, a flash disk or a disk array answers dozens at once, and nobody knows from the outside which one it is.
 *
 *     throughput = mean number of tasks under way × work done ÷ time that threads spent on it      (Little's law)
 *
 * It is taken over windows of whole batches: those that began under the present limit. So it does not matter when a
 * window ends, and time in which the device had nothing to do, or other devices had the threads, does not count.
 *
 *     doubling   2, 4, 8 … while each step pays
 *     settled    now and then one more; one less when the level below was, lately, as good
 *
 * A step that did not pay is taken back, and the next attempt waits longer: a device that has settled is left alone.
 */

/** Batches of a window at least, and for each task under way: the mean of so many is steady enough to compare. */
const WINDOW_BATCHES = 4;
const WINDOW_BATCHES_EACH = 2;

/** What a step up has to bring: this share of what it would if the device answered in proportion, */
const SHARE_OF_GAIN = 0.15;
/** and at least this, or noise would raise the limit. */
const LEAST_GAIN = 1.05;
/** One less is as good when it does this share of the work. */
const AS_GOOD = 0.97;

/** Windows between attempts: first, and at most. */
const PATIENCE = 2;
const PATIENCE_AT_MOST = 16;
/** Windows for which a measurement counts: disks get slower, and neighbours busier. */
const REMEMBERED_WINDOWS = 12;

export class InFlightLimit {
  /** Tasks that may be under way; never below 1. */
  value: number;
  /** Counts the changes of `value`: what began under another one says nothing about this one. */
  version = 0;
  #atMost: number;
  readonly #measured: { readonly rate: number; readonly window: number }[] = [];
  /** The level that an attempt came from; undefined: none is under way. */
  #from: number | undefined;
  #doubles = true;
  #patience = PATIENCE;
  #pause = 0;
  #windows = 0;
  #active = 0;
  #activeSince = 0;
  /** Of the window: tasks × milliseconds, milliseconds with a task, and the batches done. */
  #area = 0;
  #busy = 0;
  #batches = 0;
  #units = 0;
  #threadMs = 0;

  constructor(start: number, atMost: number) {
    this.#atMost = Math.max(1, atMost);
    this.value = Math.max(1, Math.min(start, this.#atMost));
  }

  /** What was found so far: the level from which an attempt is under way, or the one in force. */
  get found(): number {
    return this.#from ?? this.value;
  }

  /** There will never be more threads than this. */
  capAt(atMost: number): void {
    if (atMost >= this.#atMost) return;
    this.#atMost = Math.max(1, atMost);
    if (this.#from !== undefined && this.#from > this.#atMost) this.#from = undefined;
    if (this.value > this.#atMost) this.#set(this.#atMost);
  }

  /** The number of tasks under way is now `count`. */
  activeNow(count: number, now: number): void {
    const passed = now - this.#activeSince;
    if (this.#active > 0) this.#busy += passed;
    this.#area += this.#active * passed;
    this.#active = count;
    this.#activeSince = now;
  }

  /** A batch is done that began under `version` and took threads `ms` milliseconds. */
  batchDone(version: number, units: number, ms: number, now: number): void {
    if (version !== this.version || units <= 0 || ms <= 0) return;
    this.#batches += 1;
    this.#units += units;
    this.#threadMs += ms;
    if (this.#batches < Math.max(WINDOW_BATCHES, WINDOW_BATCHES_EACH * this.value)) return;
    this.activeNow(this.#active, now);
    const concurrency = this.#busy > 0 ? this.#area / this.#busy : 0;
    this.#windows += 1;
    this.#decide(Math.round(concurrency), (concurrency * this.#units) / this.#threadMs);
    this.#clearWindow();
  }

  #decide(level: number, rate: number): void {
    const before = this.#rateOf(level);
    // A settled level follows its device; an attempt is compared as it is.
    const isSettled = this.#from === undefined && before !== undefined;
    this.#measured[level] = { rate: isSettled ? (rate + before) / 2 : rate, window: this.#windows };
    // Other devices had the threads: nothing is known about this limit.
    if (level < this.value) return;
    if (this.#from !== undefined) this.#judgeAttempt(this.#from, rate);
    else if (this.#lessIsAsGood(rate)) this.#settle(this.value - 1);
    else if (this.#pause > 0) this.#pause -= 1;
    else this.#tryMore();
  }

  #judgeAttempt(from: number, rate: number): void {
    const before = this.#rateOf(from);
    this.#from = undefined;
    if (before !== undefined && rate < before * neededGain(from, this.value)) {
      this.#doubles = false;
      this.#settle(from);
      return;
    }
    this.#patience = PATIENCE;
    this.#tryMore();
  }

  #lessIsAsGood(rate: number): boolean {
    const less = this.value > 1 ? this.#rateOf(this.value - 1) : undefined;
    return less !== undefined && less >= rate * AS_GOOD;
  }

  #settle(value: number): void {
    this.#set(value);
    this.#pause = this.#patience;
    this.#patience = Math.min(this.#patience * 2, PATIENCE_AT_MOST);
  }

  #tryMore(): void {
    if (this.value >= this.#atMost) return;
    this.#from = this.value;
    this.#set(Math.min(this.#atMost, this.#doubles ? this.value * 2 : this.value + 1));
  }

  #rateOf(level: number): number | undefined {
    const measured = this.#measured[level];
    return measured === undefined || this.#windows - measured.window > REMEMBERED_WINDOWS ? undefined : measured.rate;
  }

  #set(value: number): void {
    this.value = value;
    this.version += 1;
  }

  #clearWindow(): void {
    this.#area = 0;
    this.#busy = 0;
    this.#batches = 0;
    this.#units = 0;
    this.#threadMs = 0;
  }
}

/** How many times as much `to` tasks have to do as `from` did. */
function neededGain(from: number, to: number): number {
  return Math.max(LEAST_GAIN, 1 + SHARE_OF_GAIN * (to / from - 1));
}
