/** Runs a command and measures it: wall-clock time, and the anonymous memory of its whole process tree. */
import { spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';

export interface Measured {
  readonly seconds: number;
  /** Until everything that was written is on the disk. */
  readonly secondsSynced: number;
  /** Highest sum of RssAnon over the process tree, bytes; 0 where /proc has none. */
  readonly peakAnonymous: number;
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const SAMPLE_MILLISECONDS = 20;

/**
 * Everything dirty is written out before the clock starts, so that no run pays for another's pages.
 *
 * @param syncPath file system whose sync ends `secondsSynced`
 */
export async function measure(
  command: readonly string[],
  syncPath: string,
  env: NodeJS.ProcessEnv = process.env,
): Promise<Measured> {
  spawnSync('sync');
  const [file, ...args] = command;
  const started = process.hrtime.bigint();
  const child = spawn(file!, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text;
  });
  let peakAnonymous = 0;
  const timer = setInterval(() => {
    peakAnonymous = Math.max(peakAnonymous, anonymousMemory(child.pid!));
  }, SAMPLE_MILLISECONDS);
  const status = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  clearInterval(timer);
  const seconds = since(started);
  spawnSync('sync', ['-f', syncPath]);
  return { seconds, secondsSynced: since(started), peakAnonymous, status, ...output };
}

function since(start: bigint): number {
  return Number(process.hrtime.bigint() - start) / 1e9;
}

/** Bytes of RssAnon of a process and all its descendants. */
function anonymousMemory(root: number): number {
  let sum = 0;
  const open = [root];
  while (open.length > 0) {
    const pid = open.pop()!;
    try {
      const status = fs.readFileSync(`/proc/${pid}/status`, 'utf8');
      sum += Number(/^RssAnon:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
      for (const task of fs.readdirSync(`/proc/${pid}/task`)) {
        const children = fs.readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim();
        if (children !== '') open.push(...children.split(' ').map(Number));
      }
    } catch {
      // The process, or one of its threads, ended between two reads.
    }
  }
  return sum;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
