/**
 * The shape of a 3.x store, for a smaller one like it: read only. Nothing is opened for writing or created, nothing
 * below the given paths is reached through a symbolic link, special files are not opened; access times stay as they are
 * where the system lets us say so (O_NOATIME: owner or root). Message files get an lstat each, which reads no data;
 * a sample of them is read for bare LF, and the first line of a sample of `.mailbox` for deleted uids.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { trimBlanks } from '../src/source/nsms3/blanks.js';
import { randomOf } from '../test/support/generate/random.js';
import { DistinctFiles } from './inodes.js';

export interface SizeBucket {
  /** Smallest and largest of its messages, bytes. */
  readonly low: number;
  readonly high: number;
  readonly count: number;
}

export interface StoreShapeFound {
  readonly storePaths: readonly string[];
  readonly users: number;
  readonly folders: number;
  /** Names of messages, each counted. */
  readonly messages: number;
  /** Messages of several folders counted once, with their bytes. */
  readonly inodes: number;
  readonly bytes: number;
  readonly sizes: readonly SizeBucket[];
  /** Messages of each folder, ascending. */
  readonly folderSizes: readonly number[];
  readonly bareLf: { readonly sampled: number; readonly found: number };
  /** Uids that were given and are gone, of the sampled folders. */
  readonly gaps: { readonly sampled: number; readonly share: number };
  /** What is no message and no folder. */
  readonly skipped: number;
  /** Directories that could not be read: what they hold is in no figure. */
  readonly unreadable: number;
  readonly seconds: number;
}

const SAMPLED_MESSAGES = 400;
const SAMPLED_FOLDERS = 100;
const SAMPLE_BYTES = 64 * 1024;
/** Classes of sizes: so many in each doubling. */
const CLASSES_A_DOUBLING = 2;
const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_NOATIME } = fs.constants;

/** @param given a 3.x instance (its MailboxDirectory is meant) or a store path, each */
export function readShape(given: readonly string[]): StoreShapeFound {
  const started = process.hrtime.bigint();
  const storePaths = [...new Set(given.map((one) => fs.realpathSync(storePathOf(one))))];
  const reader = new ShapeReader();
  for (const storePath of storePaths) reader.readStorePath(storePath);
  const found = reader.result();
  return { storePaths, ...found, seconds: Number(process.hrtime.bigint() - started) / 1e9 };
}

function storePathOf(given: string): string {
  const configuration = path.join(given, 'config/NscpMail.conf');
  if (!fs.existsSync(configuration)) return given;
  for (const line of textOf(configuration).split('\n')) {
    const colon = line.indexOf(':');
    if (trimBlanks(line.slice(0, Math.max(colon, 0))).toLowerCase() !== 'mailboxdirectory') continue;
    const directory = trimBlanks(line.slice(colon + 1));
    if (directory !== '') return directory;
  }
  throw new Error(`${configuration} names no MailboxDirectory; name the store paths with --like`);
}

class ShapeReader {
  private users = 0;
  private messages = 0;
  private skipped = 0;
  private unreadable = 0;
  private readonly files = new DistinctFiles();
  private readonly folderSizes: number[] = [];
  private readonly classes = new Map<number, { low: number; high: number; count: number }>();
  private readonly random = randomOf('msg-bench', 'shape');
  private readonly bareLf = { sampled: 0, found: 0 };
  private readonly messageSample = new Sample<Buffer>(SAMPLED_MESSAGES, this.random);
  private readonly folderSample = new Sample<{ directory: Buffer; messages: number }>(SAMPLED_FOLDERS, this.random);

  readStorePath(storePath: string): void {
    const root = Buffer.from(storePath);
    for (const entry of this.list(root)) {
      if (isHidden(entry.name)) continue;
      if (!entry.isDirectory()) {
        this.skipped++;
        continue;
      }
      this.users++;
      const mailbox = join(root, entry.name);
      for (const folder of this.list(mailbox)) {
        if (folder.isDirectory() && !isHidden(folder.name)) this.readFolder(join(mailbox, folder.name));
      }
    }
  }

  result(): Omit<StoreShapeFound, 'storePaths' | 'seconds'> {
    for (const file of this.messageSample.items) this.lookForBareLf(file);
    return {
      users: this.users,
      folders: this.folderSizes.length,
      messages: this.messages,
      // Of very many links both are estimates.
      inodes: Math.min(this.messages, this.files.count()),
      bytes: this.files.bytes(),
      sizes: [...this.classes.entries()].sort(([a], [b]) => a - b).map(([, bucket]) => bucket),
      folderSizes: this.folderSizes.sort((a, b) => a - b),
      bareLf: this.bareLf,
      gaps: this.gaps(),
      skipped: this.skipped,
      unreadable: this.unreadable,
    };
  }

