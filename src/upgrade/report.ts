/**
 * What a run of `-m` or `-u` did, counted as it goes: the final `--json` object (commands.md) and the exit
 * code. Errors beyond `ERRORS_KEPT` are counted and logged, not held in memory.
 */
import { type EngineTimes, METHOD } from '../engine/types.js';
import { EXIT, type ExitCode } from '../errors.js';
import { deviceName } from './device-name.js';
import type { DeviceUse } from './schedule-types.js';
import type { PrepareTimes } from './tasks.js';
import type { ThrottleReport } from './throttle.js';

export interface RunError {
  readonly user: string;
  /** 3.x folder path, UTF-8. */
  readonly folder: string;
  /** 3.x file name, '' when the error is about the folder. */
  readonly file: string;
  readonly code: string;
  readonly message: string;
}

/** Why a run stopped early; with it the exit code is 4. */
export interface Halt {
  readonly code: string;
  readonly message: string;
  /** The command that goes on. */
  resume?: string;
}

export type Side = 'source' | 'target';

/** A device that could not go on, once. */
export interface DeviceReport {
  readonly side: Side;
  /** Store path or partition path on which it showed. */
  readonly path: string;
  /** Partitions with folders that are left because of it. */
  readonly partitions: readonly string[];
  /** The system call that failed, and how (`ENOSPC`). */
  readonly call: string;
  readonly errno: string;
  readonly foldersLeft: number;
  /** 3.x folders that could not be read; 0 for a target. */
  readonly foldersUnreadable: number;
  /** Estimates of what is still to come to a target, and what is free there; null for a source or not known. */
  readonly bytesNeeded: number | null;
  readonly bytesFree: number | null;
  readonly filesNeeded: number | null;
  readonly filesFree: number | null;
  /** All of it in words, with what to do. */
  readonly message: string;
}

export interface PartitionTotals {
  readonly name: string;
  folders: number;
  messages: number;
  bytes: number;
}

/** How a device was used (schedule.ts). */
export interface DiskUse {
  /** Major and minor number as lsblk shows them; a path where it could not be opened. */
  readonly device: string;
  /** Its store paths and partitions. */
  readonly paths: readonly string[];
  /** Tasks at a time that measuring found best, at the end; `-t` caps it. */
  limit: number;
  /** Of folders that came from or went to it. */
  messages: number;
  bytes: number;
  /** Time in which at least one task was under way. */
  secondsBusy: number;
}

/** Fields may be added, never removed or renamed (the `--json` promise). */
/** Where the time went: seconds, summed over the threads, of the folders that were moved. */
export interface RunTimes {
  /** Listing 3.x directories and looking at their files; their indexes and the plan. */
  scan: number;
  plan: number;
  /** EngineTimes (engine/types.ts). */
  read: number;
  parse: number;
  place: number;
  index: number;
  /** Waiting until partitions were durable, and databases. */
  sync: number;
  database: number;
}

/** How messages came into 4.x. */
export interface Methods {
  rename: number;
  link: number;
  reflink: number;
  copy: number;
  rewrite: number;
}

/** From the file system of 3.x folders to that of their mailboxes: what they allow is found out for each pair. */
export interface RouteMethods {
  /** `8:17`, as lsblk shows it. */
  readonly source: string;
  readonly target: string;
  readonly methods: Methods;
}

export interface MessagesReport {
  readonly folders: { done: number; skipped: number; failed: number };
  readonly messages: { done: number; failed: number };
  bytes: number;
  seconds: number;
  /** Threads that there were at the end: `-t` at most. */
  threads: number;
  readonly engine: string;
  readonly times: RunTimes;
  readonly methods: Methods;
  readonly routes: RouteMethods[];
  readonly partitions: PartitionTotals[];
  readonly errors: RunError[];
  errorsNotListed: number;
  warnings: number;
  readonly removed: { messages: number; kept: number };
  /** Devices that stopped; each is in `errors` as well. */
  readonly devices: DeviceReport[];
  /** Every device that folders came from or went to. */
  readonly disks: DiskUse[];
  /** Null for a folder that a service migrates: somebody waits for it. */
  throttle: ThrottleReport | null;
  halted: Halt | null;
}

const ERRORS_KEPT = 10_000;

