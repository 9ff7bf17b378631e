/**
 * Runs one part, round by round, on the same disks. In the first round all stores are made, in every further one they
 * are brought back to what they were: a migrated store by `upgrade --reset`; in place of one that `-r` has emptied another
 * is made. Then, under each of the conditions: competitors, migrations, and the floor, which writes as many index
 * bytes as they did. What comes before each row is in memory.ts. -r comes last of all.
 *
 * Invariant: what competitors and floors make, and what `-r` leaves, stays until the disks go, each under a name of its
 * own: after the removal of a big tree ext4 makes files more slowly for a while.
 */
import * as path from 'node:path';
import { COMPETITORS, type Competitor, commandOf, floorCommand, type Journey } from './competitors.js';
import type { Workspace } from './filesystem.js';
import { type Measured, measure } from './measure.js';
import { coolDown, warmUp } from './memory.js';
import { indexBytes, MessageInodes, partitionsOf } from './partitions.js';
import type { Sample } from './plan.js';
import { type Conditions, conditionsText, foldersRow, type Migration, messagesRow, type Part } from './plan.js';
import { UPGRADE } from './project.js';
import { type MadeStore, makeStores, sharesTree } from './stores.js';
import { type Throttle, throttle } from './throttle.js';
import {
  checkDone,
  checkMoved,
  doneOf,
  type FoldersMade,
  foldersCommand,
  foldersOf,
  messagesCommand,
  movePartitions,
  resetInstance,
  timesOf,
} from './upgrade.js';

type Row = Pick<Sample, 'name' | 'kind' | 'cold' | 'across' | 'engine' | 'threads'>;

export class PartRun {
  private samples: Sample[] = [];
  private round = 0;
  /** The last of them is the one that competitors and floor work on. */
  private stores: MadeStore[] = [];
  /** The instances to which stores were migrated in the round before, by the place of the store. */
  private readonly migrated = new Map<number, string>();
  /** Bytes that the migrations wrote into indexes, for each message. */
  private indexBytesEach = 0;
  private targets = 0;
  private throttle: Throttle | undefined;

  constructor(
    readonly space: Workspace,
    private readonly part: Part,
    /** The compiled floor, where the part measures it. */
    private readonly floorProgram: string | null,
    private readonly say: (line: string) => void,
  ) {}

  /** @param earlier samples of this round */
  async run(earlier: readonly Sample[]): Promise<readonly Sample[]> {
    const { part, space } = this;
    this.samples = [];
    this.round += 1;
    if (this.round === 1) await this.makeStores();
    else await this.bringBack();
    space.settle();
    const limit = part.limit?.(earlier, space.disks);
    if (limit !== undefined) this.throttle = throttle(limit);
    try {
      if (part.foldersOnly) await this.makeFolders(0, false);
      for (const conditions of inOrder(part)) await this.runUnder(conditions);
      await this.migrateAll(({ remove }) => remove);
    } finally {
      this.throttle?.remove();
      this.throttle = undefined;
    }
    return this.samples;
  }

  private async makeStores(): Promise<void> {
    const { part, space } = this;
    const competes = part.competitors.length + part.floors.length > 0;
    const migrations = part.foldersOnly ? 1 : part.migrations.length;
    const names = Array.from({ length: migrations }, (_, i) => `store${i}`);
    if (competes && !sharesTree(part)) names.push('source');
    this.say(`  stores to make: ${names.length}`);
    this.stores = await makeStores(space.disks, part, names);
  }

  private async bringBack(): Promise<void> {
    const { part, space, migrated } = this;
    const emptied = [...migrated.keys()].filter((i) => part.migrations[i]?.remove === true);
    this.say(`  stores to reset: ${migrated.size - emptied.length}, to make: ${emptied.length}`);
    for (const [i, instance] of migrated) if (!emptied.includes(i)) await resetInstance(instance);
    migrated.clear();
    if (emptied.length === 0) return;
    const names = emptied.map((i) => `store${i}-${this.round}`);
    const anew = await makeStores(space.disks, part, names);
    for (const [k, i] of emptied.entries()) this.stores[i] = anew[k]!;
  }

  private async runUnder(conditions: Conditions): Promise<void> {
    const { competitors, floors } = this.part;
    for (const one of COMPETITORS) {
      if (!competitors.includes(one.name) || !isPossible(one, conditions)) continue;
      await this.compete(one, conditions, this.stores.at(-1)!);
    }
    await this.migrateAll(({ remove, ...own }) => !remove && isSame(own, conditions));
    for (const threads of floors) await this.floor(threads, conditions, this.stores.at(-1)!);
  }

  private async migrateAll(isMeant: (one: Migration) => boolean): Promise<void> {
    for (const [i, migration] of this.part.migrations.entries()) {
      if (isMeant(migration)) await this.migrate(migration, i);
    }
  }

  private async compete(one: Competitor, conditions: Conditions, store: MadeStore): Promise<void> {
    const row = { name: `${one.name}${conditionsText(conditions)}`, kind: 'competitor', ...conditions } as const;
    const command = commandOf(one, this.journeys(store, conditions));
    await this.measured({ ...row, engine: null, threads: null }, command, store, one.does === 'copy');
  }

