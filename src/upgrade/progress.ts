/**
 * Progress of a run: one line that is rewritten on a terminal, plain lines now and then elsewhere.
 *
 *     412/1,000 folders  81,220 messages  212.4 MB  106.2 MB/s  0:02 left  primary 300/700  sales 112/300  limit 20M/s
 *
 * Counters come from shared memory, so drawing costs the workers nothing.
 */
import { kilobytesOf } from '../engine/progress.js';
import { PROGRESS } from '../engine/types.js';
import { grouped } from './numbers.js';

export interface ProgressTotals {
  readonly folders: number;
  /** Estimate from the sizes of the 3.x indexes. */
  readonly messages: number;
  readonly folderCountByPartition: ReadonlyMap<string, number>;
}

export interface ProgressOutput {
  readonly isTerminal: boolean;
  /** Columns of the terminal. */
  readonly columns: number;
  write(text: string): void;
}

export interface Progress {
  folderDone(partition: string): void;
  /** One line for people; also what SIGUSR1 prints. */
  line(): string;
  stop(): void;
}

const TERMINAL_INTERVAL_MS = 200;
const PLAIN_INTERVAL_MS = 10_000;

export function startProgress(
  totals: ProgressTotals,
  counters: Int32Array,
  output: ProgressOutput | undefined,
  clock: () => number = () => performance.now(),
  limits: () => string = () => '',
): Progress {
  const startedMs = clock();
  const done = new Map<string, number>();
  let folders = 0;
  const line = (): string => {
    const text = describe(totals, counters, folders, done, (clock() - startedMs) / 1000);
    return limits() === '' ? text : `${text}  ${limits()}`;
  };
  const draw = (): void => {
    if (output === undefined) return;
    if (output.isTerminal) output.write(`\r\u001b[K${line().slice(0, Math.max(20, output.columns - 1))}`);
    else output.write(`${line()}\n`);
  };
  const timer =
    output === undefined ? undefined : setInterval(draw, output.isTerminal ? TERMINAL_INTERVAL_MS : PLAIN_INTERVAL_MS);
  timer?.unref();
  return {
    folderDone(partition) {
      folders += 1;
      done.set(partition, (done.get(partition) ?? 0) + 1);
    },
    line,
    stop() {
      clearInterval(timer);
      if (output?.isTerminal) output.write('\r\u001b[K');
    },
  };
}

function describe(
  totals: ProgressTotals,
  counters: Int32Array,
  folders: number,
  done: ReadonlyMap<string, number>,
  seconds: number,
): string {
  const messages = Atomics.load(counters, PROGRESS.messages);
  const megabytes = (kilobytesOf(counters) * 1024) / 1e6;
  // The estimate of messages is rough; the share of folders keeps it honest for small folders.
  const share = Math.max(ratio(messages, totals.messages), ratio(folders, totals.folders) * 0.5);
  const left = share > 0.01 && share < 1 ? clockText((seconds / share) * (1 - share)) : '–:––';
  const partitions = [...totals.folderCountByPartition].map(([name, all]) => `${name} ${done.get(name) ?? 0}/${all}`);
  return [
    `${grouped(folders)}/${grouped(totals.folders)} folders`,
    `${grouped(messages)} messages`,
    `${megabytes.toFixed(1)} MB`,
    `${(megabytes / Math.max(seconds, 0.001)).toFixed(1)} MB/s`,
    `${left} left`,
    ...(partitions.length > 1 ? partitions : []),
  ].join('  ');
}

function ratio(part: number, all: number): number {
  return all === 0 ? 0 : Math.min(1, part / all);
}

/** `2:05` for 125 s, `1:00:00` for an hour. */
export function clockText(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (value: number): string => String(value).padStart(2, '0');
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}
