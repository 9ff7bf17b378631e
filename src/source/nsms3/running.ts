/**
 * Whether the 3.x server runs: `NscpMail.pid`, decimal pid and newline (3x-profile.md, "Installation").
 * A file without a pid in it proves nothing, so it is `unknown` and refused like a running server: the
 * administrator, who can look, says `--pid-is-stale`.
 */
import { describeError, hasErrno, MailhaulError } from '../../errors.js';
import { type Dir, displayPath } from '../../fs/dir.js';
import { readFile } from '../../fs/file.js';
import type { ServerState } from '../types.js';
import { quoteBytes } from '../warnings.js';

const PID_FILE = 'NscpMail.pid';

/** Largest pid_t. */
const MAX_PID = 2 ** 31 - 1;

/** Looks at the pid file and at the process. Never throws. */
export function serverState(instance: Dir): ServerState {
  let content: Buffer | undefined;
  try {
    content = readFile(instance, PID_FILE, 4096);
  } catch (error) {
    return { kind: 'unknown', reason: describeError(error) };
  }
  if (content === undefined) return { kind: 'stopped' };
  const text = content.toString('latin1').trim();
  const pid = /^\d{1,10}$/.test(text) ? Number(text) : 0;
  if (pid < 1 || pid > MAX_PID) {
    const found = text === '' ? 'it is empty' : `it holds "${quoteBytes(content)}"`;
    return { kind: 'unknown', reason: `${PID_FILE} names no process: ${found}.` };
  }
  return isAlive(pid) ? { kind: 'running', pid } : { kind: 'stopped' };
}

function isAlive(pid: number): boolean {
  try {
    // Signal 0 only asks.
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: there is such a process, of another account.
    return !hasErrno(error, 'ESRCH');
  }
}

/** Throws SOURCE_RUNNING, or SOURCE_PID_FILE when it cannot be known (both exit 3); `pidIsStale` overrides. */
export function refuseWhileRunning(instance: Dir, state: ServerState, pidIsStale: boolean): void {
  if (state.kind === 'stopped' || pidIsStale) return;
  const where = displayPath(instance, PID_FILE);
  if (state.kind === 'running') {
    throw new MailhaulError('SOURCE_RUNNING', `The 3.x server is running (process ${state.pid}).`, {
      where,
      hint: 'Stop it first. If that process is not the 3.x server, use --pid-is-stale.',
    });
  }
  throw new MailhaulError('SOURCE_PID_FILE', `It cannot be known whether the 3.x server runs: ${state.reason}`, {
    where,
    hint: 'If it does not run, remove the file or use --pid-is-stale.',
  });
}
