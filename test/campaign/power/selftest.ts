/** Proof that the log is faithful: what was synced is on the disk after every crash, what was not need not be. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { randomOf } from '../../support/generate/random.js';
import { attach, copyImage, detach, type FileSystem, makeImage, mountImage, startLoggedDisks } from './disks.js';
import { apply, type CrashPoint, FlushedImage, type LogRecord, parseLog, survivors } from './log.js';
import { type Ground, must } from './machine.js';

export interface SelfTest {
  readonly cases: number;
  readonly problems: readonly string[];
  /** What the loop device says of itself, for the report. */
  readonly device: string;
}

/** Seeds of the test of reordering: each of the four outcomes has to come up. */
const DRAWS = 64;
const BLOCK = 4096;

export async function selfTest(program: string, ground: Ground, fileSystem: FileSystem): Promise<SelfTest> {
  const raw = await rawDevice(program, ground);
  const files = await fileSystemOnTop(program, ground, fileSystem);
  return { cases: raw.cases + files.length, problems: [...raw.problems, ...problemsOf(files)], device: raw.device };
}

type Expectation = readonly [what: string, holds: boolean];

function problemsOf(expectations: readonly Expectation[]): string[] {
  return expectations.filter(([, holds]) => !holds).map(([what]) => `self-test of the log: not true: ${what}`);
}

/** Blocks 0, 1 and 2 of a bare device: the first is written and flushed, the other two are only written. */
async function rawDevice(program: string, ground: Ground): Promise<SelfTest> {
  const image = path.join(ground.images, 'selftest');
  fs.writeFileSync(image, Buffer.alloc(4 * BLOCK));
  const disks = await startLoggedDisks(program, ground, [image]);
  const device = attach(disks.files[0] ?? '');
  let queue: string;
  try {
    const setting = (name: string): string =>
      fs.readFileSync(`/sys/block/${path.basename(device)}/${name}`, 'utf8').trim();
    queue = `write cache "${setting('queue/write_cache')}", fua ${setting('queue/fua')}`;
    writeBlock(device, 0, 'a');
    must('sync', [device]);
    writeBlock(device, 1, 'b');
    writeBlock(device, 2, 'c');
  } finally {
    // Closing the device flushes it, which no crash waits for.
    detach(device);
  }
  const records = parseLog(await disks.stop());
  fs.rmSync(image);
  const writeOf = (block: number): number =>
    records.findIndex((record) => record.kind === 'write' && record.offset === block * BLOCK);
  const flush = records.findIndex((record, i) => record.kind === 'flush' && i > writeOf(0));
  const expectations: Expectation[] = [
    ['the loop device announces a write cache, and no FUA', queue === 'write cache "write back", fua 0'],
    ['a write, its flush and two later writes are in the log, in this order', writeOf(0) < flush && flush < writeOf(1)],
    ...losses(records, Math.max(writeOf(1), writeOf(2)) + 1),
  ];
  return { cases: expectations.length, problems: problemsOf(expectations), device: queue };
}

/** The same of a log made here: what can be tested where nothing can be mounted. */
export function modelTest(): Pick<SelfTest, 'cases' | 'problems'> {
  const write = (block: number, letter: string): LogRecord => ({
    kind: 'write',
    disk: 0,
    offset: block * BLOCK,
    data: Buffer.alloc(BLOCK, letter),
  });
  const records = [write(0, 'a'), { kind: 'flush', disk: 0 } as const, write(1, 'b'), write(2, 'c')];
  const expectations = losses(records, records.length);
  return { cases: expectations.length, problems: problemsOf(expectations) };
}

