/**
 * What `-m` would do with a folder, for `--dry-run` and the space check before a run: the plan without a lock and
 * without a trace on disk, and what would have to be copied.
 */
import type { DirectoryScan, MessageTable } from '../engine/types.js';
import { closeDir, type Dir, fstat, list, stat } from '../fs/dir.js';
import { walk, walkIfThere } from '../fs/walk.js';
import { hashDirectory, messageFile } from '../store/layout.js';
import { refuseEmptied } from './emptied.js';
import { exceptFailed } from './failures.js';
import { placePath, rootOf } from './places.js';
import { blocksOf } from './space.js';
import {
  emptyScan,
  type FolderFiles,
  failure,
  gone,
  isEmptyInbox,
  isMountPoint,
  lateRights,
  openSource,
  readFolder,
  type StepTools,
} from './steps.js';
import type { CopySpace, FailedFolder, Place, PrepareFolder, SurveyResult } from './tasks.js';

/** The plan of a folder as `prepareFolder` would make it now. */
export function surveyFolder(tools: StepTools, task: PrepareFolder): SurveyResult {
  const opened = openSource(task);
  if (opened === 'missing') {
    if (!isEmptyInbox(task)) return gone(task);
    const emptied = emptiedIn(task, { index: undefined, scan: emptyScan() });
    if (emptied !== undefined) return emptied;
    return { kind: 'planned', id: task.id, messages: 0, bytes: 0, copy: NOTHING_TO_COPY, warnings: 0, refused: [] };
  }
  if ('kind' in opened) return opened;
  try {
    const late = lateRights(task, opened);
    if (late !== undefined) return late;
    const found = readFolder(tools, task, opened);
    const emptied = emptiedIn(task, found);
    if (emptied !== undefined) return emptied;
    const { plan } = found;
    if (isMountPoint(task, opened, plan)) return gone(task);
    const adding = toBeAdded(task, plan.messages);
    let [messages, bytes] = [0, 0];
    for (let i = 0; i < adding.length; i++) {
      if (adding[i] === 0) continue;
      messages += 1;
      bytes += plan.messages.sizes[i] ?? 0;
    }
    return {
      kind: 'planned',
      id: task.id,
      messages,
      bytes,
      copy: copySpace(task, fstat(opened).dev, found.scan, plan.messages, adding),
      warnings: plan.warnings.length,
      refused: refusedOf(plan.messages, adding),
    };
  } catch (error) {
    return { kind: 'failed', id: task.id, failure: failure(error, 'FOLDER_UNREADABLE', opened.path) };
  } finally {
    closeDir(opened);
  }
}

/** What prepareFolder would refuse in the mailbox directory, if it is there. */
function emptiedIn(task: PrepareFolder, { index, scan }: FolderFiles): FailedFolder | undefined {
  if (task.failed !== null || task.target.rootFd < 0) return undefined;
  let mailbox: Dir | undefined;
  try {
    mailbox = walkIfThere(rootOf(task.target), task.target.components, 'ENOTDIR', 'ELOOP');
    if (mailbox !== undefined) refuseEmptied(task, index, scan, mailbox);
    return undefined;
  } catch (error) {
    return { kind: 'failed', id: task.id, failure: failure(error, 'FOLDER_TARGET', placePath(task.target)) };
  } finally {
    if (mailbox !== undefined) closeDir(mailbox);
  }
}

/** 1 for every message that would come into 4.x: of a published folder those that failed, and new files. */
function toBeAdded({ previous, failed }: PrepareFolder, { count, uids }: MessageTable): Uint8Array {
  const adding = new Uint8Array(count).fill(1);
  if (previous === null || failed === null) return adding;
  const published = exceptFailed(previous.uids, failed);
  const migrated = new Set(previous.uids.filter((_uid, row) => published[row] === 1));
  uids.forEach((uid, i) => {
    if (migrated.has(uid)) adding[i] = 0;
  });
  return adding;
}

const NOTHING_TO_COPY: CopySpace = {
  bytes: 0,
  files: 0,
  device: 0n,
  inodes: new BigUint64Array(0),
  sizes: new Float64Array(0),
  links: new Uint32Array(0),
  present: new Uint8Array(0),
};

function copySpace(
  task: PrepareFolder,
  device: bigint,
  scan: DirectoryScan,
  messages: MessageTable,
  adding: Uint8Array,
): CopySpace {
  const linksOf = new Map<bigint, number>();
  for (let i = 0; i < scan.count; i++) {
    const links = scan.nlinks[i] ?? 0;
    if (links > 1) linksOf.set(scan.inodes[i] ?? 0n, links);
  }
  // Only an earlier attempt can have copied something.
  const copied = task.previous === null || task.target.rootFd < 0 ? undefined : openTarget(task.target);
  const shared: { inode: bigint; size: number; links: number; present: boolean }[] = [];
  let [bytes, files] = [0, 0];
  try {
    const isThere = copied === undefined ? () => false : presence(copied);
    for (let i = 0; i < messages.count; i++) {
      if (messages.refused[i] !== 0) continue;
      const inode = messages.inodes[i] ?? 0n;
      const size = messages.sizes[i] ?? 0;
      const links = linksOf.get(inode);
      const present = isThere(messages.uids[i] ?? 0, size);
      if (links !== undefined && (present || adding[i] === 1)) {
        shared.push({ inode, size: blocksOf(size), links, present });
      } else if (!present && adding[i] === 1) {
        bytes += blocksOf(size);
        files += 1;
      }
    }
  } finally {
    if (copied !== undefined) closeDir(copied);
  }
  return {
    bytes,
    files,
    device,
    inodes: BigUint64Array.from(shared, ({ inode }) => inode),
    sizes: Float64Array.from(shared, ({ size }) => size),
    links: Uint32Array.from(shared, ({ links }) => links),
    present: Uint8Array.from(shared, ({ present }) => Number(present)),
  };
}

/** The mailbox directory that an earlier attempt made; undefined when it came to nothing. */
function openTarget(target: Place): Dir | undefined {
  try {
    return walk(rootOf(target), target.components);
  } catch {
    return undefined;
  }
}

/** Asks, uid by uid ascending, whether the 4.x file is there with at least so many bytes. */
function presence(mailbox: Dir): (uid: number, bytes: number) => boolean {
  const sizes = new Map<string, bigint>();
  let read = '';
  return (uid, bytes) => {
    const name = hashDirectory(uid);
    if (name !== read) {
      read = name;
      sizes.clear();
      const directory = walkIfThere(mailbox, [name]);
      if (directory !== undefined) {
        try {
          for (const file of list(directory)) {
            const text = file.toString('latin1');
            sizes.set(text, stat(directory, text)?.size ?? 0n);
          }
        } finally {
          closeDir(directory);
        }
      }
    }
    return (sizes.get(messageFile(uid)) ?? -1n) >= BigInt(bytes);
  };
}

function refusedOf(messages: MessageTable, adding: Uint8Array): { uid: number; refused: number; file: string }[] {
  const refused: { uid: number; refused: number; file: string }[] = [];
  for (let i = 0; i < messages.count; i++) {
    const code = messages.refused[i] ?? 0;
    if (code === 0 || adding[i] === 0) continue;
    const name = messages.names.subarray(messages.nameOffsets[i], messages.nameOffsets[i + 1]);
    refused.push({ uid: messages.uids[i] ?? 0, refused: code, file: Buffer.from(name).toString('utf8') });
  }
  return refused;
}
