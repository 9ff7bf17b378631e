/**
 * What is done before every warm row, outside its time and for every competitor alike, so that a row measures the program
 * and not what the machine did to memory while other rows ran:
 *
 *     names and inodes dropped ─▶ the store is read ─▶ memory is used once and given back ─▶ the row
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
import { CACHE, dropCaches, mayDropCaches } from './measure.js';
import type { MadeStore } from './stores.js';

/** What a program that links or moves needs is less. */
const MEMORY_BYTES = 2 ** 30;
/** Of memory that holds nothing: more could take pages of the store. */
const MEMORY_SHARE = 1 / 2;
const PIECE_BYTES = 2 ** 26;

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

async function read({ trees }: MadeStore): Promise<void> {
  const cat = COMPETITORS.find(({ name }) => name === 'cat')!;
  const journeys = trees.map(({ path: tree }) => ({ tree, target: '' }));
  await runChild(commandOf(cat, journeys));
}

/** By a process of its own: it frees all of it when it ends. */
async function useMemory(wanted: number): Promise<void> {
  const pieces = Math.floor(Math.min(wanted, unusedMemory() * MEMORY_SHARE) / PIECE_BYTES);
  await runChild([process.execPath, '-e', `[...Array(${pieces})].map(() => Buffer.alloc(${PIECE_BYTES}, 1))`]);
}

/** Bytes; 0 where /proc does not tell. */
function unusedMemory(): number {
  try {
    return Number(/^MemFree:\s+(\d+) kB/m.exec(fs.readFileSync('/proc/meminfo', 'utf8'))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}