/** What crashes after `at` records leave of blocks 0 (flushed), 1 and 2 (written only). */
function losses(records: readonly LogRecord[], at: number): Expectation[] {
  const seen = new Set<string>();
  let torn = false;
  const letters = (disk: Buffer): string =>
    [0, 1, 2].map((block) => disk.toString('latin1', block * BLOCK, block * BLOCK + 1)).join('');
  for (let seed = 0; seed < DRAWS; seed++) {
    seen.add(letters(crash(records, { at, loss: 'some' }, `${seed}`)));
    const second = crash(records, { at, loss: 'torn' }, `${seed}`).subarray(BLOCK, 2 * BLOCK);
    torn ||= second.includes('b') && second.includes('\0');
  }
  return [
    ['a flushed block is there after every crash, of two others each may be missing', sameSet(seen, OUTCOMES)],
    ['a write may be torn between sectors', torn],
    [
      'without what was not flushed, the flushed block is there alone',
      letters(crash(records, { at, loss: 'none' }, '')) === 'a\0\0',
    ],
    ['a disk that wrote in order has all', letters(crash(records, { at, loss: 'all' }, '')) === 'abc'],
  ];
}

const OUTCOMES = ['a\0\0', 'ab\0', 'a\0c', 'abc'];

function sameSet(seen: ReadonlySet<string>, expected: readonly string[]): boolean {
  return seen.size === expected.length && expected.every((value) => seen.has(value));
}

/** Past the page cache, so that nothing but the disk's own cache holds the block. */
function writeBlock(device: string, block: number, letter: string): void {
  const script = `head -c ${BLOCK} /dev/zero | tr '\\0' ${letter} | dd of="$1" bs=${BLOCK} seek=${block} oflag=direct conv=notrunc iflag=fullblock status=none`;
  must('sh', ['-c', script, 'sh', device]);
}

/** The first blocks of the device after a crash. */
function crash(records: readonly LogRecord[], point: CrashPoint, seed: string): Buffer {
  const disk = Buffer.alloc(4 * BLOCK);
  const put = ({ offset, data }: { offset: number; data: Buffer }): void => {
    data.copy(disk, offset);
  };
  for (const record of records.slice(0, lastFlush(records, point.at))) if (record.kind === 'write') put(record);
  for (const piece of survivors(records, 0, point, randomOf(seed, 'self-test'))) put(piece);
  return disk;
}

function lastFlush(records: readonly LogRecord[], at: number): number {
  return Math.max(
    0,
    records.slice(0, at).findLastIndex((record) => record.kind === 'flush'),
  );
}

/** A file that was synced, with `sync -f` as the portable engine calls it, and one that was not. */
async function fileSystemOnTop(program: string, ground: Ground, fileSystem: FileSystem): Promise<Expectation[]> {
  const [base, running, state] = ['base', 'running', 'state'].map((name) =>
    path.join(ground.images, `selftest-${name}`),
  ) as [string, string, string];
  const point = ground.disks[0] ?? '';
  makeImage(base, fileSystem);
  copyImage(base, running);
  const disks = await startLoggedDisks(program, ground, [running]);
  const mounted = mountImage(disks.files[0] ?? '', point, fileSystem);
  const content = 'x'.repeat(10_000);
  let ended: number;
  try {
    fs.writeFileSync(path.join(point, 'synced'), content);
    must('sync', ['-f', point]);
    fs.writeFileSync(path.join(point, 'unsynced'), content);
    ended = disks.mark();
  } finally {
    mounted.unmount();
  }
  const records = parseLog((await disks.stop()).subarray(0, ended));
  copyImage(base, state);
  new FlushedImage(state, records, 0).advance(records.length);
  const fd = fs.openSync(state, 'r+');
  apply(fd, survivors(records, 0, { at: records.length, loss: 'none' }, randomOf('', '')));
  fs.closeSync(fd);
  const crashed = mountImage(state, point, fileSystem);
  try {
    const read = (name: string): string | undefined =>
      fs.existsSync(path.join(point, name)) ? fs.readFileSync(path.join(point, name), 'utf8') : undefined;
    return [
      [`${fileSystem.name}: a file is there after syncfs`, read('synced') === content],
      [`${fileSystem.name}: a file that nobody synced is not whole`, read('unsynced') !== content],
    ];
  } finally {
    crashed.unmount();
    for (const image of [base, running, state]) fs.rmSync(image);
  }
}
