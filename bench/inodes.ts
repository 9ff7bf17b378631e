/**
 * Distinct files among names, where a file may have names that are never met (a backup made with `cp -al`, partitions of
 * 4.x): a link count does not tell how many of them lie in the store that is looked at.
 *
 *     one link       counted, not kept
 *     more links     kept by device and inode number until there are too many; from then on only those are kept whose
 *                    hash ends with so many zeros, and each stands for 2^zeros
 *
 * Exact up to MOST_KEPT files with several links, within about 0.3 % (one over the root of half of them) beyond.
 */

const MOST_KEPT = 2 ** 18;

export class DistinctFiles {
  private single = { count: 0, bytes: 0 };
  private kept = new Map<string, number>();
  private zeros = 0;

  constructor(private readonly mostKept = MOST_KEPT) {}

  /** @param ino inode numbers from 2^53 on are taken for their neighbours */
  add({ dev, ino, nlink, size }: { dev: number; ino: number; nlink: number; size: number }): void {
    if (nlink <= 1) {
      this.single.count += 1;
      this.single.bytes += size;
      return;
    }
    if (!this.isKept(ino)) return;
    this.kept.set(`${dev}:${ino}`, size);
    while (this.kept.size > this.mostKept) this.thin();
  }

  count(): number {
    return this.single.count + this.kept.size * 2 ** this.zeros;
  }

  bytes(): number {
    let bytes = 0;
    for (const size of this.kept.values()) bytes += size;
    return this.single.bytes + bytes * 2 ** this.zeros;
  }

  private thin(): void {
    this.zeros += 1;
    for (const key of this.kept.keys()) {
      if (!this.isKept(Number(key.slice(key.indexOf(':') + 1)))) this.kept.delete(key);
    }
  }

  private isKept(ino: number): boolean {
    return (mixed(ino) & (2 ** this.zeros - 1)) === 0;
  }
}

/** Neighbouring inode numbers have bits that have nothing to do with each other (the last step of MurmurHash3). */
function mixed(ino: number): number {
  let hash = (ino ^ Math.floor(ino / 2 ** 32)) | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
