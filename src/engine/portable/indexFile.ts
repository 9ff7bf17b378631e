/**
 * The folder's store.idx while it is written: `store.idx.new` until everything is in it, then renamed over
 * `store.idx`. Made durable by the caller, with everything else of the folder; where that cannot tell of lost pages,
 * it is synced before the rename.
 */
import * as fs from 'node:fs';
import { statOpenExactly } from '../../fs/descriptor.js';
import { syncWritten } from '../../fs/syncfs.js';
import { fileSink } from '../../store/index/io.js';
import { IndexBuilder, type IndexFrame } from '../../store/index/writer.js';
import { INDEX_FILE } from '../../store/layout.js';
import type { IndexSummary } from '../types.js';
import type { TargetFolder } from './target.js';

/** Name of an index that is not complete yet. */
export const UNFINISHED_INDEX = `${INDEX_FILE}.new`;

export class IndexFile {
  readonly builder: IndexBuilder;
  private readonly target: TargetFolder;
  private readonly fd: number;

  constructor(target: TargetFolder, frame: IndexFrame, expected: number) {
    this.target = target;
    this.fd = target.createOver(UNFINISHED_INDEX);
    this.builder = new IndexBuilder(fileSink(this.fd), frame, expected);
  }

  /** Writes what is left and gives the file its name. */
  publish(): IndexSummary {
    let summary: IndexSummary;
    try {
      summary = this.builder.finish();
      syncWritten(this.fd);
    } catch (error) {
      this.abandon();
      throw error;
    }
    try {
      const { dev, ino } = statOpenExactly(this.fd);
      this.target.giveName({ name: UNFINISHED_INDEX, dev, ino }, this.target.dir, INDEX_FILE);
    } finally {
      fs.closeSync(this.fd);
    }
    return summary;
  }

  /** Closes and removes the unfinished file. */
  abandon(): void {
    fs.closeSync(this.fd);
    this.target.discard(UNFINISHED_INDEX);
  }
}
