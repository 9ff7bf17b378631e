/**
 * Trouble with a device, once per device: a full, read-only or broken target, or a 3.x disk that cannot be read any
 * more, stops the folders of that device; the others go on, and the run ends with exit 4. So does a device that is lost:
 * a network or FUSE file system whose server does not answer.
 *
 *     process   EMFILE, ENFILE, ENOMEM              halts the run (run.ts)
 *     target    ENOSPC, EDQUOT, EROFS, and those    stops what goes to this device
 *               of a source
 *     source    EIO, EUCLEAN, ESTALE, ENOTCONN …    stops what comes from this device, after SOURCE_STRIKES folders in
 *                                                   a row: one bad block or directory is the failure of one folder
 *
 * Invariants. A device that is stopped gets no new folder in this process. What was moved to it before may still be
 * published, but only after a sync that succeeded; a sync that failed is never made again (design.md). The report and
 * the log get one entry a device.
 */
import { constants as osConstants } from 'node:os';
import { errnoName } from '../errors.js';
import { type Dir, fstat, statfs } from '../fs/dir.js';
import type { DeviceReport, Side } from './report.js';
import { folderFailed, folderProblem, type Run } from './run.js';
import { storePathOf } from './selection.js';
import { contentSpace, filesOf, indexSpace } from './space.js';
import type { FolderFailure, Trouble } from './tasks.js';
import type { MappingFolder } from './types.js';
import { estimateMessages } from './worklist.js';

/** Folders in a row that cannot be read before their disk counts as dead. */
const SOURCE_STRIKES = 3;

const { ENOTCONN, ETIMEDOUT } = osConstants.errno;

/** Nothing on such a device can be read again: no strikes are counted. ESHUTDOWN, EHOSTDOWN are 108, 112. */
const GONE: readonly number[] = [ENOTCONN, ETIMEDOUT, 108, 112];

/** A failed folder that is not reported yet: it may turn out to be the first of a dead disk. */
interface Strike {
  readonly folder: MappingFolder;
  readonly failure: FolderFailure;
}

/** Device of a root that could not be opened. */
const NOT_HELD = -1n;

interface StoppedDevice {
  readonly side: Side;
  readonly dev: bigint;
  /** Store path or partition on which it showed. */
  readonly path: string;
  readonly call: string;
  readonly errno: number;
  /** 3.x folders that could not be read; 0 for a target. */
  strikes: number;
}

/** 3.x files that `-r` could not remove because of their disk. */
interface RefusedRemovals {
  readonly folder: MappingFolder;
  readonly path: string;
  readonly errno: number;
  folders: number;
  files: number;
}

/** Folders that still have to go from one store path to one partition path. */
export interface Workload {
  /** In the order of the first folders. */
  readonly number: number;
  readonly storePath: string;
  readonly rootPath: string;
  readonly partition: string;
  folders: number;
  /** Estimate from the sizes of the 3.x indexes. */
  messages: number;
  /** Those of them that were never attempted: nothing of them is there yet. Not counted down. */
  readonly fresh: { folders: number; messages: number };
}

/** What a run knows about its devices. */
export interface Troubles {
  readonly stopped: StoppedDevice[];
  /** Devices whose sync failed: nothing more is published there. */
  readonly unsynced: Set<bigint>;
  /** By 3.x device: folders in a row that could not be read. */
  readonly strikes: Map<bigint, Strike[]>;
  /** By 3.x device: folders in a row of which no message could be read. */
  readonly unreadable: Map<bigint, number>;
  /** By 3.x device. */
  readonly removals: Map<bigint, RefusedRemovals>;
  /** By store path and partition path. */
  readonly work: Map<string, Workload>;
  /** Plans made so far: the mean size of messages for what is still to come. */
  readonly planned: { messages: number; bytes: number };
}

export function noTroubles(work: Map<string, Workload> = new Map()): Troubles {
  return {
    stopped: [],
    unsynced: new Set(),
    strikes: new Map(),
    unreadable: new Map(),
    removals: new Map(),
    work,
    planned: { messages: 0, bytes: 0 },
  };
}

