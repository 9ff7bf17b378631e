/** What a migration left on disk: where the partitions are, their index bytes, and what became of shared messages. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { MadeStore } from './stores.js';

/** Hash directories hold messages alone (4x-store.md, Layout). */
const HASH_DIRECTORY = /^\d{2,8}$/;

export function partitionsOf(instance: string, { trees }: MadeStore, across: readonly string[]): string[] {
  const beside = trees.flatMap(({ path: storePath }) =>
    fs
      .readdirSync(storePath)
      .filter((name) => name.startsWith('.0004x.'))
      .map((name) => path.join(storePath, name)),
  );
  return [path.join(instance, 'store/partition/primary'), ...beside, ...across].filter((one) => fs.existsSync(one));
}

/** Bytes of all store.idx. */
export function indexBytes(partitions: readonly string[]): number {
  let bytes = 0;
  const visit = (directory: string): void => {
    for (const entry of fs.readdirSync(directory, { withFileTypes: true })) {
      const at = path.join(directory, entry.name);
      if (entry.isDirectory() && !HASH_DIRECTORY.test(entry.name)) visit(at);
      else if (entry.name === 'store.idx') bytes += fs.statSync(at).size;
    }
  };
  for (const partition of partitions) visit(partition);
  return bytes;
}

const inodeOf = ({ dev, ino }: fs.Stats): string => `${dev}:${ino}`;

/** The messages of 3.x before a migration. */
export class MessageInodes {
  readonly bytes: number;
  /** Bytes of `.mailbox` files, which are read as well. */
  readonly indexBytes: number;
  private readonly inodes = new Set<string>();

  constructor({ trees }: MadeStore) {
    let bytes = 0;
    let index = 0;
    for (const tree of trees) {
      files(Buffer.from(tree.path), (name, stat) => {
        if (name.toString('latin1') === '.mailbox') index += stat.size;
        if (name[0] === DOT || this.inodes.has(inodeOf(stat))) return;
        this.inodes.add(inodeOf(stat));
        bytes += stat.size;
      });
    }
    this.bytes = bytes;
    this.indexBytes = index;
  }

  /** Blocks of message files of 4.x that are none of these inodes, in bytes. */
  newMessageBytes(partitions: readonly string[]): number {
    const seen = new Set<string>();
    let bytes = 0;
    for (const partition of partitions) {
      files(Buffer.from(partition), (name, stat) => {
        if (!name.toString('latin1').endsWith('.msg')) return;
        const inode = inodeOf(stat);
        if (this.inodes.has(inode) || seen.has(inode)) return;
        seen.add(inode);
        bytes += stat.blocks * STAT_BLOCK;
      });
    }
    return bytes;
  }
}

const DOT = 0x2e;
/** st_blocks counts these, whatever the file system's own block is (stat(2)). */
const STAT_BLOCK = 512;

/** Every regular file below a directory, names as bytes. */
function files(directory: Buffer, visit: (name: Buffer, stat: fs.Stats) => void): void {
  for (const entry of fs.readdirSync(directory, { encoding: 'buffer', withFileTypes: true })) {
    const at = Buffer.concat([directory, Buffer.from('/'), entry.name]);
    // Partitions beside 3.x are not part of it.
    if (entry.isDirectory() && !entry.name.toString('latin1').startsWith('.0004x.')) files(at, visit);
    else if (entry.isFile()) visit(entry.name, fs.lstatSync(at));
  }
}
