/**
 * Runs a command and measures it: wall-clock time, processor time and anonymous memory of its whole process tree, what
 * it read and wrote by system calls, and what the disks did meanwhile.
 */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { runChild } from './children.js';
import { type Device, type DeviceCounts, readCounts } from './devices.js';

/** At a moment of the run. Bytes since its start; `process` is what it read by calls, from memory or disk. */
export interface Point {
  readonly seconds: number;
  readonly process: number;
  readonly disks: readonly { readonly read: number; readonly written: number }[];
}

export interface DiskWork extends DeviceCounts {
  readonly name: string;
}

export interface Measured {
  readonly seconds: number;
  /** Until everything that was written is on the disk. */
  readonly secondsSynced: number;
  /** Highest sum of RssAnon over the process tree, bytes; 0 where /proc has none. */
  readonly peakAnonymous: number;
  /** Processor time of the process tree, user and system, to the last sample: comparable on a busy machine too. */
  readonly cpuSeconds: number;
  /** Bytes that it read by calls, to the last sample; 0 where /proc does not tell. */
  readonly bytesRead: number;
  readonly disks: readonly DiskWork[];
  readonly series: readonly Point[];
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const SAMPLE_MILLISECONDS = 20;
/** The series has a point every so many samples, and a longer distance the longer it gets. */
const SAMPLES_A_POINT = 5;
const MOST_POINTS = 600;

/**
 * Everything dirty is written out before the clock starts, so that no run pays for another's pages.
 *
 * @param syncPaths file systems whose sync, all at once, ends `secondsSynced`
 */
export async function measure(
  command: readonly string[],
  syncPaths: readonly string[],
  devices: readonly Device[] = [],
): Promise<Measured> {
  spawnSync('sync');
  const watch = new Watch(devices);
  const finished = await runChild(command, (pid) => watch.begin(pid)).finally(() => watch.end());
  const seconds = watch.seconds();
  await Promise.all(syncPaths.map((at) => runChild(['sync', '-f', at])));
  const { peakAnonymous, cpuSeconds, bytesRead, series } = watch;
  return {
    seconds,
    secondsSynced: watch.seconds(),
    peakAnonymous,
    cpuSeconds,
    bytesRead,
    disks: watch.diskWork(),
    series,
    ...finished,
  };
}

/** Looks at a process tree and at disks while it runs. */
class Watch {
  peakAnonymous = 0;
  cpuSeconds = 0;
  bytesRead = 0;
  series: Point[] = [];
  private readonly started = process.hrtime.bigint();
  private readonly before: Map<string, DeviceCounts>;
  private timer: NodeJS.Timeout | undefined;
  private samples = 0;
  private distance = SAMPLES_A_POINT;

  constructor(private readonly devices: readonly Device[]) {
    this.before = devices.length === 0 ? new Map() : readCounts();
  }

  begin(pid: number): void {
    this.timer = setInterval(() => this.sample(pid), SAMPLE_MILLISECONDS);
  }

  end(): void {
    clearInterval(this.timer);
  }

  seconds(): number {
    return Number(process.hrtime.bigint() - this.started) / 1e9;
  }

  diskWork(): DiskWork[] {
    const now = this.devices.length === 0 ? new Map<string, DeviceCounts>() : readCounts();
    return this.devices.map(({ name }) => ({ name, ...difference(now.get(name), this.before.get(name)) }));
  }

  private sample(pid: number): void {
    const tree = treeOf(pid);
    this.peakAnonymous = Math.max(this.peakAnonymous, tree.anonymous);
    this.cpuSeconds = Math.max(this.cpuSeconds, tree.cpuSeconds);
    this.bytesRead = Math.max(this.bytesRead, bytesReadBy(pid));
    if (this.samples++ % this.distance !== 0) return;
    const disks = this.diskWork().map(({ readBytes, writtenBytes }) => ({ read: readBytes, written: writtenBytes }));
    this.series.push({ seconds: this.seconds(), process: this.bytesRead, disks });
    if (this.series.length < MOST_POINTS) return;
    this.series = this.series.filter((_point, i) => i % 2 === 0);
    this.distance *= 2;
  }
}

function difference(now: DeviceCounts | undefined, before: DeviceCounts | undefined): DeviceCounts {
  const of = (key: keyof DeviceCounts) => (now?.[key] ?? 0) - (before?.[key] ?? 0);
  return { reads: of('reads'), readBytes: of('readBytes'), writes: of('writes'), writtenBytes: of('writtenBytes') };
}

/** Of the process and of its children that have ended (Linux, Documentation/filesystems/proc.rst, rchar). */
function bytesReadBy(pid: number): number {
  try {
    return Number(/^rchar: (\d+)/m.exec(fs.readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/** Linux counts processor time in these on every architecture that Node runs on (USER_HZ). */
const TICKS_PER_SECOND = 100;

function treeOf(root: number): { anonymous: number; cpuSeconds: number } {
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
