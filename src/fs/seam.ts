/**
 * The seam: every call with an effect on disk passes `effect()` just before it happens.
 *
 * In production the cost is one comparison. With `MAILHAUL_FAULT` set, the calls of all threads of the
 * process, and of the native addon, are counted in one shared counter, and the n-th is stopped or fails:
 *
 *     MAILHAUL_FAULT=count:<file>       count only; the total is written to <file> when the process ends
 *     MAILHAUL_FAULT=kill:<n>           SIGKILL to the own process instead of the n-th call (1-based)
 *     MAILHAUL_FAULT=stop:<n>           SIGSTOP to the own process before the n-th call, which is made after SIGCONT
 *     MAILHAUL_FAULT=<either>:<n>:commit  the same at the n-th database commit
 *     MAILHAUL_FAULT=fail:<n>:<ERRNO>   the n-th call throws <ERRNO> instead of being made
 *
 * The kill campaign (test/campaign/kill) walks n over every effective call of a run.
 */
import { openSync, writeSync } from 'node:fs';
import { constants as osConstants } from 'node:os';

/** Kinds of effective calls, as they appear in traces. */
export type Effect =
  | 'link'
  | 'unlink'
  | 'rename'
  | 'mkdir'
  | 'create'
  | 'write'
  | 'truncate'
  | 'sync'
  | 'chown'
  | 'chmod'
  | 'commit';

export interface FaultPlan {
  readonly mode: 'count' | 'kill' | 'stop' | 'fail';
  /** 1-based number of the call that is hit; 0 for none. */
  readonly at: number;
  /** Only commits count, which are made in TypeScript. */
  readonly onlyCommits?: boolean;
  /** Positive errno for `fail`. */
  readonly errno: number;
  /** `count`: where the total goes. */
  readonly report: string;
}

/** Counter shared by all threads; slot 0 counts calls, slot 1 commits where only those count. */
let counter: Int32Array | undefined;
let plan: FaultPlan | undefined;

/** Reads `MAILHAUL_FAULT`; undefined when unset. Throws RangeError for a value it cannot read. */
export function parseFaultPlan(text: string | undefined): FaultPlan | undefined {
  if (text === undefined || text === '') return undefined;
  const [mode, first = '', second = ''] = text.split(':');
  if (mode === 'count') return { mode, at: 0, errno: 0, report: text.slice('count:'.length) };
  const at = Number(first);
  if (!Number.isInteger(at) || at < 1) throw new RangeError(`MAILHAUL_FAULT: bad call number in ${text}`);
  if ((mode === 'kill' || mode === 'stop') && second === 'commit') {
    return { mode, at, onlyCommits: true, errno: 0, report: '' };
  }
  if (mode === 'kill' || mode === 'stop') return { mode, at, errno: 0, report: '' };
  const errno = (osConstants.errno as Record<string, number>)[second];
  if (mode !== 'fail' || errno === undefined) throw new RangeError(`MAILHAUL_FAULT: cannot read ${text}`);
  return { mode, at, errno, report: '' };
}

/** Arms the seam of this thread. The main thread makes the counter; workers are handed it. */
export function armFaults(newPlan: FaultPlan | undefined, shared?: Int32Array): Int32Array | undefined {
  plan = newPlan;
  counter = newPlan === undefined ? undefined : (shared ?? new Int32Array(new SharedArrayBuffer(64)));
  if (newPlan?.mode === 'count' && shared === undefined && counter !== undefined) {
    const calls = counter;
    // Opened now: the process may become the server account, which cannot write there.
    const report = openSync(newPlan.report, 'w');
    process.once('exit', () => writeSync(report, `${Atomics.load(calls, 0)}\n`));
  }
  return counter;
}

/** The armed plan and counter of this thread, to hand to workers and to the addon. */
export function armedFaults(): { plan: FaultPlan; counter: Int32Array } | undefined {
  return plan !== undefined && counter !== undefined ? { plan, counter } : undefined;
}

/** Called right before every call with an effect. May throw or end the process when armed. */
export function effect(kind: Effect): void {
  if (counter !== undefined) hit(kind);
}

function hit(kind: Effect): void {
  if (counter === undefined || plan === undefined) return;
  if (plan.onlyCommits === true && kind !== 'commit') return;
  const n = Atomics.add(counter, plan.onlyCommits === true ? 1 : 0, 1) + 1;
  if (n !== plan.at) return;
  if (plan.mode === 'kill') {
    process.kill(process.pid, 'SIGKILL');
    // SIGKILL to oneself may be delivered a moment later: nothing may happen in between.
    for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  }
  if (plan.mode === 'stop') process.kill(process.pid, 'SIGSTOP');
  if (plan.mode === 'fail') throw injected(kind, plan.errno);
}

function injected(kind: Effect, errno: number): NodeJS.ErrnoException {
  const name = Object.entries(osConstants.errno).find(([, value]) => value === errno)?.[0] ?? 'EIO';
  const error: NodeJS.ErrnoException = new Error(`${name}: injected, ${kind}`);
  error.code = name;
  error.errno = -errno;
  error.syscall = kind;
  return error;
}