function workKey(storePath: string, rootPath: string): string {
  return `${storePath}\n${rootPath}`;
}

/** Counts a folder that is due; returns the number of its workload. */
export function addWork(
  work: Map<string, Workload>,
  storePath: string,
  rootPath: string,
  folder: MappingFolder,
): number {
  const key = workKey(storePath, rootPath);
  let known = work.get(key);
  if (known === undefined) {
    known = {
      number: work.size,
      storePath,
      rootPath,
      partition: folder.partition,
      folders: 0,
      messages: 0,
      fresh: { folders: 0, messages: 0 },
    };
    work.set(key, known);
  }
  const messages = estimateMessages(folder);
  known.folders += 1;
  known.messages += messages;
  if (folder.attempts === 0) {
    known.fresh.folders += 1;
    known.fresh.messages += messages;
  }
  return known.number;
}

/** Device of a held root; undefined when it is not held. */
function deviceOf(run: Run, side: Side, path: string): bigint | undefined {
  if (side === 'target') return run.roots.partitions.get(path)?.dev;
  const held = run.roots.stores.get(path);
  return held === undefined ? undefined : fstat(held).dev;
}

/** Stops the device that holds `path`. The first cause of a device is kept and logged. */
export function stopDevice(run: Run, path: string, trouble: Trouble, strikes = 0): void {
  const side = trouble.side;
  const dev = deviceOf(run, side, path) ?? NOT_HELD;
  const same = (known: StoppedDevice) => known.side === side && known.dev === dev;
  if (run.troubles.stopped.some((known) => same(known) && (dev !== NOT_HELD || known.path === path))) return;
  const stopped: StoppedDevice = { side, dev, path, call: trouble.call, errno: trouble.errno, strikes };
  run.troubles.stopped.push(stopped);
  try {
    run.log.write('Store', 'Error', `${DEVICE_CODE[side]}: ${deviceReport(run, stopped).message}`);
  } catch {
    // The full disk may hold the log, too; the report has it.
  }
}

const DEVICE_CODE: Readonly<Record<Side, string>> = { target: 'DEVICE_HALT', source: 'SOURCE_HALT' };

/** Whether the folder lies on, or goes to, a device that is stopped. */
export function isStopped(run: Run, folder: MappingFolder): boolean {
  if (run.troubles.stopped.length === 0) return false;
  const user = run.mapping.user(folder.uid);
  const root = folder.root ?? run.partitionPath(folder.partition);
  return isPathStopped(run, 'target', root) || (user !== undefined && isPathStopped(run, 'source', user.storePath));
}

export function isPathStopped(run: Run, side: Side, path: string): boolean {
  const ofSide = run.troubles.stopped.filter((known) => known.side === side);
  if (ofSide.length === 0) return false;
  const dev = deviceOf(run, side, path);
  // What is not held yet is opened when its folder comes; a root that could not be has no device, and one path.
  return ofSide.some((known) => (dev === undefined ? known.path === path : known.dev === dev));
}

/**
 * A folder whose 3.x directory, or not one of whose messages, could be read because of the device. It is reported as
 * failed unless its disk turns out to be dead; then the disk is reported.
 */
export function sourceStrike(run: Run, storePath: string, strike: Strike, trouble: Trouble): void {
  const dev = deviceOf(run, 'source', storePath) ?? -1n;
  const row = run.troubles.strikes.get(dev) ?? [];
  row.push(strike);
  run.troubles.strikes.set(dev, row);
  const stopped = run.troubles.stopped.find((known) => known.side === 'source' && known.dev === dev);
  if (stopped !== undefined) {
    stopped.strikes += 1;
    return;
  }
  if (row.length < SOURCE_STRIKES && !GONE.includes(trouble.errno)) return;
  stopDevice(run, storePath, trouble, row.length);
}

/**
 * Counts a folder with messages of which none could be read, because of the device. False when its disk counts as dead
 * with it: then these are no failures of single messages.
 */
