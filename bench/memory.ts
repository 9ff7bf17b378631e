/**
 * What is done before a row, outside its time and for every competitor alike, so that it measures the program and not what
 * the machine did to memory while other rows ran:
 *
 *     warm   names and inodes dropped ─▶ the store is read ─▶ memory is used once and given back ─▶ the row
 *     cold   everything is dropped                         ─▶ memory is used once and given back ─▶ the row
 *
 * - A virtual machine may take pages back that nobody used for a minute (DAMON does; with them go the blocks of inodes
 *   that are in memory themselves, and each link of one then waits for a disk), and other rows take minutes.
 * - Its host may take back what the guest has freed: each page then costs the row that uses it next 16 µs instead of a
 *   fraction of one. What was freed a moment ago is still the guest's, and is used again first.
 */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { runChild } from './children.js';
import { COMPETITORS, commandOf } from './competitors.js';
import type { MadeStore } from './stores.js';

/** What a program that links or moves needs is less. */
const MEMORY_BYTES = 2 ** 30;
/** Of memory that holds nothing: more could take pages of the store. */
const MEMORY_SHARE = 1 / 2;
/** Of a container's limit, which holds for the pages of files too. */
const LIMIT_SHARE = 1 / 8;

/** @param copies the row writes the store's bytes once more */
export async function warmUp(store: MadeStore, copies: boolean): Promise<void> {
  // So that reading the files reads the blocks of names and inodes as well.
  if (mayDropCaches()) {
    spawnSync('sync');
    dropCaches(CACHE.namesAndInodes);
  }
  await read(store);
  await useMemory(MEMORY_BYTES + (copies ? store.installation.bytes : 0));
}

/**
 * Nothing of any file system is in memory afterwards; needs root.
 *
 * @param copies the row writes the store's bytes besides reading them
 */
export async function coolDown({ installation: { bytes } }: MadeStore, copies: boolean): Promise<void> {
  spawnSync('sync');
  dropCaches(CACHE.pages + CACHE.namesAndInodes);
  await useMemory(MEMORY_BYTES + (copies ? 2 * bytes : bytes));
}

/** What may go (Linux, Documentation/admin-guide/sysctl/vm.rst, drop_caches). */
const CACHE = { pages: 1, namesAndInodes: 2 } as const;

const DROP_CACHES = '/proc/sys/vm/drop_caches';

/** Root may, except in most containers. */
function mayDropCaches(): boolean {
  try {
    fs.accessSync(DROP_CACHES, fs.constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** Of the whole machine. What is dirty stays: sync before. */
function dropCaches(which: number): void {
  fs.writeFileSync(DROP_CACHES, String(which));
}

async function read({ trees }: MadeStore): Promise<void> {
  const cat = COMPETITORS.find(({ name }) => name === 'cat')!;
  const journeys = trees.map(({ path: tree }) => ({ tree, target: '' }));
  await toItsEnd(commandOf(cat, journeys));
}

/**
 * By a process that keeps all of it and frees it when it ends: `tail`, which knows the end of a pipe only when it is there.
 * Not by Node, which a cold `upgrade` is to read from the disk.
 */
async function useMemory(wanted: number): Promise<void> {
  const bytes = Math.floor(Math.min(wanted, unusedMemory() * MEMORY_SHARE, limit() * LIMIT_SHARE));
  await toItsEnd(['sh', '-c', `head -c ${bytes} /dev/zero | tail -c ${bytes} > /dev/null`]);
}

/** A row after half of this would measure another state of memory than the rows beside it. */
async function toItsEnd(command: readonly string[]): Promise<void> {
  const { status, stderr } = await runChild(command);
  if (status === 0) return;
  throw new Error(
    `what prepares memory before a row ended with ${status ?? 'a signal'}: ${command.join(' ')}\n${stderr}`,
  );
}

/** Of the container that this runs in, bytes. */
function limit(): number {
  const bytes = process.constrainedMemory();
  return bytes === undefined || bytes === 0 ? Number.POSITIVE_INFINITY : bytes;
}

/** Bytes; 0 where /proc does not tell. */
function unusedMemory(): number {
  try {
    return Number(/^MemFree:\s+(\d+) kB/m.exec(fs.readFileSync('/proc/meminfo', 'utf8'))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}
