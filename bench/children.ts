/**
 * Child processes of the benchmark. Each leads a process group of its own, so that a stop (SIGINT, SIGTERM, SIGHUP)
 * ends all that it started: a migration must not go on upon a file system that is about to be removed. After a stop
 * the run unwinds as after an error, and what it mounted and made is removed on the way.
 */
import { type ChildProcess, spawn } from 'node:child_process';

const running = new Set<ChildProcess>();
let stoppedBy: NodeJS.Signals | undefined;

export function answerSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      stoppedBy = signal;
      for (const child of running) kill(child);
    });
  }
}

function throwWhenStopped(): void {
  if (stoppedBy !== undefined) throw new Error(`stopped by ${stoppedBy}`);
}

/** A row of a hundred million messages on a spindle takes hours. What takes longer hangs. */
const LIMIT_HOURS = 24;

export interface Finished {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Node reads what this variable names before it runs anything, 90 ms for the certificates of a Linux distribution: it is
 * set where traffic goes through a proxy that has one of its own, and no command here asks a server for anything.
 */
const IDLE_VARIABLE = 'NODE_EXTRA_CA_CERTS';

/** @param started is told the process id */
export async function runChild(
  command: readonly string[],
  started: (pid: number) => void = () => undefined,
): Promise<Finished> {
  throwWhenStopped();
  const [file, ...args] = command;
  const { [IDLE_VARIABLE]: _idle, ...env } = process.env;
  const child = spawn(file!, args, { env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  running.add(child);
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text;
  });
  let timedOut = false;
  const limit = setTimeout(() => {
    timedOut = true;
    kill(child);
  }, LIMIT_HOURS * 3_600_000);
  try {
    const status = await new Promise<number | null>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', resolve);
      if (child.pid !== undefined) started(child.pid);
    });
    throwWhenStopped();
    if (timedOut) throw new Error(`killed after ${LIMIT_HOURS} hours: ${command.join(' ')}`);
    return { status, ...output };
  } finally {
    clearTimeout(limit);
    running.delete(child);
  }
}

function kill({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has just ended.
  }
}
