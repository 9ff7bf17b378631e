/**
 * The worklist by devices: the folders that go from one device to one other are a route (schedule.ts). A route holds
 * positions in the worklist, four bytes a folder, in its order.
 *
 * The devices are the whole disks of store paths and partitions: partitions of one spindle share its head. A folder on a
 * file system that is mounted below one of them goes with it: nobody knows before it is opened. It is synced as its own
 * device all the same (publish.ts).
 */
import { fstat } from '../fs/dir.js';
import { diskOf } from './device-name.js';
import type { Taken } from './dispatch.js';
import type { Roots } from './roots.js';
import type { Run } from './run.js';
import type { RouteWork } from './schedule-types.js';
import type { MappingFolder } from './types.js';
import { BATCH_MESSAGES, type Worklist } from './worklist.js';

export interface Routes {
  readonly works: readonly RouteWork[];
  /** Store paths and partitions of the devices that `works` names. */
  readonly paths: ReadonlyMap<string, ReadonlySet<string>>;
  /** Of a store path or partition, as `works` names it. */
  deviceOf(path: string): string;
  /** Takes a batch off a route: tiny folders together, a large one alone; those that `load` does not know are left out. */
  take(
    route: number,
    maxFolders: number,
    load: (id: number) => MappingFolder | undefined,
  ): Taken<readonly MappingFolder[]> | undefined;
}

interface Route extends RouteWork {
  folders: number;
  messages: number;
  /** In the worklist. */
  positions: Uint32Array;
  next: number;
}

/** Where folders come from and go to. */
interface Stretch {
  readonly storePath: string;
  /** null: nothing goes anywhere, 3.x is only read. */
  readonly rootPath: string | null;
}

/** What the list names no place of: single folders, on demand. */
const ANYWHERE: Stretch = { storePath: '', rootPath: '' };

/** The devices of all store paths and partitions that are held. */
export function devicesOf({ stores, partitions }: Roots): Set<string> {
  const devs = [
    ...[...stores.values()].map((store) => fstat(store).dev),
    ...[...partitions.values()].map(({ dev }) => dev),
  ];
  return new Set(devs.map(diskOf));
}

/** @param places what the places of the list are numbers of (addWork of trouble.ts) */
export function routesOf({ roots }: Pick<Run, 'roots'>, places: Iterable<Stretch>, list: Worklist): Routes {
  const paths = new Map<string, Set<string>>();
  const deviceOfPath = new Map<string, string>();
  const device = (path: string, dev: bigint | undefined): string => {
    const name = dev === undefined ? path : diskOf(dev);
    paths.set(name, (paths.get(name) ?? new Set()).add(path));
    deviceOfPath.set(path, name);
    return name;
  };
  const routes = new Map<string, Route>();
  const routeOfPlace = [...places, ANYWHERE].map(({ storePath, rootPath }) => {
    const store = roots.stores.get(storePath);
    const source = device(storePath, store && fstat(store).dev);
    const target = rootPath === null ? source : device(rootPath, roots.partitions.get(rootPath)?.dev);
    const key = `${source}\n${target}`;
    const known = routes.get(key) ?? { source, target, folders: 0, messages: 0, positions: list.ids, next: 0 };
    routes.set(key, known);
    return known;
  });
  const routeAt = (position: number): Route | undefined => routeOfPlace[list.places[position] ?? 0];
  for (const [position, messages] of list.messages.entries()) {
    const route = routeAt(position);
    if (route === undefined) continue;
    route.folders += 1;
    route.messages += messages;
  }
  const works = [...routes.values()].filter(({ folders }) => folders > 0);
  for (const route of works) {
    const positions = new Uint32Array(route.folders);
    let count = 0;
    for (let position = 0; position < list.ids.length; position++) {
      if (routeAt(position) === route) positions[count++] = position;
    }
    route.positions = positions;
  }
  return {
    works,
    paths,
    // A list of single folders names no place.
    deviceOf: (path) => deviceOfPath.get(path) ?? ANYWHERE.storePath,
    take(number, maxFolders, load) {
      const route = works[number];
      return route === undefined ? undefined : takeBatch(list, route, maxFolders, load);
    },
  };
}

function takeBatch(
  list: Worklist,
  route: Route,
  maxFolders: number,
  load: (id: number) => MappingFolder | undefined,
): Taken<readonly MappingFolder[]> | undefined {
  const batch: MappingFolder[] = [];
  let messages = 0;
  for (; route.next < route.positions.length; route.next++) {
    const position = route.positions[route.next] ?? 0;
    const estimate = list.messages[position] ?? 0;
    const isFull = batch.length >= maxFolders || messages + estimate > BATCH_MESSAGES;
    if (batch.length > 0 && isFull) break;
    const folder = load(list.ids[position] ?? 0);
    if (folder === undefined) continue;
    batch.push(folder);
    messages += estimate;
  }
  return batch.length === 0 ? undefined : { batch, folders: batch.length, messages };
}
