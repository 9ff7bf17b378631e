/**
 * Single-copy mail (4x-store.md, promise 5): messages that were one inode in 3.x are one inode in 4.x, as long as
 * they lie in one partition and its link count is not full.
 *
 * Known are inodes with several links, on either side; a message whose 3.x file is gone and whose 4.x file has
 * one link leaves no trace of having been shared.
 */
import type { Findings } from './findings.js';
import { NO_SUBJECT } from './findings.js';

/** A file with this many links may have been full for its file system: a new shared copy is right then. */
const NEARLY_FULL = 1000n;

export interface SharedFile {
  /** Where the 3.x inode lies: store path and inode number. */
  readonly source: string;
  /** 4.x root, so that copies onto several partitions are several groups. */
  readonly root: string;
  readonly inode: bigint;
  readonly links: bigint;
  /** Path of one 4.x name. */
  readonly where: string;
}

export interface SingleCopies {
  add(file: SharedFile): void;
  report(findings: Findings): void;
}

export function singleCopies(): SingleCopies {
  const groups = new Map<string, { inodes: Set<bigint>; full: boolean; readonly where: string }>();
  return {
    add({ source, root, inode, links, where }) {
      const key = `${source}\n${root}`;
      let group = groups.get(key);
      if (group === undefined) {
        group = { inodes: new Set(), full: false, where };
        groups.set(key, group);
      }
      group.inodes.add(inode);
      group.full ||= links >= NEARLY_FULL;
    },
    report(findings) {
      for (const { inodes, full, where } of groups.values()) {
        if (inodes.size < 2 || full) continue;
        const text = `A message that was one file in 3.x is ${inodes.size} files in 4.x, this one and others.`;
        findings.add(NO_SUBJECT, 'VERIFY_SINGLE_COPY', where, text);
      }
    },
  };
}