export function countUnreadable(run: Run, storePath: string, trouble: Trouble): boolean {
  const dev = deviceOf(run, 'source', storePath) ?? -1n;
  const count = (run.troubles.unreadable.get(dev) ?? 0) + 1;
  run.troubles.unreadable.set(dev, count);
  if (count < SOURCE_STRIKES) return true;
  stopDevice(run, storePath, trouble, count);
  return false;
}

/** Messages of this store path could be read. */
export function messagesReadable(run: Run, storePath: string): void {
  if (run.troubles.unreadable.size > 0) run.troubles.unreadable.delete(deviceOf(run, 'source', storePath) ?? -1n);
}

/** A folder of this store path could be read: what failed before were failures of single folders. */
export function sourceWorks(run: Run, storePath: string): void {
  if (run.troubles.strikes.size === 0) return;
  const dev = deviceOf(run, 'source', storePath);
  if (dev !== undefined) reportStrikes(run, dev);
}

function reportStrikes(run: Run, dev: bigint): void {
  const row = run.troubles.strikes.get(dev) ?? [];
  run.troubles.strikes.delete(dev);
  if (run.troubles.stopped.some((known) => known.side === 'source' && known.dev === dev)) return;
  for (const { folder, failure } of row) folderFailed(run, folder, failure);
}

/** Originals of a folder that stay because of their disk; reported at the end, once a disk. */
export function removalRefused(run: Run, folder: MappingFolder, errno: number, files: number): void {
  const path = storePathOf(run.mapping, folder);
  const dev = deviceOf(run, 'source', path) ?? -1n;
  const known = run.troubles.removals.get(dev);
  if (known === undefined) run.troubles.removals.set(dev, { folder, path, errno, folders: 1, files });
  else {
    known.folders += 1;
    known.files += files;
  }
}

function reportRemovals(run: Run): void {
  for (const { folder, path, errno, folders, files } of run.troubles.removals.values()) {
    const message =
      `${files} 3.x files of ${folders} folder${folders === 1 ? '' : 's'} below ${path} cannot be removed ` +
      `(${errnoName(errno)}) and stay. The folders are migrated; a later -m -r removes the files.`;
    folderProblem(run, folder, 'ORIGINALS_NOT_REMOVED', message);
  }
  run.troubles.removals.clear();
}

/** One folder less to do. */
export function workDone(run: Run, folder: MappingFolder): void {
  const storePath = storePathOf(run.mapping, folder);
  const work = run.troubles.work.get(workKey(storePath, folder.root ?? ''));
  if (work === undefined) return;
  work.folders = Math.max(0, work.folders - 1);
  work.messages = Math.max(0, work.messages - estimateMessages(folder));
}

/** What is known about a stopped device now, with a sentence for people. */
function deviceReport(run: Run, stopped: StoppedDevice): DeviceReport {
  const { side, path, call, strikes } = stopped;
  const mine = [...run.troubles.work.values()].filter((work) => {
    const at = side === 'target' ? work.rootPath : work.storePath;
    return at === path || deviceOf(run, side, at) === stopped.dev;
  });
  const foldersLeft = mine.reduce((sum, work) => sum + work.folders, 0);
  const need = side === 'target' ? needOf(run, mine) : undefined;
  const free = side === 'target' ? freeOn(run.roots.partitions.get(path)?.dir) : undefined;
  const report: Omit<DeviceReport, 'message'> = {
    side,
    path,
    partitions: [...new Set(mine.map(({ partition }) => partition))].sort(),
    call,
    errno: errnoName(stopped.errno),
    foldersLeft,
    foldersUnreadable: strikes,
    bytesNeeded: need?.bytes ?? null,
    bytesFree: free?.bytes ?? null,
    filesNeeded: need?.files ?? null,
    filesFree: free?.files ?? null,
  };
  return { ...report, message: messageOf(report) };
}

