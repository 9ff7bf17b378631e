/**
 * Which message contents have a name, asked again and again: a file is read once, and known by device, inode, size and
 * modification time from then on. Hard links and changes of owner and mode keep all four.
 */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';

export interface Contents {
  /** From now on every file is read again. */
  forget(): void;
  /** SHA-256 of the CRLF form of every message file below the directories, with the number of different inodes. */
  survey(stores: readonly string[], partitions: readonly string[]): Map<string, number>;
  /** Device and inode of every 3.x message file that is in CRLF form already. */
  linkable(stores: readonly string[]): string[];
  /** Device and inode of every 4.x message file. */
  inodes(partitions: readonly string[]): Set<string>;
}

export function surveyContents(): Contents {
  const known = new Map<string, string>();
  return {
    forget: () => known.clear(),
    survey(stores, partitions) {
      const inodes = new Map<string, Set<string>>();
      const look = (file: Buffer): void => {
        const seen = fs.lstatSync(file, { bigint: true });
        const identity = `${seen.dev}:${seen.ino}`;
        const key = `${identity}:${seen.size}:${seen.mtimeNs}`;
        const digest = known.get(key) ?? digestOf(file);
        known.set(key, digest);
        inodes.set(digest, (inodes.get(digest) ?? new Set()).add(identity));
      };
      for (const store of stores) walk(Buffer.from(store), isSource, look);
      for (const partition of partitions) walk(Buffer.from(partition), isMessage, look);
      return new Map([...inodes].map(([digest, set]) => [digest, set.size]));
    },
    linkable(stores) {
      const found = new Set<string>();
      for (const store of stores) {
        walk(Buffer.from(store), isSource, (file) => {
          if (!/(?<!\r)\n/.test(fs.readFileSync(file, 'latin1'))) found.add(identityOf(file));
        });
      }
      return [...found];
    },
    inodes(partitions) {
      const found = new Set<string>();
      for (const partition of partitions)
        walk(Buffer.from(partition), isMessage, (file) => found.add(identityOf(file)));
      return found;
    },
  };
}

function identityOf(file: Buffer): string {
  const { dev, ino } = fs.lstatSync(file, { bigint: true });
  return `${dev}:${ino}`;
}

/** No dot names, nothing that `-s` wrote. */
function isSource(name: string): boolean {
  return !name.startsWith('.') && !name.startsWith('__') && name !== 'upgrade4x.conf';
}

/** Below a partition: message files, and every directory on the way to them. */
function isMessage(name: string, directory: boolean): boolean {
  return directory ? name !== '=single' : /^\d+\.msg$/.test(name);
}

function walk(
  directory: Buffer,
  takes: (name: string, directory: boolean) => boolean,
  look: (file: Buffer) => void,
): void {
  let entries: fs.Dirent<Buffer>[];
  try {
    entries = fs.readdirSync(directory, { withFileTypes: true, encoding: 'buffer' }) as unknown as fs.Dirent<Buffer>[];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  for (const entry of entries) {
    if (!takes(entry.name.toString('latin1'), entry.isDirectory())) continue;
    const path = Buffer.concat([directory, Buffer.from('/'), entry.name]);
    if (entry.isDirectory()) walk(path, takes, look);
    else if (entry.isFile()) look(path);
  }
}

function digestOf(file: Buffer): string {
  const text = fs.readFileSync(file).toString('latin1');
  const hash = createHash('sha256');
  return hash.update(text.replace(/(?<!\r)\n/g, '\r\n'), 'latin1').digest('hex');
}