  private async floor(threads: number, conditions: Conditions, store: MadeStore): Promise<void> {
    if (this.floorProgram === null) throw new Error('the floor was not compiled');
    const { cold } = conditions;
    const journeys = this.journeys(store, conditions);
    const command = floorCommand(this.floorProgram, { threads, indexBytes: this.indexBytesEach, cold }, journeys);
    const name = `floor, ${threads} ${threads === 1 ? 'thread' : 'threads'}${conditionsText(conditions)}`;
    const row = { name, kind: 'floor', ...conditions, engine: null, threads } as const;
    const { stdout } = await this.measured(row, command, store);
    const { messages } = JSON.parse(stdout) as { messages: number };
    if (messages !== store.installation.messages) throw new Error(`the floor moved ${messages} messages`);
  }

  private journeys({ trees }: MadeStore, { across }: Conditions): Journey[] {
    const number = this.targets++;
    return trees.map(({ path: tree, disk }, i) => {
      const home = across ? disk.across : disk.path;
      if (home === null) throw new Error('there is no other file system: --across, or --partition-dir');
      return { tree, target: path.join(home, `copy${number}-${i}`) };
    });
  }

  private async migrate(migration: Migration, number: number): Promise<void> {
    const { part } = this;
    const store = this.stores[number]!;
    const folders = await this.makeFolders(number, migration.cold);
    const { instance } = folders;
    const across = migration.across ? movePartitions(folders, store, `partition${number}-${this.round}`) : [];
    const before = part.audit ? new MessageInodes(store) : undefined;
    const command = messagesCommand(instance, migration);
    const { engine, threads, cold } = migration;
    const row: Row = {
      name: messagesRow(migration),
      kind: 'messages',
      cold,
      across: migration.across,
      engine,
      threads,
    };
    const measured = await this.measured(row, command, store);
    checkDone(measured.stdout, store.installation.messages);
    checkMoved(across);
    const partitions = partitionsOf(instance, store, across);
    this.indexBytesEach = indexBytes(partitions) / Math.max(1, store.installation.messages);
    if (before === undefined) return;
    // What is read by a run that finds everything done: code, configuration, databases.
    const idle = await measure(command, []);
    const read = measured.bytesRead - idle.bytesRead - before.indexBytes;
    this.samples.push({
      ...this.samples.pop()!,
      extra: { readShare: read / before.bytes, newMessageBytes: before.newMessageBytes(partitions) },
    });
  }

  /**
   * `upgrade -s`, a first one in each round: of a 4.x instance that is not there yet. It lies on the first disk. Warm: in
   * memory is what the making of the store, or its reset, has left there.
   */
  private async makeFolders(number: number, cold: boolean): Promise<FoldersMade> {
    const store = this.stores[number]!;
    const instance = path.join(this.space.disks[0]!.path, `server4-${number}-${this.round}`, 'msg-tango');
    this.migrated.set(number, instance);
    const row: Row = { name: foldersRow({ cold }), kind: 'folders', cold, across: false, engine: null, threads: null };
    const { stdout } = await this.measured(row, foldersCommand(store, instance), store);
    return foldersOf(stdout, instance);
  }

  /** @param copies the messages are written once more */
  private async measured(
    row: Row,
    command: readonly string[],
    store: MadeStore,
    copies = row.across,
  ): Promise<Measured> {
    if (row.cold) await coolDown(store, copies);
    else if (row.kind !== 'folders') await warmUp(store, copies);
    const { devices, paths } = this.space;
    const run = this.throttle === undefined ? command : this.throttle.wrap(command);
    const result = await measure(run, paths, devices);
    if (result.status !== 0) {
      throw new Error(`${command.join(' ')}: exit code ${result.status}\n${result.stdout}${result.stderr}`);
    }
    const { seconds, secondsSynced, peakAnonymous, cpuSeconds, bytesRead, disks, series } = result;
    const { messages, folders, bytes } = store.installation;
    this.samples.push({
      ...row,
      part: this.part.name,
      command: this.shortened(command),
      messages,
      bytes,
      folders,
      ...{ seconds, secondsSynced, peakAnonymous, cpuSeconds, bytesRead, disks },
      times: row.kind === 'messages' ? timesOf(result.stdout) : null,
      series: row.kind === 'messages' ? series : [],
      extra: {},
    });
    const moved = row.kind === 'messages' ? `, ${doneOf(result.stdout)} messages` : '';
    this.say(`  ${row.name.padEnd(36)} ${seconds.toFixed(2)} s, ${cpuSeconds.toFixed(2)} s of processors${moved}`);
    return result;
  }

  /** A command as a reader would type it. */
  private shortened(command: readonly string[]): string {
    const short = command.join(' ').replace(`${process.execPath} ${UPGRADE}`, 'upgrade');
    return this.space.disks.reduce((text, { path: own, across }, i) => {
      const named = text.replaceAll(own, `<disk ${i + 1}>`);
      return across === null ? named : named.replaceAll(across, `<disk ${i + 1}, across>`);
    }, short);
  }
}

/** Of competitors and of migrations; warm before cold. */
function inOrder({ conditions, migrations }: Part): Conditions[] {
  const all = [...conditions, ...migrations].map(({ cold, across }) => ({ cold, across }));
  const distinct = all.filter((one, i) => all.findIndex((other) => isSame(one, other)) === i);
  return distinct.sort((a, b) => Number(a.cold) - Number(b.cold));
}

function isSame(a: Conditions, b: Conditions): boolean {
  return a.cold === b.cold && a.across === b.across;
}

/** Nothing is linked between file systems, and `cat` writes to none. */
function isPossible({ does }: Competitor, { across }: Conditions): boolean {
  return !across || does === 'copy';
}
