/** A 3.x folder, a mailbox directory and a registry on disk, and the input of an engine for them. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import type { EngineInput, MessageTable } from '../../../src/engine/types.js';

export interface Row {
  readonly uid: number;
  readonly name: string | Buffer;
  readonly flags?: number;
  readonly keywords?: readonly string[];
  readonly internalDate?: number;
  /** Index into MESSAGE_ERRORS. */
  readonly refused?: number;
}

/** The columns of `rows`, with what the files are now; a missing file gets zeros. */
export function tableOf(folder: string, rows: readonly Row[], keywords: readonly string[]): MessageTable {
  const names = rows.map((row) => Buffer.from(row.name));
  const stats = names.map((name) =>
    fs.lstatSync(Buffer.concat([Buffer.from(`${folder}/`), name]), { bigint: true, throwIfNoEntry: false }),
  );
  const refs = rows.map((row) => (row.keywords ?? []).map((word) => keywords.indexOf(word)).sort((a, b) => a - b));
  return {
    count: rows.length,
    uids: Uint32Array.from(rows, (row) => row.uid),
    internalDates: Float64Array.from(rows, (row) => row.internalDate ?? 900_000_000 + row.uid),
    flags: Uint32Array.from(rows, (row) => row.flags ?? 0),
    keywordOffsets: offsets(refs.map((list) => list.length)),
    keywordRefs: Uint32Array.from(refs.flat()),
    names: Buffer.concat(names),
    nameOffsets: offsets(names.map((name) => name.length)),
    inodes: BigUint64Array.from(stats, (stat) => stat?.ino ?? 0n),
    sizes: Float64Array.from(stats, (stat) => Number(stat?.size ?? 0n)),
    mtimes: BigInt64Array.from(stats, (stat) => stat?.mtimeNs ?? 0n),
    refused: Uint8Array.from(rows, (row) => row.refused ?? 0),
  };
}

/** The input of an engine for all `rows` of `folder`, of a process that owns everything. */
export function inputOf(
  folder: string,
  rows: readonly Row[],
  directories: Pick<EngineInput, 'sourceFd' | 'targetFd' | 'singleFd'>,
): EngineInput {
  const keywords = [...new Set(rows.flatMap((row) => row.keywords ?? []))];
  return {
    ...directories,
    uidvalidity: 1_234_567,
    uidnext: Math.max(0, ...rows.map((row) => row.uid)) + 1,
    keywords,
    admin: Buffer.from('{"v":1}'),
    messages: tableOf(folder, rows, keywords),
    ownerUid: process.getuid?.() ?? 0,
    ownerGid: process.getgid?.() ?? 0,
    setOwner: false,
    job: 0,
    takeForeign: false,
    publishWithFailures: false,
    resumed: false,
    progress: new Int32Array(new SharedArrayBuffer(64)),
  };
}

function offsets(lengths: readonly number[]): Uint32Array {
  const result = new Uint32Array(lengths.length + 1);
  lengths.forEach((length, i) => {
    result[i + 1] = (result[i] ?? 0) + length;
  });
  return result;
}

export class TestFolder {
  readonly root: string;
  /** Where the 4.x side lies; another root when it is on another file system. */
  readonly targetRoot: string;
  private readonly fds: number[] = [];

  constructor(targetParent?: string, sourceParent = os.tmpdir()) {
    this.root = fs.mkdtempSync(path.join(sourceParent, 'mailhaul-engine-'));
    this.targetRoot =
      targetParent === undefined ? this.root : fs.mkdtempSync(path.join(targetParent, 'mailhaul-engine-'));
    fs.mkdirSync(this.source);
    fs.mkdirSync(this.target, { mode: 0o700 });
    fs.mkdirSync(this.single, { mode: 0o700 });
  }

  get source(): string {
    return `${this.root}/INBOX`;
  }
  get target(): string {
    return `${this.targetRoot}/=user`;
  }
  get single(): string {
    return `${this.targetRoot}/=single`;
  }

  /** Writes a 3.x message file of mode 0600. */
  write(name: string, content: string | Buffer): string {
    const file = `${this.source}/${name}`;
    fs.writeFileSync(file, content, { mode: 0o600 });
    return file;
  }

  input(rows: readonly Row[], change: Partial<EngineInput> = {}): EngineInput {
    const directories = {
      sourceFd: this.open(this.source),
      targetFd: this.open(this.target),
      singleFd: this.open(this.single),
    };
    return { ...inputOf(this.source, rows, directories), ...change };
  }

  open(directory: string): number {
    const fd = fs.openSync(directory, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
    this.fds.push(fd);
    return fd;
  }

  /** Files below the mailbox directory, as paths relative to it, sorted. */
  targetFiles(): string[] {
    const all = fs.readdirSync(this.target, { recursive: true, withFileTypes: true });
    return all
      .filter((entry) => !entry.isDirectory())
      .map((entry) => path.relative(this.target, path.join(entry.parentPath, entry.name)))
      .sort();
  }

  remove(): void {
    for (const fd of this.fds) fs.closeSync(fd);
    fs.rmSync(this.root, { recursive: true, force: true });
    fs.rmSync(this.targetRoot, { recursive: true, force: true });
  }
}

/** A directory in memory, for folders of thousands of messages; the temporary directory where there is none. */
export const FAST_DIRECTORY = fs.existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir();

/** Runs `test` with a folder that is removed afterwards. */
export function withFolder<T>(test: (folder: TestFolder) => T, targetParent?: string, sourceParent?: string): T {
  const folder = new TestFolder(targetParent, sourceParent);
  try {
    return test(folder);
  } finally {
    folder.remove();
  }
}