  private readFolder(directory: Buffer): void {
    let messages = 0;
    const below: Buffer[] = [];
    for (const entry of this.list(directory)) {
      if (isHidden(entry.name)) continue;
      const at = join(directory, entry.name);
      if (entry.isDirectory()) below.push(at);
      else if (entry.isFile() && this.readMessage(at)) messages++;
      else this.skipped++;
    }
    this.folderSizes.push(messages);
    this.folderSample.offer(() => ({ directory, messages }));
    for (const folder of below) this.readFolder(folder);
  }

  private readMessage(file: Buffer): boolean {
    let stat: fs.Stats;
    try {
      stat = fs.lstatSync(file);
    } catch {
      return false;
    }
    if (!stat.isFile()) return false;
    this.messages++;
    this.files.add(stat);
    const number = Math.floor(Math.log2(Math.max(stat.size, 1)) * CLASSES_A_DOUBLING);
    const bucket = this.classes.get(number) ?? { low: stat.size, high: stat.size, count: 0 };
    bucket.low = Math.min(bucket.low, stat.size);
    bucket.high = Math.max(bucket.high, stat.size);
    bucket.count++;
    this.classes.set(number, bucket);
    this.messageSample.offer(() => file);
    return true;
  }

  private lookForBareLf(file: Buffer): void {
    const start = this.readStart(file, SAMPLE_BYTES);
    if (start === undefined) return;
    this.bareLf.sampled++;
    for (let at = start.indexOf(0x0a); at >= 0; at = start.indexOf(0x0a, at + 1)) {
      if (start[at - 1] === 0x0d) continue;
      this.bareLf.found++;
      return;
    }
  }

  /** The first line of `.mailbox` has the next uid: what is below it and not there was deleted. */
  private gaps(): { sampled: number; share: number } {
    let given = 0;
    let left = 0;
    let sampled = 0;
    for (const { directory, messages } of this.folderSample.items) {
      const start = this.readStart(join(directory, Buffer.from('.mailbox')), 64)?.toString('latin1') ?? '';
      const next = Number(/^NSMB 3 \d+ (\d+)\n/.exec(start)?.[1] ?? 0);
      if (messages === 0 || next <= messages) continue;
      sampled++;
      given += next - 1;
      left += messages;
    }
    return { sampled, share: given === 0 ? 0 : 1 - left / given };
  }

  private readStart(file: Buffer, bytes: number): Buffer | undefined {
    let fd: number | undefined;
    try {
      fd = openQuietly(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
      if (!fs.fstatSync(fd).isFile()) return undefined;
      const buffer = Buffer.alloc(bytes);
      return buffer.subarray(0, fs.readSync(fd, buffer, 0, bytes, 0));
    } catch {
      // There may be none, and a sample is smaller then.
      return undefined;
    } finally {
      if (fd !== undefined) fs.closeSync(fd);
    }
  }

  /** Names are bytes. */
  private list(directory: Buffer): fs.Dirent<Buffer>[] {
    let fd: number | undefined;
    try {
      fd = openQuietly(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      // By the held descriptor, so that O_NOFOLLOW and O_NOATIME stand for the listing too.
      return fs.readdirSync(`/proc/self/fd/${fd}`, { encoding: 'buffer', withFileTypes: true });
    } catch {
      this.unreadable++;
      return [];
    } finally {
      if (fd !== undefined) fs.closeSync(fd);
    }
  }
}

/** The access time stays as it is where the caller may ask for that: only the owner and root may. */
function openQuietly(at: Buffer | string, flags: number): number {
  try {
    return fs.openSync(at, flags | O_NOATIME);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') throw error;
    return fs.openSync(at, flags);
  }
}

function textOf(file: string): string {
  const fd = openQuietly(file, O_RDONLY);
  try {
    return fs.readFileSync(fd, 'utf8');
  } finally {
    fs.closeSync(fd);
  }
}

/** A sample in which each of any number of offered things is equally likely. */
class Sample<T> {
  readonly items: T[] = [];
  private offered = 0;

  constructor(
    private readonly size: number,
    private readonly random: { int(low: number, high: number): number },
  ) {}

  offer(make: () => T): void {
    this.offered++;
    if (this.items.length < this.size) this.items.push(make());
    else {
      const place = this.random.int(0, this.offered - 1);
      if (place < this.size) this.items[place] = make();
    }
  }
}

function isHidden(name: Buffer): boolean {
  return name[0] === 0x2e;
}

function join(directory: Buffer, name: Buffer): Buffer {
  return Buffer.concat([directory, Buffer.from('/'), name]);
}
