import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { closeDir, type Dir, openRoot } from '../../src/fs/dir.js';
import { wholeDisk } from '../../src/fs/wholeDisk.js';
import { deviceName } from '../../src/upgrade/device-name.js';
import { emptyRoots, type Roots } from '../../src/upgrade/roots.js';
import { routesOf } from '../../src/upgrade/routes.js';
import { addWork, type Workload } from '../../src/upgrade/trouble.js';
import type { MappingFolder } from '../../src/upgrade/types.js';
import { buildWorklist } from '../../src/upgrade/worklist.js';

let directory: string;
let held: Dir[];
let roots: Roots;

beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'routes-'));
  held = [openRoot(directory)];
  roots = emptyRoots();
});

afterEach(() => {
  for (const dir of held) closeDir(dir);
  fs.rmSync(directory, { recursive: true });
});

function folder(id: number, lines: number, isInbox = false): MappingFolder {
  return { id, indexBytes: lines * 40, isInbox, attempts: 0, partition: 'p' } as MappingFolder;
}

/** Folders, and the store path of each; all go to one partition that is not held. */
function routes(folders: readonly (readonly [MappingFolder, string])[]) {
  const work = new Map<string, Workload>();
  const storePaths = new Map(folders.map(([{ id }, storePath]) => [id, storePath]));
  const list = buildWorklist(
    folders.map(([item]) => item),
    () => true,
    (item) => addWork(work, storePaths.get(item.id) ?? '', '/partition', item),
  );
  return routesOf({ roots }, work.values(), list);
}

const load = (id: number): MappingFolder => folder(id, 1);

describe('routesOf', () => {
  it('has a route for each pair of devices; store paths of one device are one', () => {
    const [dir] = held;
    if (dir === undefined) throw new Error('nothing is held');
    roots.stores.set('/a', dir);
    roots.stores.set('/b', dir);
    const { works, paths } = routes([
      [folder(1, 10), '/a'],
      [folder(2, 20), '/b'],
      [folder(3, 30), '/gone'],
    ]);
    const device = wholeDisk(deviceName(fs.statSync(directory, { bigint: true }).dev));
    const amounts = works.map(({ source, target, folders, messages }) => ({ source, target, folders, messages }));
    expect(amounts).toEqual([
      { source: device, target: '/partition', folders: 2, messages: 30 },
      { source: '/gone', target: '/partition', folders: 1, messages: 30 },
    ]);
    expect([...(paths.get(device) ?? [])].sort()).toEqual(['/a', '/b']);
  });

  it('takes INBOXes first, then the largest, tiny folders together and large ones alone', () => {
    const { take } = routes([
      [folder(1, 5), '/a'],
      [folder(2, 5_000), '/a'],
      [folder(3, 2, true), '/a'],
      [folder(4, 7), '/a'],
    ]);
    const taken = [1, 2, 3, 4].map(() => take(0, 10, load)?.batch.map(({ id }) => id));
    expect(taken).toEqual([[3], [2], [4, 1], undefined]);
  });

  it('takes no more folders than asked for, and passes over those that are gone', () => {
    const { take } = routes([1, 2, 3, 4].map((id) => [folder(id, 1), '/a'] as const));
    const known = (id: number) => (id === 2 ? undefined : load(id));
    expect(take(0, 2, known)).toMatchObject({ folders: 2, messages: 2, batch: [{ id: 1 }, { id: 3 }] });
    expect(take(0, 2, known)?.folders).toBe(1);
    expect(take(0, 2, known)).toBeUndefined();
  });
});

describe('deviceName', () => {
  it('is what lsblk shows', () => {
    expect([deviceName(0x811n), deviceName(0xfe00n), deviceName(0x1012345n)]).toEqual(['8:17', '254:0', '291:4165']);
  });
});