/** Bytes and inodes of what is still to come; estimates. */
function needOf(run: Run, works: readonly Workload[]): { bytes: number; files: number } {
  const { planned } = run.troubles;
  const mean = planned.messages === 0 ? 0 : planned.bytes / planned.messages;
  let [bytes, files] = [0, 0];
  for (const { storePath, rootPath, folders, messages } of works) {
    if (folders === 0) continue;
    const copies = deviceOf(run, 'source', storePath) !== deviceOf(run, 'target', rootPath);
    bytes += indexSpace(folders, messages) + (copies ? contentSpace(messages, mean) : 0);
    files += filesOf(folders, messages) + (copies ? messages : 0);
  }
  return { bytes: Math.round(bytes), files: Math.round(files) };
}

function freeOn(dir: Dir | undefined): { bytes: number; files: number | null } | undefined {
  if (dir === undefined) return undefined;
  try {
    const { bavail, bsize, files, ffree } = statfs(dir);
    // btrfs counts no inodes.
    return { bytes: bavail * bsize, files: files === 0 ? null : ffree };
  } catch {
    return undefined;
  }
}

function messageOf(report: Omit<DeviceReport, 'message'>): string {
  const { side, path, partitions, call, errno, foldersLeft, foldersUnreadable: unreadable } = report;
  const named = partitions.length === 0 ? '' : ` (partition ${partitions.join(', ')})`;
  const left = `${foldersLeft} folder${foldersLeft === 1 ? ' is' : 's are'} left`;
  if (side === 'source') {
    return (
      `The disk of the 3.x store ${path} cannot be read${unreadable === 0 ? '' : ' any more'}: ${call} failed with ` +
      `${errno}, ${unreadable === 0 ? '' : `${unreadable} folder${unreadable === 1 ? '' : 's'} could not be read, `}` +
      `${left} there. ` +
      'Repair or mount it, then run the same command again.'
    );
  }
  const noInodes = errno === 'ENOSPC' && report.filesFree === 0;
  const full = errno === 'ENOSPC' || errno === 'EDQUOT';
  const space =
    report.bytesNeeded === null || report.bytesFree === null
      ? ''
      : ` About ${report.bytesNeeded} bytes are still to come, ${report.bytesFree} are free` +
        (report.filesFree === null ? '.' : `; ${report.filesNeeded} inodes, ${report.filesFree} are free.`);
  const { bytesNeeded, bytesFree } = report;
  const roomSaid = bytesNeeded !== null && bytesFree !== null && bytesFree > 2 * bytesNeeded;
  return (
    `${path}${named}: ${call} failed with ${errno}, ${left} for this device.${full ? space : ''} ` +
    `Nothing was lost and nothing half-done is visible. ${adviceFor(errno, noInodes, roomSaid)}, then run the same command again.`
  );
}

function adviceFor(errno: string, noInodes: boolean, roomSaid: boolean): string {
  if (noInodes) return 'The file system has no inodes left: remove small files or make a larger one';
  if (errno === 'ENOSPC' && roomSaid)
    return 'The file system itself has room: make space in the storage below it (a thin volume?), or look at its quotas';
  if (errno === 'ENOSPC') return 'Make space';
  if (errno === 'EDQUOT') return 'Raise the quota of the server account';
  if (errno === 'EROFS') return 'Mount it for writing (a disk error may have made it read-only: see the kernel log)';
  if (errno === 'EUCLEAN') return 'The file system is damaged: unmount it and check it (e2fsck, xfs_repair)';
  return 'Repair the device, or mount it again';
}

/** At the end of a run: what waited, and one entry a device. */
export function settleTroubles(run: Run): void {
  for (const dev of [...run.troubles.strikes.keys()]) reportStrikes(run, dev);
  reportRemovals(run);
  const { stopped } = run.troubles;
  if (stopped.length === 0) return;
  for (const device of stopped) {
    const report = deviceReport(run, device);
    run.report.devices.push(report);
    const code = DEVICE_CODE[device.side];
    run.report.errors.push({ user: '', folder: '', file: '', code, message: report.message });
  }
  const list = run.report.devices.map(({ path, call, errno }) => `${path} (${call}: ${errno})`).join(', ');
  const what = `${stopped.length} device${stopped.length === 1 ? '' : 's'} could not go on: ${list}.`;
  run.report.halted ??= { code: DEVICE_CODE[stopped[0]?.side ?? 'target'], message: what };
}
