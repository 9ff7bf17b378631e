/**
 * The limits of a run (`--bwlimit`, `--iops`, `--nice`): the main thread's side of fs/pace.ts and fs/priority.ts. They
 * come from the command line, and later from the control file (control.ts), which is looked at once a second.
 */
import { describeError } from '../errors.js';
import { makePace, pacedOf, setLimits } from '../fs/pace.js';
import { setIdle } from '../fs/priority.js';
import type { LogLevel } from '../log/log.js';
import { CONTROL_FILE, type ControlFile } from './control.js';
import { type LimitsChange, limitsText, NO_LIMITS, type RunLimits } from './limits.js';

/** Part of the `--json` object of `-m` and `-u`. */
export interface ThrottleReport extends RunLimits {
  /** How often the limits were changed while the run went on; what is in force at the end stands above. */
  readonly changes: number;
  /** Counted while there was a limit. */
  readonly bytes: number;
  readonly operations: number;
  /** How long threads waited because of it, added up. */
  readonly waitedSeconds: number;
}

const LOOK_MS = 1_000;

export type Tell = (level: LogLevel, line: string) => void;

export class Throttle {
  /** For the threads. */
  readonly pace = makePace();
  private limits = NO_LIMITS;
  private changes = 0;
  /** What could not be done, or read, and was told last. */
  private problems: readonly string[];
  private timer: NodeJS.Timeout | undefined;

  /** Before the threads start, which then have its priority. */
  constructor(limits: RunLimits) {
    this.problems = this.set(limits);
  }

  /** Changes the limits as the control file says, and tells of it. */
  watch(file: ControlFile, tell: Tell): void {
    for (const problem of this.problems) tell('Warning', problem);
    this.timer = setInterval(() => this.look(file, tell), LOOK_MS);
    this.timer.unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  /** Empty without limits. */
  text(): string {
    return limitsText(this.limits);
  }

  report(): ThrottleReport {
    return { ...this.limits, changes: this.changes, ...pacedOf(this.pace) };
  }

  /** The file was looked at. */
  look(file: ControlFile, tell: Tell): void {
    let change: LimitsChange | undefined;
    try {
      change = file.changed();
    } catch (error) {
      this.warn([describeError(error)], tell);
      return;
    }
    if (change === undefined) return;
    this.changes += 1;
    const problems = this.set({ ...this.limits, ...change });
    tell('Notice', `${CONTROL_FILE}: ${this.text() || 'no limit'} from now on`);
    this.warn(problems, tell);
  }

  /** Each second the same would fill the log. */
  private warn(problems: readonly string[], tell: Tell): void {
    for (const problem of problems) if (!this.problems.includes(problem)) tell('Warning', problem);
    this.problems = problems;
  }

  private set(limits: RunLimits): readonly string[] {
    const { nice } = this.limits;
    this.limits = limits;
    setLimits(this.pace, { bytes: limits.bwlimit, operations: limits.iops });
    return nice === limits.nice ? [] : setIdle(limits.nice);
  }
}
