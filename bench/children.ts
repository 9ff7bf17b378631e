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

export function throwWhenStopped(): void {
  if (stoppedBy !== undefined) throw new Error(`stopped by ${stoppedBy}`);
}

export interface Finished {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * @param limitMilliseconds what takes longer hangs: it is killed, and the benchmark fails instead of waiting for ever
 * @param started is told the process id
 */
export async function runChild(
  command: readonly string[],
  { env = process.env, limitMilliseconds = 60 * 60_000 }: { env?: NodeJS.ProcessEnv; limitMilliseconds?: number } = {},
  started: (pid: number) => void = () => undefined,
): Promise<Finished> {
  throwWhenStopped();
  const [file, ...args] = command;
  const child = spawn(file!, args, { env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  running.add(child);
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text;
  });
  const limit = setTimeout(() => kill(child), limitMilliseconds);
  try {
    const status = await new Promise<number | null>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', resolve);
      if (child.pid !== undefined) started(child.pid);
    });
    throwWhenStopped();
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
