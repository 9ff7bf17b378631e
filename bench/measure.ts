/** Runs a command and measures it: wall-clock time, and the anonymous memory of its whole process tree. */
import { spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';

const STOPS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export interface Measured {
  readonly seconds: number;
  /** Until everything that was written is on the disk. */
  readonly secondsSynced: number;
  /** Highest sum of RssAnon over the process tree, bytes; 0 where /proc has none. */
  readonly peakAnonymous: number;
  /** Processor time of the process tree, user and system, to the last sample: comparable on a busy machine too. */
  readonly cpuSeconds: number;
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const SAMPLE_MILLISECONDS = 20;
/** What takes longer hangs: it is killed, and the benchmark fails instead of waiting for ever. */
const LIMIT_MILLISECONDS = 30 * 60_000;

/**
 * Everything dirty is written out before the clock starts, so that no run pays for another's pages.
 *
 * @param syncPath file system whose sync ends `secondsSynced`
 * @param cold nothing of any file system is in memory when it starts; needs root
 */
export async function measure(
  command: readonly string[],
  syncPath: string,
  { cold = false, env = process.env }: { readonly cold?: boolean; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<Measured> {
  spawnSync('sync');
  // Page cache, directory entries and inodes (Linux, Documentation/admin-guide/sysctl/vm.rst, drop_caches).
  if (cold) fs.writeFileSync('/proc/sys/vm/drop_caches', '3');
  const [file, ...args] = command;
  const started = process.hrtime.bigint();
  const limit = { timeout: LIMIT_MILLISECONDS, killSignal: 'SIGKILL' } as const;
  const child = spawn(file!, args, { env, stdio: ['ignore', 'pipe', 'pipe'], ...limit });
  // A benchmark that is stopped must not leave a migration running on a file system that it then removes.
  const stop = () => void child.kill('SIGKILL');
  for (const signal of STOPS) process.on(signal, stop);
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text;
  });
  let peakAnonymous = 0;
  let cpuSeconds = 0;
  const timer = setInterval(() => {
    const tree = sample(child.pid!);
    peakAnonymous = Math.max(peakAnonymous, tree.anonymous);
    cpuSeconds = Math.max(cpuSeconds, tree.cpuSeconds);
  }, SAMPLE_MILLISECONDS);
  const status = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  clearInterval(timer);
  for (const signal of STOPS) process.off(signal, stop);
  const seconds = since(started);
  spawnSync('sync', ['-f', syncPath]);
  return { seconds, secondsSynced: since(started), peakAnonymous, cpuSeconds, status, ...output };
}

function since(start: bigint): number {
  return Number(process.hrtime.bigint() - start) / 1e9;
}

/** Linux counts processor time in these on every architecture that Node runs on (USER_HZ). */
const TICKS_PER_SECOND = 100;

/** RssAnon in bytes and processor time of a process and all its descendants. */
function sample(root: number): { anonymous: number; cpuSeconds: number } {
  let anonymous = 0;
  let ticks = 0;
  const open = [root];
  while (open.length > 0) {
    const pid = open.pop()!;
    try {
      const status = fs.readFileSync(`/proc/${pid}/status`, 'utf8');
      anonymous += Number(/^RssAnon:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
      // After the name in brackets, which may hold anything: state is field 3, utime to cstime are 14 to 17.
      const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\)/s, '').trim().split(' ');
      ticks += fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
      for (const task of fs.readdirSync(`/proc/${pid}/task`)) {
        const children = fs.readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim();
        if (children !== '') open.push(...children.split(' ').map(Number));
      }
    } catch {
      // The process, or one of its threads, ended between two reads.
    }
  }
  return { anonymous, cpuSeconds: ticks / TICKS_PER_SECOND };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
