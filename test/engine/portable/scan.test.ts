import * as fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import { withFolder } from './folder.js';
import { engine, MESSAGE } from './support.js';

function namesOf({ count, names, nameOffsets }: { count: number; names: Uint8Array; nameOffsets: Uint32Array }) {
  return Array.from({ length: count }, (_, i) =>
    Buffer.from(names.subarray(nameOffsets[i], nameOffsets[i + 1])).toString('latin1'),
  );
}

describe('scan', () => {
  it('gives every entry that does not begin with a dot, in the order of inodes', () =>
    withFolder((folder) => {
      for (let i = 0; i < 50; i++) folder.write(`m${49 - i}`, MESSAGE.slice(0, i));
      folder.write('.mailbox', 'NSMB 3 1 1\n');
      fs.mkdirSync(`${folder.source}/sub`);
      fs.symlinkSync('/nowhere', `${folder.source}/link`);
      const scan = engine.scan(folder.open(folder.source));
      expect(scan.count).toBe(52);
      expect(scan.errors).toEqual([]);
      expect([...scan.inodes]).toEqual([...scan.inodes].sort((a, b) => (a < b ? -1 : 1)));
      for (const [i, name] of namesOf(scan).entries()) {
        const stat = fs.lstatSync(`${folder.source}/${name}`, { bigint: true });
        expect([scan.inodes[i], scan.sizes[i], scan.mtimes[i], scan.modes[i], scan.uids[i], scan.nlinks[i]]).toEqual([
          stat.ino,
          Number(stat.size),
          stat.mtimeNs,
          Number(stat.mode),
          Number(stat.uid),
          Number(stat.nlink),
        ]);
      }
    }));

  it('orders the names of one inode by their bytes', () =>
    withFolder((folder) => {
      const file = folder.write('m', MESSAGE);
      for (const name of ['z', 'a', 'k']) fs.linkSync(file, `${folder.source}/${name}`);
      const scan = engine.scan(folder.open(folder.source));
      expect(namesOf(scan)).toEqual(['a', 'k', 'm', 'z']);
      expect([...scan.nlinks]).toEqual([4, 4, 4, 4]);
    }));

  it('gives nothing for an empty directory, and an error for what is none', () =>
    withFolder((folder) => {
      expect(engine.scan(folder.open(folder.source)).count).toBe(0);
      const fd = fs.openSync(folder.write('m', MESSAGE), 'r');
      expect(() => engine.scan(fd)).toThrow(/ENOTDIR/);
      fs.closeSync(fd);
    }));
});
