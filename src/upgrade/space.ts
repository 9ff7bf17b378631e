/**
 * How much room a migration takes on its target, and whether it is there.
 *
 * Two measures. An **estimate** from the counts that the mapping has (sizes of the 3.x indexes), which costs nothing
 * and serves messages that are linked; and a **survey** of the folders (sizes of the files, each inode once) for
 * partitions on another device, where every message is copied. A run is refused only when even a modest estimate
 * cannot fit: a wrong refusal is worse than a late one, since a full disk stops nothing but its own folders.
 */
import { EXIT, MailhaulError } from '../errors.js';
import { type Dir, fstat, statfs } from '../fs/dir.js';

/** Files and directories take whole blocks; of this size on ext4, xfs and btrfs. */
export const BLOCK = 4096;

/** Bytes of store.idx a message, more than most take; and what hardly any goes below. */
const INDEX_ENTRY = 1024;
const INDEX_ENTRY_MODEST = 256;

/** A hash directory holds 100 uids; about half of them are there. */
const MESSAGES_A_DIRECTORY = 50;

/** File systems that may store less than they are given: bytes of messages say little there. btrfs, zfs, bcachefs. */
const COMPRESSING: readonly number[] = [0x9123683e, 0x2fc12fc1, 0xca451a4e];

/** Bytes of indexes and directories. */
export function indexSpace(folders: number, messages: number): number {
  return folders * 2 * BLOCK + messages * INDEX_ENTRY + Math.ceil(messages / MESSAGES_A_DIRECTORY) * BLOCK;
}

/** The least that indexes take. */
export function modestIndexSpace(folders: number, messages: number): number {
  return folders * BLOCK + messages * INDEX_ENTRY_MODEST;
}

/** Bytes of so many messages of this mean size, in whole blocks. */
export function contentSpace(messages: number, meanBytes: number): number {
  return messages * (meanBytes + BLOCK / 2);
}

/** Size of a file in whole blocks. */
export function blocksOf(bytes: number): number {
  return Math.ceil(bytes / BLOCK) * BLOCK;
}

/** Inodes of mailbox directories, indexes and hash directories. */
export function filesOf(folders: number, messages: number): number {
  return folders * 2 + Math.ceil(messages / MESSAGES_A_DIRECTORY);
}

/** What one target device must have, and has. */
export interface DeviceSpace {
  /** One path on it. */
  readonly path: string;
  readonly partitions: string[];
  bytesNeeded: number;
  readonly bytesFree: number;
  filesNeeded: number;
  /** null where the file system counts none. */
  readonly filesFree: number | null;
}

/** Adds up what goes to each device. */
export interface SpaceLedger {
  /** @param target the held partition directory */
  add(target: Dir, partition: string, bytes: number, files: number): void;
  /** Bytes of messages that are copied: not counted where the file system may store less. */
  addContent(target: Dir, partition: string, bytes: number, files: number): void;
  devices(): readonly DeviceSpace[];
}

export function spaceLedger(): SpaceLedger {
  const byDevice = new Map<bigint, DeviceSpace & { readonly compresses: boolean }>();
  const deviceByPath = new Map<string, bigint>();
  const entryOf = (target: Dir, partition: string) => {
    const { path } = target;
    const dev = deviceByPath.get(path) ?? fstat(target).dev;
    deviceByPath.set(path, dev);
    let entry = byDevice.get(dev);
    if (entry === undefined) {
      const { bavail, bsize, files, ffree, type } = statfs(target);
      const compresses = COMPRESSING.includes(type);
      const filesFree = files === 0 ? null : ffree;
      entry = {
        path,
        partitions: [],
        bytesNeeded: 0,
        bytesFree: bavail * bsize,
        filesNeeded: 0,
        filesFree,
        compresses,
      };
      byDevice.set(dev, entry);
    }
    if (!entry.partitions.includes(partition)) entry.partitions.push(partition);
    return entry;
  };
  const add: SpaceLedger['add'] = (target, partition, bytes, files) => {
    const entry = entryOf(target, partition);
    entry.bytesNeeded += bytes;
    entry.filesNeeded += files;
  };
  return {
    add,
    addContent: (target, partition, bytes, files) =>
      add(target, partition, entryOf(target, partition).compresses ? 0 : bytes, files),
    devices: () => [...byDevice.values()].map(({ compresses: _, ...device }) => device),
  };
}

export function isShort({ bytesNeeded, bytesFree, filesNeeded, filesFree }: DeviceSpace): boolean {
  return bytesNeeded > bytesFree || (filesFree !== null && filesNeeded > filesFree);
}

/** SPACE_NEEDED: a full disk is exit 4 in every command (commands.md), also when it is seen before it happens. */
export function spaceNeeded(short: readonly DeviceSpace[]): MailhaulError {
  const list = short.map((device) => {
    const { path, partitions, bytesNeeded, bytesFree, filesNeeded, filesFree } = device;
    const bytes =
      bytesNeeded > bytesFree
        ? [`${bytesNeeded} bytes needed, ${bytesFree} free, ${bytesNeeded - bytesFree} missing`]
        : [];
    const files =
      filesFree !== null && filesNeeded > filesFree
        ? [`${filesNeeded} inodes needed, ${filesFree} free, ${filesNeeded - filesFree} missing`]
        : [];
    return `${path} (partition ${partitions.join(', ')}): ${[...bytes, ...files].join('; ')}`;
  });
  return new MailhaulError(
    'SPACE_NEEDED',
    `The messages do not fit: the run would end with ENOSPC and was not begun. ${list.join('. ')}.`,
    {
      exit: EXIT.halted,
      hint: 'Make space, or give the partition another path with configutil while it holds no mail.',
    },
  );
}

/** Shared inodes remembered to be counted once; beyond that a share of the size is counted. */
const SHARED_REMEMBERED = 2_000_000;

/** Counts every inode of a device once, however many folders link it. */
export interface SharedInodes {
  /** The bytes that this link adds: its size the first time, then 0. */
  bytesOf(device: bigint, inode: bigint, bytes: number, links: number): number;
  /** The inode has its 4.x copy already. */
  present(device: bigint, inode: bigint): void;
}

export function sharedInodes(): SharedInodes {
  const seen = new Map<bigint, Set<bigint>>();
  let count = 0;
  const first = (device: bigint, inode: bigint): boolean => {
    let inodes = seen.get(device);
    if (inodes === undefined) {
      inodes = new Set();
      seen.set(device, inodes);
    }
    if (inodes.has(inode)) return false;
    inodes.add(inode);
    count += 1;
    return true;
  };
  return {
    bytesOf(device, inode, bytes, links) {
      if (count >= SHARED_REMEMBERED && seen.get(device)?.has(inode) !== true) return bytes / Math.max(1, links);
      return first(device, inode) ? bytes : 0;
    },
    present(device, inode) {
      if (count < SHARED_REMEMBERED) first(device, inode);
    },
  };
}
