/**
 * Which disks a run gets: every part its own, made once and used in all rounds, where there is room for all of them with
 * what all rounds leave; else new ones in each round. Why: docs/benchmark.md, "Disks are made once".
 */
import * as fs from 'node:fs';
import { loopFileSystems, plainDirectories, type Workspace } from './filesystem.js';
import type { Part } from './plan.js';
import { type Settings, UsageError } from './settings.js';
import { partRoom, type Room } from './stores.js';

export interface Disks {
  /** Null: made once. Else why they cannot be. */
  readonly lacking: string | null;
  /** @throws Error when there is no room for this part alone */
  open(part: Part): Workspace;
}

/** @throws UsageError when a directory for partitions is on the file system of its store path */
export function disksOf(settings: Settings, parts: readonly Part[]): Disks {
  checkElsewhere(settings);
  const needs = parts.flatMap((part) => needsOf(settings, part, settings.rounds));
  // With one round a part's disks go when it is done: never are those of all parts needed at once.
  const lacking = settings.rounds === 1 ? null : lackOf(needs);
  const rounds = lacking === null ? settings.rounds : 1;
  return {
    lacking,
    open(part) {
      const lack = lackOf(needsOf(settings, part, rounds));
      if (lack !== null) throw new Error(`${lack}: fewer --messages, --threads or --engines`);
      return workspace(settings, part, rounds);
    },
  };
}

/** What is linked is not what `--partition-dir` is to measure. */
function checkElsewhere({ directories, partitionDirectories }: Settings): void {
  if (partitionDirectories.length === 0) return;
  for (const [i, directory] of directories.entries()) {
    const partition = partitionDirectories[i % partitionDirectories.length]!;
    if (fs.statSync(directory).dev !== fs.statSync(partition).dev) continue;
    throw new UsageError(`--partition-dir ${partition} is on the file system of --dir ${directory}: name another one`);
  }
}

/** For metadata and head room. */
const HEAD_ROOM = 1.3;
/** Images are sparse: of their head room only inode tables are written. */
const IMAGE_HEAD_ROOM = 1.1;
const LEAST_GIGABYTES = 2;

interface Need extends Room {
  readonly directory: string;
}

function needsOf(settings: Settings, part: Part, rounds: number): Need[] {
  const { directories, partitionDirectories, imageDirectory } = settings;
  const { disk, across } = partRoom(part, rounds);
  if (directories.length === 0) {
    const bytes = (disk.bytes + across.bytes) * part.disks.length * IMAGE_HEAD_ROOM;
    return [{ directory: imageDirectory, bytes, inodes: part.disks.length }];
  }
  const onDisks = part.disks.map((number) => ({ directory: directories[number], ...withHeadRoom(disk) }));
  const elsewhere = part.disks.map((number) => ({
    directory: partitionDirectories[number % Math.max(partitionDirectories.length, 1)],
    ...withHeadRoom(across),
  }));
  return [...onDisks, ...elsewhere].flatMap(({ directory, ...room }) =>
    directory === undefined || room.bytes === 0 ? [] : [{ directory, ...room }],
  );
}

const withHeadRoom = ({ bytes, inodes }: Room): Room => ({ bytes: bytes * HEAD_ROOM, inodes: inodes * HEAD_ROOM });

/** A disk that fills up in the middle is no result, and may be somebody's mail disk. */
function lackOf(needs: readonly Need[]): string | null {
  const byFileSystem = new Map<number, Need>();
  for (const { directory, bytes, inodes } of needs) {
    const { dev } = fs.statSync(directory);
    const known = byFileSystem.get(dev) ?? { bytes: 0, inodes: 0 };
    byFileSystem.set(dev, { directory, bytes: bytes + known.bytes, inodes: inodes + known.inodes });
  }
  const gigabytes = (value: number) => (value / 1e9).toFixed(1);
  for (const { directory, bytes, inodes } of byFileSystem.values()) {
    const { bavail, bsize, files, ffree } = fs.statfsSync(directory);
    const free = bavail * bsize;
    if (free <= bytes) return `${directory} has ${gigabytes(free)} GB free and this needs ${gigabytes(bytes)}`;
    // Where there is no table of them (btrfs) the number of all is 0.
    if (files > 0 && ffree <= inodes) {
      return `${directory} has ${ffree} inodes free and this needs ${Math.ceil(inodes)}`;
    }
  }
  return null;
}

function workspace(settings: Settings, part: Part, rounds: number): Workspace {
  const { directories, partitionDirectories, imageDirectory, fileSystem } = settings;
  const across = part.conditions.some((one) => one.across) || part.migrations.some((one) => one.across);
  if (directories.length > 0) return plainDirectories(directories, across ? partitionDirectories : []);
  const room = partRoom(part, rounds);
  const bytes = Math.max(room.disk.bytes, room.across.bytes) * HEAD_ROOM;
  const gigabytes = Math.max(LEAST_GIGABYTES, Math.ceil(bytes / 2 ** 30) + 1);
  const inodes = Math.ceil(Math.max(room.disk.inodes, room.across.inodes) * HEAD_ROOM);
  return loopFileSystems(imageDirectory, fileSystem, {
    disks: Math.max(...part.disks) + 1,
    across,
    gigabytes,
    inodes,
  });
}