export function emptyReport(engine: string): MessagesReport {
  return {
    folders: { done: 0, skipped: 0, failed: 0 },
    messages: { done: 0, failed: 0 },
    bytes: 0,
    seconds: 0,
    threads: 0,
    engine,
    times: { scan: 0, plan: 0, read: 0, parse: 0, place: 0, index: 0, sync: 0, database: 0 },
    methods: noMethods(),
    routes: [],
    partitions: [],
    errors: [],
    errorsNotListed: 0,
    warnings: 0,
    removed: { messages: 0, kept: 0 },
    devices: [],
    disks: [],
    throttle: null,
    halted: null,
  };
}

function noMethods(): Methods {
  return { rename: 0, link: 0, reflink: 0, copy: 0, rewrite: 0 };
}

/** Runs `work` and counts its time; those that run at the same time are summed. */
export async function timed<T>(times: RunTimes, on: keyof RunTimes, work: () => Promise<T>): Promise<T> {
  const beganMs = performance.now();
  try {
    return await work();
  } finally {
    times[on] += (performance.now() - beganMs) / 1000;
  }
}

/** Counts where a folder's time went, milliseconds. */
export function addTimes(times: RunTimes, { scan, plan }: PrepareTimes, moved: EngineTimes): void {
  times.scan += scan / 1000;
  times.plan += plan / 1000;
  times.read += moved.read / 1000;
  times.parse += moved.parse / 1000;
  times.place += moved.place / 1000;
  times.index += moved.index / 1000;
}

export function addError(report: MessagesReport, error: RunError): void {
  if (report.errors.length < ERRORS_KEPT) report.errors.push(error);
  else report.errorsNotListed += 1;
}

/**
 * Counts a published folder. A linked message whose 3.x name then goes (`removing`) counts as `rename`:
 * that is what link and unlink amount to. One more name of a copy counts as `link`, whatever becomes of 3.x.
 *
 * @param source device of the 3.x folder; undefined: there is none
 * @param target device of the mailbox
 */
export function addMethods(
  report: MessagesReport,
  methods: Uint8Array,
  removing: boolean,
  source: bigint | undefined,
  target: bigint,
): number {
  const route = source === undefined ? undefined : routeMethods(report, deviceName(source), deviceName(target));
  // By number: each element that `for of` takes leaves an object behind (bytesOf of plan.ts).
  counts.fill(0);
  for (let i = 0; i < methods.length; i++) counts[methods[i]!]! += 1;
  let done = 0;
  for (let method = 0; method < counts.length; method++) {
    const count = counts[method]!;
    if (method === METHOD.failed || count === 0) continue;
    done += count;
    const name = methodName(method, removing, source === target);
    report.methods[name] += count;
    if (route !== undefined) route[name] += count;
  }
  return done;
}

/** Of the folder that is counted, by method, which is a byte. A run may have a hundred thousand folders of a few. */
const counts = new Uint32Array(256);

/** @param oneFileSystem tells how a message got there that an earlier attempt left */
function methodName(method: number, removing: boolean, oneFileSystem: boolean): keyof Methods {
  if (method === METHOD.link || (method === METHOD.adopted && oneFileSystem)) return removing ? 'rename' : 'link';
  if (method === METHOD.shared) return 'link';
  if (method === METHOD.reflink) return 'reflink';
  return method === METHOD.copy || method === METHOD.adopted ? 'copy' : 'rewrite';
}

function routeMethods({ routes }: MessagesReport, source: string, target: string): Methods {
  const known = routes.find((route) => route.source === source && route.target === target);
  if (known !== undefined) return known.methods;
  const methods = noMethods();
  routes.push({ source, target, methods });
  return methods;
}

export function partitionTotals(report: MessagesReport, name: string): PartitionTotals {
  const found = report.partitions.find((totals) => totals.name === name);
  if (found !== undefined) return found;
  const made = { name, folders: 0, messages: 0, bytes: 0 };
  report.partitions.push(made);
  return made;
}

/** Adds what the run, or its look at folders that were busy, made of a device. */
export function addDiskUse(report: MessagesReport, paths: Iterable<string> | undefined, use: DeviceUse): void {
  const { device, limit, messages, bytes, busyMs } = use;
  let disk = report.disks.find((known) => known.device === device);
  if (disk === undefined) {
    disk = { device, paths: [...(paths ?? [])], limit, messages: 0, bytes: 0, secondsBusy: 0 };
    report.disks.push(disk);
  }
  disk.messages += messages;
  disk.bytes += bytes;
  disk.secondsBusy = Math.round(disk.secondsBusy * 1000 + busyMs) / 1000;
}

export function exitCodeOf(report: MessagesReport): ExitCode {
  if (report.halted !== null) return EXIT.halted;
  return report.errors.length + report.errorsNotListed > 0 ? EXIT.partial : EXIT.ok;
}
