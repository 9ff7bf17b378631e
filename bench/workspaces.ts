/**
 * Which disks a run gets: every part its own, made once and used in all rounds, where there is room for all of them with
 * what all rounds leave; else new ones in each round. Why: docs/benchmark.md, "Disks are made once".
 */
import * as fs from 'node:fs';
import { loopFileSystems, plainDirectories, type Workspace } from './filesystem.js';
import type { Part } from './plan.js';
import type { Settings } from './settings.js';
import { partBytes } from './stores.js';

export interface Disks {
  /** Null: made once. Else why they cannot be. */
  readonly lacking: string | null;
  /** @throws Error when there is no room for this part alone */
  open(part: Part): Workspace;
}

export function disksOf(settings: Settings, parts: readonly Part[]): Disks {
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

/** For metadata and head room. */
const HEAD_ROOM = 1.3;
/** Images are sparse: of their head room only inode tables are written. */
const IMAGE_HEAD_ROOM = 1.1;
const LEAST_GIGABYTES = 2;

interface Need {
  readonly directory: string;
  readonly bytes: number;
}

function needsOf(settings: Settings, part: Part, rounds: number): Need[] {
  const { directories, partitionDirectories, imageDirectory } = settings;
  const { disk, across } = partBytes(part, rounds);
  if (directories.length === 0) {
    return [{ directory: imageDirectory, bytes: (disk + across) * part.disks.length * IMAGE_HEAD_ROOM }];
  }
  const onDisks = part.disks.map((number) => ({ directory: directories[number], bytes: disk * HEAD_ROOM }));
  const elsewhere = part.disks.map((number) => ({
    directory: partitionDirectories[number % Math.max(partitionDirectories.length, 1)],
    bytes: across * HEAD_ROOM,
  }));
  return [...onDisks, ...elsewhere].flatMap(({ directory, bytes }) =>
    directory === undefined || bytes === 0 ? [] : [{ directory, bytes }],
  );
}

/** A disk that fills up in the middle is no result, and may be somebody's mail disk. */
function lackOf(needs: readonly Need[]): string | null {
  const byFileSystem = new Map<number, Need>();
  for (const { directory, bytes } of needs) {
    const { dev } = fs.statSync(directory);
    byFileSystem.set(dev, { directory, bytes: bytes + (byFileSystem.get(dev)?.bytes ?? 0) });
  }
  const gigabytes = (value: number) => (value / 1e9).toFixed(1);
  for (const { directory, bytes } of byFileSystem.values()) {
    const { bavail, bsize } = fs.statfsSync(directory);
    const free = bavail * bsize;
    if (free <= bytes) return `${directory} has ${gigabytes(free)} GB free and this needs ${gigabytes(bytes)}`;
  }
  return null;
}

function workspace(settings: Settings, part: Part, rounds: number): Workspace {
  const { directories, partitionDirectories, imageDirectory, fileSystem } = settings;
  const across = part.conditions.some((one) => one.across) || part.migrations.some((one) => one.across);
  if (directories.length > 0) return plainDirectories(directories, across ? partitionDirectories : []);
  const bytes = partBytes(part, rounds);
  const gigabytes = Math.max(
    LEAST_GIGABYTES,
    Math.ceil((Math.max(bytes.disk, bytes.across) * HEAD_ROOM) / 2 ** 30) + 1,
  );
  return loopFileSystems(imageDirectory, fileSystem, { disks: Math.max(...part.disks) + 1, across, gigabytes });
}
