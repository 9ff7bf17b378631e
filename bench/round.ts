/**
 * Runs one part once, on its disks. All stores are made first; then, under each of the conditions: competitors,
 * migrations, and the floor, which writes as many index bytes as they did. Each warm row is preceded by a read of its
 * store. -r comes last of all: after the removal of a big tree ext4 makes files more slowly for a while.
 */
import { spawnSync } from 'node:child_process';
import * as path from 'node:path';
import { runChild } from './children.js';
import { COMPETITORS, type Competitor, commandOf, floorCommand, type Journey } from './competitors.js';
import type { Workspace } from './filesystem.js';
import { CACHE, dropCaches, type Measured, mayDropCaches, measure } from './measure.js';
import { indexBytes, MessageInodes, partitionsOf } from './partitions.js';
import type { Sample } from './plan.js';
import { type Conditions, conditionsText, type Migration, messagesRow, type Part } from './plan.js';
import { UPGRADE } from './project.js';
import { type MadeStore, makeStores, sharesTree } from './stores.js';
import { type Throttle, throttle } from './throttle.js';
import {
  checkDone,
  checkMoved,
  type FoldersMade,
  foldersCommand,
  foldersOf,
  messagesCommand,
  movePartitions,
  timesOf,
} from './upgrade.js';

type Row = Pick<Sample, 'name' | 'kind' | 'cold' | 'across' | 'engine' | 'threads'>;

export class PartRun {
  readonly samples: Sample[] = [];
  /** Bytes that the migrations wrote into indexes, for each message. */
  private indexBytesEach = 0;
  private targets = 0;
  private throttle: Throttle | undefined;

  constructor(
    private readonly space: Workspace,
    private readonly part: Part,
    private readonly say: (line: string) => void,
  ) {}

  /** @param earlier samples of this round */
  async run(earlier: readonly Sample[]): Promise<void> {
    const { part, space } = this;
    const competes = part.competitors.length + part.floors.length > 0;
    const migrations = part.foldersOnly ? 1 : part.migrations.length;
    const names = Array.from({ length: migrations }, (_, i) => `store${i}`);
    const withSource = competes && !sharesTree(part);
    this.say(`  stores to make: ${names.length + (withSource ? 1 : 0)}`);
    const made = await makeStores(space.disks, part, withSource ? [...names, 'source'] : names);
    space.settle();
    const limit = part.limit?.(earlier, space.disks);
    if (limit !== undefined) this.throttle = throttle(limit);
    try {
      if (part.foldersOnly) await this.makeFolders(made[0]!, 'server4-0');
      for (const conditions of inOrder(part)) await this.runUnder(conditions, made);
      await this.migrateAll(made, ({ remove }) => remove);
    } finally {
      this.throttle?.remove();
    }
  }

  /** @param made the last of them is the one that competitors and floor work on */
  private async runUnder(conditions: Conditions, made: readonly MadeStore[]): Promise<void> {
    const { competitors, floors } = this.part;
    for (const one of COMPETITORS) {
      if (!competitors.includes(one.name) || !isPossible(one, conditions)) continue;
      await this.compete(one, conditions, made.at(-1)!);
    }
    await this.migrateAll(made, ({ remove, ...own }) => !remove && isSame(own, conditions));
    for (const threads of floors) await this.floor(threads, conditions, made.at(-1)!);
  }

  private async migrateAll(made: readonly MadeStore[], isMeant: (one: Migration) => boolean): Promise<void> {
    for (const [i, migration] of this.part.migrations.entries()) {
      if (isMeant(migration)) await this.migrate(migration, made[i]!, i);
    }
  }

  private async compete(one: Competitor, conditions: Conditions, store: MadeStore): Promise<void> {
    const row = { name: `${one.name}${conditionsText(conditions)}`, kind: 'competitor', ...conditions } as const;
    const command = commandOf(one, this.journeys(store, conditions));
    await this.measured({ ...row, engine: null, threads: null }, command, store);
  }

  private async floor(threads: number, conditions: Conditions, store: MadeStore): Promise<void> {
    const journeys = this.journeys(store, conditions);
    const command = floorCommand(this.space.disks[0]!.path, threads, this.indexBytesEach, journeys);
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

  private async migrate(migration: Migration, store: MadeStore, number: number): Promise<void> {
    const { part } = this;
    const folders = await this.makeFolders(store, `server4-${number}`);
    const { instance } = folders;
    const across = migration.across ? movePartitions(folders, store, `partition${number}`) : [];
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

  /** `upgrade -s`; the 4.x instance lies on the first disk. */
  private async makeFolders(store: MadeStore, server: string): Promise<FoldersMade> {
    const instance = path.join(this.space.disks[0]!.path, server, 'msg-tango');
    const row = {
      name: 'upgrade -s',
      kind: 'folders',
      cold: false,
      across: false,
      engine: null,
      threads: null,
    } as const;
    const { stdout } = await this.measured(row, foldersCommand(store, instance), store);
    return foldersOf(stdout, instance);
  }

  private async measured(row: Row, command: readonly string[], store: MadeStore): Promise<Measured> {
    if (!row.cold && row.kind !== 'folders') await warmUp(store);
    const { devices, paths } = this.space;
    const run = this.throttle === undefined ? command : this.throttle.wrap(command);
    const result = await measure(run, paths, { cold: row.cold, devices });
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
    this.say(`  ${row.name.padEnd(36)} ${seconds.toFixed(2)} s, ${cpuSeconds.toFixed(2)} s of processors`);
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
function isPossible({ name, links }: Competitor, { across }: Conditions): boolean {
  return !across || (!links && name !== 'cat');
}

/**
 * Before every warm row: a virtual machine may take pages back that nobody used for a minute (DAMON does; with them go the
 * blocks of inodes that are in memory themselves, and each link of one then waits for a disk), and other rows take minutes.
 */
async function warmUp({ trees }: MadeStore): Promise<void> {
  // So that reading the files reads the blocks of names and inodes as well.
  if (mayDropCaches()) {
    spawnSync('sync');
    dropCaches(CACHE.namesAndInodes);
  }
  const cat = COMPETITORS.find(({ name }) => name === 'cat')!;
  await runChild(
    commandOf(
      cat,
      trees.map(({ path: tree }) => ({ tree, target: '' })),
    ),
  );
}
